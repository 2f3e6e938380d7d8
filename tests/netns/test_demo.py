"""The demonstration passes, and can fail."""

import os
import subprocess
import sys

import pytest

import harness

ROOT = os.path.dirname(os.path.dirname(harness.HERE))
DEMO = os.path.join(ROOT, "demo", "demo.py")
PERF = os.environ.get("SLUICE_PERF") or os.path.join(ROOT, "zig-out", "bin", "sluice-perf")


def run_demo(program):
    return subprocess.run([sys.executable, "-B", DEMO], capture_output=True, text=True, timeout=90,
                          env={**os.environ, "SLUICE": program, "SLUICE_PERF": PERF}, check=False)


def test_demo_passes():
    done = run_demo(harness.sluice_program())
    assert done.returncode == 0, done.stdout + done.stderr
    for step in ("1. ", "2. ", "3. ", "4. ", "5. ", "6. "):
        assert f"\n{step}" in done.stdout


@pytest.mark.parametrize("plant, expected", [
    # The default goes direct: an address outside the list arrives by the wrong side.
    ('sed -i "/Default/,\\$ s/vpn/direct/" sluice.conf', "by the vpn egress"),
    # A route that main should not have.
    ("ip route add 192.0.2.128/25 dev lan0", "main table"),
])
def test_demo_fails_loudly(tmp_path, plant, expected):
    wrapper = tmp_path / "sluice"
    wrapper.write_text(f"#!/bin/sh\ncase \"$*\" in *run*) {plant} ;; esac\n"
                       f"exec {harness.sluice_program()} \"$@\"\n")
    wrapper.chmod(0o755)
    done = run_demo(str(wrapper))
    assert done.returncode == 1, done.stdout
    assert "FAILED: expected" in done.stdout and expected in done.stdout, done.stdout

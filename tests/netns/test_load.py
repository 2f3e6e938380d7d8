"""sluice-perf load: nothing goes wrong while lists change, and each counter notices if it does."""

import json
import os
import subprocess

import pytest

import harness

ROOT = os.path.dirname(os.path.dirname(harness.HERE))
PERF = os.environ.get("SLUICE_PERF") or os.path.join(ROOT, "zig-out", "bin", "sluice-perf")

with open("/proc/self/uid_map", encoding="ascii") as uid_map:
    MAY_LOAD_BPF = os.geteuid() == 0 and uid_map.read().split() == ["0", "0", "4294967295"]

COUNTERS = ["lost", "duplicated", "reordered", "misrouted"]


def run_load(*args):
    """Exit status and the value of each case."""
    done = subprocess.run([PERF, "load", "--json", "--prefixes", "1000", *args], timeout=60,
                          capture_output=True, cwd=ROOT, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    values = {line["case"].removeprefix("load given "): line["value"] for line in lines[1:]}
    return done.returncode, values, done.stderr


def test_reloads_cost_no_packet():
    status, values, errors = run_load("--rate", "2000", "--seconds", "0.5", "--reload-rate", "20")
    for run in ("quiet", "reloads"):
        assert [values[f"{run} {c}"] for c in COUNTERS] == [0, 0, 0, 0], errors
        assert values[f"{run} blocked"] == 0
        times = [values[f"{run} {q}"] for q in ("p50", "p90", "p99", "p999", "p9999", "max")]
        assert 0 < times[0] and times == sorted(times)
    assert values["reloads changes"] == 10
    assert status == 0, errors


def test_edits_cost_no_packet():
    status, values, errors = run_load("--rate", "2000", "--seconds", "0.4", "--reload-rate", "50",
                                      "--edits")
    assert [values[f"edits {c}"] for c in COUNTERS] == [0, 0, 0, 0], errors
    assert values["edits changes"] == 20 and status == 0, errors


@pytest.mark.parametrize("fault, counter", [
    ("lose", "lost"), ("duplicate", "duplicated"), ("reorder", "reordered"),
    ("misroute", "misrouted"),
])
def test_planted_fault(fault, counter):
    status, values, errors = run_load("--rate", "20000", "--seconds", "0.3", "--fault", fault)
    assert status == 1
    for run in ("quiet", "reloads"):
        assert values[f"{run} {counter}"] >= 1, errors
        others = [c for c in COUNTERS if c not in (counter, "lost")]
        assert [values[f"{run} {c}"] for c in others] == [0] * len(others), errors


@pytest.mark.skipif(not MAY_LOAD_BPF, reason="no BPF program may be loaded in a user namespace")
def test_four_workers_keep_the_order():
    """Until flows are dealt out by lot."""
    args = ["--rate", "40000", "--seconds", "0.2", "--queues", "4"]
    status, values, errors = run_load(*args)
    assert [values[f"{run} reordered"] for run in ("quiet", "reloads")] == [0, 0], errors
    status, values, errors = run_load(*args, "--flows", "6", "--fault", "scatter")
    assert values["quiet reordered"] + values["reloads reordered"] >= 1 and status == 1, errors


def test_links_and_queues_change():
    """What is lost with a link or a daemon is told apart, and all is well within a second."""
    status, values, errors = run_load("--rate", "1000", "--seconds", "1.2", "--flap-rate", "2",
                                      "--queues", "2,1")
    assert status == 0, errors
    assert values["reloads lost"] == 0 and values["reloads outage"] > 50, values
    assert values["reloads recovery"] <= 1000


@pytest.mark.parametrize("args", [
    ["--rate", "0"], ["--flows", "5"], ["--queues", "1,x"], ["--fault", "none"], ["--size", "63"],
    ["--rate", "auto:90"], ["--reloads", "0"], ["extra"], ["--seconds", "1x"],
])
def test_bad_options(args):
    done = subprocess.run([PERF, "load", *args], capture_output=True, text=True, timeout=10,
                          check=False)
    assert done.returncode == 1 and "usage: sluice-perf load" in done.stderr and not done.stdout

"""sluice-perf lpm --json: every line has the fields and the names that others read."""

import json
import os
import re
import subprocess

import pytest

import harness

ROOT = os.path.dirname(os.path.dirname(harness.HERE))
PERF = os.environ.get("SLUICE_PERF") or os.path.join(ROOT, "zig-out", "bin", "sluice-perf")

FIELDS = ["case", "value", "unit", "min", "max", "runs", "peer", "peer_value", "ratio"]
PEERS = re.compile(r"rte_(fib [124]B|fib6 [24]B|lpm)"
                   r"( scalar \w+| scalar| avx512| lookup| bulk| x4)?")

TABLE = "".join([
    "".join(f"10.{i}.0.0/16\n10.{i}.7.0/24\n10.{i}.7.{i}/32\n" for i in range(40)),
    "".join(f"2001:db8:{i:x}::/48\n2001:db8:{i:x}:7::/64\n" for i in range(40)),
    "2001:db8::1/128\n192.0.2.0/25\n",
])


def run_perf(*args):
    return subprocess.run([PERF, "lpm", "--quick", "--json", *args], capture_output=True,
                          cwd=ROOT, text=True, timeout=60, check=False)


def names(family, table):
    """Of the cases of a table, and the unit of each."""
    found = {}
    for keys in ("uniform", "inside", "zipf"):
        for burst in (1, 8, 32, 256):
            found[f"{family} {keys} {table} burst{burst}"] = "ns"
    found[f"{family} dependent {table} burst1"] = "ns"
    found[f"{family} parse {table}"] = "ms"
    found[f"{family} build {table}"] = "ms"
    for burst in ("burst32", "burst256", "burst256 alone", "burst256 returned"):
        found[f"{family} publish {table} {burst}"] = "us"
    for what in ("", " resident") + ((" first", " second") if family == "v4" else ()):
        found[f"{family} memory {table}{what}"] = "bytes"
    return found


def check_line(line):
    assert list(line) == FIELDS, line
    assert 0 <= line["min"] <= line["value"] <= line["max"], line
    assert line["runs"] == (1 if line["unit"] == "bytes" else 5), line
    if line["peer"] is None:
        assert line["peer_value"] is None and line["ratio"] is None, line
    else:
        assert PEERS.fullmatch(line["peer"]), line
        assert line["ratio"] == pytest.approx(line["peer_value"] / line["value"], rel=0.01), line


def test_json_lines(tmp_path):
    table = tmp_path / "table.txt"
    table.write_text(TABLE)
    done = run_perf("--table", str(table))
    assert done.returncode == 0, done.stderr
    head, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(head) == ["machine", "cores", "kernel", "commit", "table", "peers"]
    assert head["table"] == f"{table}, 121 IPv4 and 81 IPv6 prefixes"
    expected = {}
    for name in ("full", "country", "800"):
        for family in ("v4", "v6"):
            expected.update(names(family, name))
    for line in lines:
        check_line(line)
    own = [line for line in lines if not line["case"].endswith(" rte_lpm")]
    assert {line["case"]: line["unit"] for line in own} == expected
    assert len(own) == len(expected)
    without = [line["case"] for line in own if line["unit"] == "ns" and line["peer"] is None]
    if head["peers"].startswith("none"):
        assert len(own) == len(lines) and len(without) == 2 * 3 * 13
    else:
        assert head["peers"].startswith("DPDK ") and without == []
        assert len(lines) - len(own) == 3 * (13 + 1), "rte_lpm: look-ups and memory of IPv4"


def test_what_is_made_up_says_so():
    done = run_perf("--no-peers", "--case", "v6 build madeup")
    assert done.returncode == 0, done.stderr
    head, line = [json.loads(line) for line in done.stdout.splitlines()]
    assert head["table"].startswith("MADE UP") and head["peers"] == "none: not wanted"
    assert line["case"] == "v6 build madeup" and line["peer"] is None


def test_bad_table(tmp_path):
    table = tmp_path / "table.txt"
    table.write_text("192.0.2.0/24\nfoo\n")
    done = run_perf("--table", str(table))
    assert done.returncode == 1 and done.stdout == ""
    assert f"{table}:2:1: " in done.stderr


def test_help_is_no_error():
    for name in ("lpm", "ring", "flow", "path", "load", "wireguard", "traffic"):
        done = subprocess.run([PERF, name, "--help"], capture_output=True, text=True, timeout=10,
                              check=False)
        assert done.returncode == 0 and done.stderr == "", name
        assert done.stdout.startswith(f"usage: sluice-perf {name}"), name


@pytest.mark.parametrize("wrong", [["--queues", "0"], ["--queues", "1,x"], ["--runs", "0"],
                                   ["--ms", "x"], ["--frob"], ["extra"]])
def test_path_refuses(wrong):
    done = subprocess.run([PERF, "path", *wrong], capture_output=True, cwd=ROOT, text=True,
                          timeout=10, check=False)
    assert done.returncode == 1 and done.stdout == "" and "usage:" in done.stderr


def test_path_runs_no_case_of_another_name():
    done = subprocess.run([PERF, "path", "--json", "--cases", "memory frob"], capture_output=True,
                          cwd=ROOT, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
    assert [list(json.loads(line)) for line in done.stdout.splitlines()] == [
        ["machine", "cores", "kernel", "commit"]]


def wireguard(*args):
    return subprocess.run([PERF, "wireguard", *args], capture_output=True, cwd=ROOT, text=True,
                          timeout=60, check=False)


@pytest.mark.parametrize("wrong", [["--runs", "0"], ["--peer"], ["--frob"], ["extra"],
                                   [*"--peer a --peer b --peer c --peer d --peer e".split()]])
def test_wireguard_refuses(wrong):
    done = wireguard(*wrong)
    assert done.returncode == 1 and done.stdout == "" and "usage:" in done.stderr


def test_wireguard_compares_in_one_run():
    done = wireguard("--json", "--runs", "1", "--cases", "memory peak", "--peer",
                     "/usr/bin/wireguard-go")
    assert done.returncode == 0, done.stderr
    _, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["case"] for line in lines] == [
        "memory peak", "memory peak beside wireguard-go", *2 * ["memory peak wireguard-go"]]
    assert all(line["value"] > 1 for line in lines)


def test_wireguard_says_which_peer_fails():
    done = wireguard("--json", "--runs", "1", "--cases", "memory peak", "--peer", "/bin/false")
    assert done.returncode == 1 and "/bin/false does not start" in done.stderr


def test_wireguard_stays_silent():
    done = wireguard("--flood", "--json", "--cases", "hostile", "--datagrams", "20000")
    assert done.returncode == 0, done.stderr
    _, *lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {line["case"]: line["value"] for line in lines}
    assert found["hostile taken"] > 20000 and found["hostile answered"] == 0

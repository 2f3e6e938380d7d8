"""diff says what the reload after it then does."""

import json
import os
import socket
import time

import pytest

from harness import Sluice, TcpSession, udp_ask
from test_egress import LISTED4, LISTED6, OTHER4, OTHER6, conf

FILES = {"listed.txt": "198.51.100.0/24\n2a02:db8::/32\n"}
# 198.51.100.0/24 stays, 2a02:db8::/32 shrinks, three are new, of which one is covered.
NEW = "198.51.100.0/24\n203.0.113.0/24\n203.0.113.64/26\n2a00:1450::/32\n2a02:db8:1::/48\n"
V6_LEFT = 2**96 - 2**80


def start(gateway, **options):
    return Sluice(gateway.gw, conf(**options), files=FILES)


def moves(answer):
    return {(m["from"], m["to"]): m for m in answer["moves"]}


def counter(sluice, name):
    return next(c["value"] for c in sluice.json("stats")["counters"] if c["name"] == name)


def test_the_reload_does_what_was_said(gateway):
    sluice = start(gateway, queues=2)
    sessions = [gateway.client.python(TcpSession, a) for a in
                (LISTED4, LISTED4, LISTED6, LISTED6, LISTED6, OTHER4, OTHER6, "192.0.2.9")]
    moving = {OTHER4: 1, OTHER6: 1, LISTED6: 3}
    sluice.write("listed.txt", NEW)
    said = sluice.json("diff")
    assert said["differ"] and said["on_change"] == "reset"
    assert said["v4"] == {"added": 2, "removed": 0, "moved": 0, "kept": 1}
    assert said["v6"] == {"added": 2, "removed": 1, "moved": 0, "kept": 0}
    pairs = moves(said)
    assert set(pairs) == {("vpn", "direct"), ("direct", "vpn")}
    to, back = pairs[("vpn", "direct")], pairs[("direct", "vpn")]
    # What is added inside of a prefix that goes the same way moves nothing.
    assert (to["prefixes4"], to["addresses4"]) == (2, 256)
    assert (to["prefixes6"], int(to["addresses6"]), to["blocks6"]) == (1, 2**96, "1 /32")
    assert (back["prefixes4"], back["addresses4"]) == (0, 0)
    assert (back["prefixes6"], int(back["addresses6"])) == (1, V6_LEFT)
    assert (to["flows"], back["flows"]) == (2, 3)
    assert (said["flows"], said["flows_kept"]) == (5, 3)
    for option, flows in (("-4", 1), ("-6", 4)):
        assert sluice.json(option, "diff")["flows"] == flows
    # Nothing has happened yet.
    assert sluice.json("status")["generation"] == 1
    assert gateway.client.python(udp_ask, OTHER4).side == "exit"
    for session in sessions:
        session.ask(b"still")

    # The datagram made a flow more.
    said = sluice.json("diff")
    assert said["flows"] == 6
    before = {n: counter(sluice, n) for n in ("flow_moved", "flow_renewed")}
    sluice.reload()
    for session, address in zip(sessions, (LISTED4, LISTED4, LISTED6, LISTED6, LISTED6, OTHER4,
                                           OTHER6, "192.0.2.9")):
        if address in moving:
            with pytest.raises(ConnectionError):
                session.ask(b"over")
                session.ask(b"over")
        else:
            session.ask(b"untouched")
    assert counter(sluice, "flow_moved") - before["flow_moved"] == said["flows"] - 1
    assert counter(sluice, "flow_renewed") - before["flow_renewed"] == said["flows_kept"]
    # The one whose side is silent will be moved by this reload, whatever comes after it.
    again = sluice.json("diff")
    assert (again["flows"], again["moves"], again["differ"]) == (0, [], False)
    assert again["v4"] == {"added": 0, "removed": 0, "moved": 0, "kept": 3}
    # Back to the old list, it never has to move.
    sluice.write("listed.txt", FILES["listed.txt"])
    assert set(moves(sluice.json("diff"))) == {("vpn", "direct"), ("direct", "vpn")}


def test_it_agrees_with_get(gateway):
    """Address by address: what diff counts is what get answers before and after."""
    old = "".join(f"10.9.0.{n}/{length}\n" for n, length in
                  ((0, 26), (16, 28), (64, 27), (130, 32), (192, 27), (224, 28)))
    new = "".join(f"10.9.0.{n}/{length}\n" for n, length in
                  ((0, 27), (16, 28), (48, 29), (64, 27), (128, 30), (192, 26)))
    sluice = Sluice(gateway.gw, conf(), files={"listed.txt": old})
    space = [f"10.9.0.{n}" for n in range(256)]
    before = [sluice.json("get", a)["egress"] for a in space]
    sluice.write("listed.txt", new)
    said = moves(sluice.json("diff"))
    sluice.reload()
    after = [sluice.json("get", a)["egress"] for a in space]
    for pair in (("vpn", "direct"), ("direct", "vpn")):
        assert said[pair]["addresses4"] == list(zip(before, after)).count(pair) > 0, pair


def test_what_to_compare_with(gateway):
    """Another file for one list, its own file, another configuration; relative to the caller."""
    sluice = start(gateway)
    elsewhere = sluice.file("elsewhere")
    os.mkdir(elsewhere)
    sluice.write("elsewhere/new.txt", "198.51.100.0/25\n")
    sluice.write("other.conf", conf(rule="vpn", default="direct"))

    def diff(*words):
        return sluice.ctl("diff", *words, cwd=elsewhere, check=False)

    done = diff("listed=new.txt", "-a")
    assert done.returncode == 0, done
    old, new = sluice.file("listed.txt"), sluice.file("elsewhere/new.txt")
    assert done.stdout.splitlines()[:3] == [
        f"- 198.51.100.0/24  direct -> vpn  {old}:1",
        f"+ 198.51.100.0/25  direct  {new}:1",
        f"- 2a02:db8::/32  direct -> vpn  {old}:2"]
    assert [c["change"] for c in sluice.json("diff", "-a", f"listed={new}")["changes"]] == [
        "removed", "added", "removed"]
    assert diff("-q", "listed=new.txt").returncode == 5
    assert diff("-q").returncode == 0
    assert diff("-q", "listed=").returncode == 0
    assert "nothing would move" in diff().stdout
    assert diff("-q", "../other.conf").returncode == 5
    swapped = diff("../other.conf")
    assert swapped.returncode == 0 and "vpn" in swapped.stdout, swapped
    said = sluice.json("diff", sluice.file("other.conf"))
    pairs = moves(said)
    assert pairs[("vpn", "direct")]["addresses4"] == 2**32 - 256
    assert pairs[("direct", "vpn")]["addresses4"] == 256
    assert int(pairs[("vpn", "direct")]["addresses6"]) == 2**128 - 2**96
    assert said["v4"]["moved"] == said["v6"]["moved"] == 1
    sluice.write("listed.txt", NEW)
    assert diff("-q", "listed=").returncode == 5
    assert diff("-q", "-6", "listed=").returncode == 5
    assert sluice.json("status")["generation"] == 1


def test_what_cannot_be_compared(gateway):
    """The words of a reload, and as little done."""
    sluice = start(gateway)
    sluice.write("bad.txt", "198.51.100.0/24\n45.5.52.0/33\n")
    sluice.write("devices.conf", conf(direct="PortRange = 30000-31000"))
    os.mkfifo(sluice.file("pipe"))
    for words, status, text in (
            (["listed=" + sluice.file("bad.txt")], 2, "bad.txt:2:"),
            ([sluice.file("devices.conf")], 2, "restart"),
            (["listed=" + sluice.file("none.txt")], 2, "No such file"),
            (["listed=" + sluice.file("pipe")], 2, "not a regular file"),
            ([sluice.file("pipe")], 2, "not a regular file"),
            ([sluice.folder], 2, "not a regular file"),
            (["nosuch=" + sluice.file("bad.txt")], 4, "nosuch"),
            ([sluice.file("bad.txt")], 2, "bad.txt:1:1")):
        done = sluice.ctl("diff", "-q", *words, check=False)
        assert done.returncode == status and text in done.stderr, done
    sluice.write("listed.txt", "nonsense\n")
    by_diff, by_reload = (sluice.ctl(c, check=False) for c in ("diff", "reload"))
    assert by_diff.returncode == 2 and "listed.txt:1:1" in by_diff.stderr
    assert by_reload.stderr.startswith(by_diff.stderr)
    assert sluice.json("status")["generation"] == 1
    assert gateway.client.python(udp_ask, LISTED4).side == "isp"


def test_no_flow_is_overlooked(gateway):
    """Many, wherever the route caches of two queues keep them."""
    def send():
        for _ in range(4):  # a port of its own each, by which the queue is picked
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                for n in range(100):
                    s.sendto(b"", (f"203.0.{2 * n}.1", 9))

    sluice = start(gateway, queues=2)
    gateway.client.python(send)
    gateway.client.python(udp_ask, OTHER4)  # all before it have been seen, but for another queue's
    flows = -1
    while flows != (flows := sluice.json("status")["flows"]):
        time.sleep(0.2)
    sluice.write("listed.txt", "203.0.0.0/17\n")
    said = sluice.json("diff")
    assert said["flows"] + said["flows_kept"] == sluice.json("status")["flows"] > 380
    assert said["flows"] == moves(said)[("vpn", "direct")]["flows"]
    assert 4 * 64 - 10 <= said["flows"] <= 4 * 64 + 1


def test_who_may_reload_may_ask(gateway):
    """It opens files by name and quotes them in errors."""
    sluice = start(gateway)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sluice.socket)
        s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"rpc.methods"}\n')
        answer = json.loads(s.makefile().readline())
    writes = {m["name"]: m["writes"] for m in answer["result"]}
    assert writes["diff"] and writes["reload"] and not writes["status"]


def test_flows_that_drain(gateway):
    """OnChange = keep: what drains already is not counted twice."""
    options = {"capture": "Capture = forward\nFrom = lan0\nOnChange = keep",
               "extra": "[Egress none]\nType = drop"}
    sluice = start(gateway, **options)
    old = gateway.client.python(TcpSession, OTHER4)
    sluice.write("listed.txt", NEW)
    said = sluice.json("diff")
    assert (said["flows"], said["on_change"]) == (1, "keep")
    assert "1 would drain" in sluice.ctl("diff").stdout
    sluice.reload()
    old.ask(b"drains")
    assert sluice.json("diff")["flows"] == 0
    assert sluice.ctl("diff", "-q", check=False).returncode == 0
    sluice.write("sluice.conf", conf(rule="none", **options))
    said = sluice.json("diff")
    assert (said["flows"], said["v4"]["moved"]) == (0, 3)
    sluice.reload()
    old.ask(b"drains on")

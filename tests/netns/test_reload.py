"""Reloads under traffic: what stays is not touched, what moves moves at once."""

import gzip
import os
import threading
import time

import pytest

from harness import Capture, Sluice, TcpSession, tcp_fetch, udp_ask
from test_egress import LISTED4, OTHER4, OTHER6, conf, links

MOVING = "45.5.52.9"
LISTS = {"listed.txt": "198.51.100.0/24\n"}
WITH_MOVING = "198.51.100.0/24\n45.5.52.0/22\n"


def start(gateway, **options):
    return Sluice(gateway.gw, conf(**options), files=LISTS)


def test_flows_move_and_stay(gateway):
    sluice = start(gateway)
    stays = [gateway.client.python(TcpSession, a) for a in (LISTED4, OTHER4, OTHER6)]
    moves = gateway.client.python(TcpSession, MOVING)
    assert [s.seen.side for s in stays + [moves]] == ["isp", "exit", "exit", "exit"]
    sluice.write("listed.txt", WITH_MOVING)
    assert "generation 2" in sluice.reload().stdout
    with pytest.raises(ConnectionError):
        moves.ask(b"over")
        moves.ask(b"over")
    assert gateway.client.python(TcpSession, MOVING).seen.side == "isp"
    for s in stays:
        s.ask(b"untouched")


def test_keep_drains(gateway):
    sluice = start(gateway, capture="Capture = forward\nFrom = lan0\nOnChange = keep")
    old = gateway.client.python(TcpSession, MOVING)
    sluice.write("listed.txt", WITH_MOVING)
    sluice.reload("listed")
    old.ask(b"as before")
    assert gateway.client.python(TcpSession, MOVING).seen.side == "isp"
    flows = sluice.json("flow", "show", "address", MOVING)["flows"]
    assert {f["state"] for f in flows if f["egress"] == "vpn"} == {"draining"}, flows
    old.ask(b"still")


def test_hundred_reloads_lose_nothing(gateway):
    sluice = start(gateway, queues=2)
    captures = links(gateway)
    asked, wrong = {"isp": 0, "exit": 0}, []
    stop = threading.Event()

    def ask(address, side):
        while not stop.is_set():
            seen = gateway.client.python(udp_ask, address, timeout=5)
            asked[side] += 1
            if seen.side != side:
                wrong.append(seen)

    threads = [threading.Thread(target=ask, args=a) for a in ((LISTED4, "isp"), (OTHER4, "exit"))]
    for thread in threads:
        thread.start()
    try:
        for i in range(100):
            sluice.write("listed.txt", WITH_MOVING if i % 2 == 0 else LISTS["listed.txt"])
            sluice.reload()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sluice.json("status")["generation"] == 101
    assert not wrong
    for name, address, other in (("isp", LISTED4, OTHER4), ("exit", OTHER4, LISTED4)):
        assert asked[name] > 50
        assert len(captures[name].frames(dst=address)) == asked[name], "one was lost or sent twice"
        assert not captures[name].frames(dst=other)


def edited(sluice):
    """Name of each list with what edits made of it."""
    return {x["name"]: (x["v4"], x["v6"], x["added"], x["removed"])
            for x in sluice.json("list", "show")["lists"]}


def test_edits_move_at_once_and_are_named(gateway):
    """list add and del: one generation each; a reload goes back to the file."""
    sluice = start(gateway)
    stays = gateway.client.python(TcpSession, LISTED4)
    moves = gateway.client.python(TcpSession, MOVING)
    assert moves.seen.side == "exit"
    done = sluice.ctl("list", "add", "listed", "45.5.52.0/22", "198.51.100.0/24", "2001:db8:9::/48")
    assert "generation 2: 2 added, 1 there already" in done.stdout, done
    with pytest.raises(ConnectionError):
        moves.ask(b"over")
        moves.ask(b"over")
    assert gateway.client.python(TcpSession, MOVING).seen.side == "isp"
    stays.ask(b"untouched")
    assert edited(sluice) == {"listed": (2, 1, 2, 0)}
    shown = sluice.ctl("list", "show").stdout
    assert "+2" in shown and "REMOVED" not in shown, shown
    why = sluice.ctl("get", MOVING).stdout
    assert "listed (added): 45.5.52.0/22 is the longest prefix" in why, why
    assert "listed.txt:1, list listed: 198.51.100.0/24" in sluice.ctl("get", LISTED4).stdout
    flows = {f["destination"]: f for f in sluice.json("flow", "show")["flows"]}
    assert flows[MOVING]["added"] and flows[MOVING]["prefix"] == "45.5.52.0/22"
    assert flows[LISTED4]["line"] == 1 and flows[LISTED4]["file"].endswith("listed.txt")
    shown = sluice.ctl("flow", "show").stdout
    assert "listed.txt:1" in shown and "(added)" in shown, shown

    assert "1 removed" in sluice.ctl("list", "del", "listed", "198.51.100.0/24").stdout
    assert gateway.client.python(udp_ask, LISTED4).side == "exit"
    assert edited(sluice) == {"listed": (1, 1, 2, 1)}
    assert sluice.json("status")["generation"] == 3
    diff = sluice.json("diff")
    assert [diff["v4"]["added"], diff["v4"]["removed"], diff["v6"]["removed"]] == [1, 1, 1], diff
    assert "2 added, 1 removed prefixes dropped" in sluice.reload("listed").stdout
    assert edited(sluice) == {"listed": (1, 0, 0, 0)}
    assert gateway.client.python(udp_ask, LISTED4).side == "isp"
    assert gateway.client.python(udp_ask, MOVING).side == "exit"


def test_edits_come_by_stdin_and_file(gateway):
    sluice = start(gateway)
    with open(sluice.file("more.txt"), "w", encoding="utf-8") as f:
        f.writelines(f"45.{i >> 8}.{i & 255}.0/24\n" for i in range(20000))
    assert sluice.json("list", "add", "listed", "file", sluice.file("more.txt"))["added"] == 20000
    assert edited(sluice) == {"listed": (20001, 0, 20000, 0)}
    assert gateway.client.python(udp_ask, MOVING).side == "isp"
    text = "# gone again\n45.5.52.0/24\n45.0.0.0-45.0.1.255\n"
    done = sluice.ctl("list", "d", "listed", "45.6.0.0/24", "-", check=False, input=text)
    assert done.returncode == 4 and "45.0.0.0/23 is not in list 'listed'" in done.stderr, done
    done = sluice.ctl("list", "d", "listed", "45.6.0.0/24", "-", input="45.5.52.0/24\n")
    assert "generation 3: 2 removed" in done.stdout, done
    assert gateway.client.python(udp_ask, MOVING).side == "exit"
    many = "".join(f"10.{i >> 8}.{i & 255}.0/24\n" for i in range(16001))
    done = sluice.ctl("list", "add", "listed", "-", check=False, input=many)
    assert done.returncode == 1 and "file PATH" in done.stderr, done
    assert sluice.json("status")["generation"] == 3


@pytest.mark.parametrize("words, status, says", [
    (("add", "listed", "45.5.52.0/22", "45.5.52.0/33"), 1, "length 33 is past 32"),
    (("add", "listed", "45.5.52.0/22", "nonsense"), 1, "not a prefix: 'nonsense'"),
    (("add", "listed", "45.5.52.0/22", "#"), 1, "not a prefix: '#'"),
    (("add", "nosuch", "45.5.52.0/22"), 4, "no list is named 'nosuch'"),
    (("del", "listed", "198.51.100.0/24", "45.5.52.0/22"), 4, "45.5.52.0/22 is not in list"),
    (("del", "listed", "198.51.100.0/25"), 4, "198.51.100.0/25 is not in list"),
    (("add", "--frob", "listed", "45.5.52.0/22"), 1, "unknown option '--frob'"),
    (("add", "listed"), 1, "needs a NAME and a PREFIX"),
    (("add", "listed", "file", "nosuch.txt"), 1, "nosuch.txt"),
    (("add", "listed", "file", "broken.txt"), 2, "broken.txt:2:1: not a prefix: 'x'"),
])
def test_bad_edit_changes_nothing(gateway, words, status, says):
    sluice = Sluice(gateway.gw, conf(), files={**LISTS, "broken.txt": "45.5.52.0/22\nx\n"})
    words = [sluice.file(w) if w == "broken.txt" else w for w in words]
    done = sluice.ctl("list", *words, check=False)
    assert done.returncode == status and says in done.stderr, done
    assert sluice.json("status")["generation"] == 1
    assert edited(sluice) == {"listed": (1, 0, 0, 0)}
    assert gateway.client.python(udp_ask, LISTED4).side == "isp"
    assert gateway.client.python(udp_ask, MOVING).side == "exit"


def test_hundreds_of_edits_lose_nothing(gateway):
    """Prefixes come and go beside those that datagrams go to, inside them and round them."""
    sluice = start(gateway, queues=2)
    captures = links(gateway)
    asked, wrong = {"isp": 0, "exit": 0}, []
    stop = threading.Event()

    def ask(address, side):
        while not stop.is_set():
            seen = gateway.client.python(udp_ask, address, timeout=5)
            asked[side] += 1
            if seen.side != side:
                wrong.append(seen)

    threads = [threading.Thread(target=ask, args=a) for a in ((LISTED4, "isp"), (OTHER4, "exit"))]
    for thread in threads:
        thread.start()
    edits = (("add", "198.51.100.0/25"), ("add", "45.5.52.0/22", "198.51.100.128/25"),
             ("del", "198.51.100.0/24"), ("add", "198.51.100.0/24"), ("add", "198.51.0.0/16"),
             ("del", "198.51.100.0/25", "198.51.100.0/24"), ("add", "198.51.100.0/24"),
             ("del", "198.51.0.0/16", "45.5.52.0/22", "198.51.100.128/25"))
    try:
        for i in range(240):
            verb, *prefixes = edits[i % len(edits)]
            sluice.ctl("list", verb, "listed", *prefixes)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sluice.json("status")["generation"] == 241
    assert not wrong
    for name, address, other in (("isp", LISTED4, OTHER4), ("exit", OTHER4, LISTED4)):
        assert asked[name] > 50
        assert len(captures[name].frames(dst=address)) == asked[name], "one was lost or sent twice"
        assert not captures[name].frames(dst=other)


@pytest.mark.parametrize("text, place", [
    ("198.51.100.0/24\n45.5.52.0/33\n", "listed.txt:2:"),
    ("nonsense\n", "listed.txt:1:1"),
    ("1.2.3.4-1.2.3.3\n", "listed.txt:1:"),
])
def test_bad_list_changes_nothing(gateway, text, place):
    sluice = start(gateway)
    sluice.write("listed.txt", text)
    done = sluice.ctl("reload", check=False)
    assert done.returncode == 2 and place in done.stderr, done
    sluice.process.send_signal(1)  # SIGHUP
    time.sleep(0.3)
    assert place in sluice.log()
    assert sluice.json("status")["generation"] == 1
    assert gateway.client.python(udp_ask, LISTED4).side == "isp"


def test_configuration_is_read_again(gateway):
    """Rules may change, devices may not; a bad file changes nothing."""
    sluice = start(gateway)
    sluice.write("sluice.conf", conf(rule="vpn"))
    sluice.reload()
    assert gateway.client.python(udp_ask, LISTED4).side == "exit"
    sluice.write("sluice.conf", conf().replace("Name = sluice0", "Nmae = sluice0"))
    done = sluice.ctl("reload", check=False)
    assert done.returncode == 2 and "sluice.conf:3:1" in done.stderr and "Name" in done.stderr, done
    sluice.write("sluice.conf", conf(direct="PortRange = 30000-31000"))
    done = sluice.ctl("reload", check=False)
    assert done.returncode == 2 and "direct" in done.stderr and "restart" in done.stderr, done
    assert gateway.client.python(udp_ask, LISTED4).side == "exit"
    sluice.write("sluice.conf", conf())
    sluice.process.send_signal(1)
    deadline = time.monotonic() + 5
    while gateway.client.python(udp_ask, LISTED4).side != "isp":
        assert time.monotonic() < deadline, sluice.log()


def test_one_list_of_two(gateway):
    """reload NAME reads that list alone; gzip is read as it is."""
    two = conf().replace("[Default]", "[List more]\nFile = more.txt\n[Rule]\nList = more\n"
                         "Egress = direct\n[Default]")
    sluice = Sluice(gateway.gw, two, files={**LISTS, "more.txt": "8.8.8.0/24\n"})
    with open(sluice.file("more.txt"), "wb") as f:
        f.write(gzip.compress(b"8.8.4.0/24\n"))
    sluice.write("listed.txt", "broken\n")
    sluice.reload("more")
    assert gateway.client.python(udp_ask, "8.8.8.8").side == "exit"
    assert gateway.client.python(udp_ask, "8.8.4.4").side == "isp"
    assert gateway.client.python(udp_ask, LISTED4).side == "isp"
    done = sluice.ctl("reload", "nosuch", check=False)
    assert done.returncode == 4 and "nosuch" in done.stderr


def test_crash_and_restart(gateway):
    """kill -9: nothing leaves any more; then it starts again over what was left."""
    sluice = start(gateway)
    captures = links(gateway)
    for name, address in (("isp", LISTED4), ("exit", OTHER4)):
        captures[name].control(gateway.client, address)
    sluice.kill9()
    for capture in captures.values():
        capture.clear()
    for address in (LISTED4, OTHER4, OTHER6):
        with pytest.raises(OSError):
            gateway.client.python(udp_ask, address, timeout=0.3)
    for capture in captures.values():
        assert not [f for f in capture.frames() if f.dst in (LISTED4, OTHER4, OTHER6)]
    sluice.start()
    assert gateway.client.python(udp_ask, LISTED4).side == "isp"
    assert gateway.client.python(tcp_fetch, OTHER4, size=100000).side == "exit"
    assert sluice.stop() == 0
    assert not os.path.exists(sluice.socket)
    assert gateway.gw.run("ip -o link").stdout.count("sluice0") == 0

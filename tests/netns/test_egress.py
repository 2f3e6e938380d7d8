"""Each egress with live traffic; captures outside the gateway are the judge.

                      +-- eth0 -- isp  -- world_isp
    client -- lan0 -- gw
                      +-- vpn0 -- exit -- world_exit      (see topology.py)
"""

import re
import socket
import time

import pytest

from harness import (Capture, Sluice, TcpSession, kernel_gateway, ping, tcp_fetch, tcp_send,
                     udp_ask)

LISTED4, LISTED6 = "198.51.100.7", "2a02:db8::7"
OTHER4, OTHER6 = "203.0.113.77", "2a00:1450:4001::77"
MAPPED = range(40000, 60000)
TCP_RST = 4


def conf(queues=1, capture="Capture = forward\nFrom = lan0", direct="", vpn="", extra="",
         rule="direct", default="vpn", addresses="10.66.0.1/24, fd66::1/64"):
    return f"""
[Interface]
Name = sluice0
Address = {addresses}
Queues = {queues}
{capture}
[Egress direct]
Type = interface
Interface = eth0
{direct}
[Egress vpn]
Type = interface
Interface = vpn0
{vpn or "Gateway = 192.168.8.1, 2001:db8:8::1"}
{extra}
[List listed]
File = listed.txt
[Rule]
List = listed
Egress = {rule}
[Default]
Egress = {default}
"""


FILES = {"listed.txt": "198.51.100.0/24\n2a02:db8::/32\n"}


def start(gateway, **options):
    return Sluice(gateway.gw, conf(**options), files=FILES)


def links(gateway):
    return {name: Capture(side.router, "gw0") for name, side in gateway.sides.items()}


def fails(function, *args, **kwargs):
    """The name of the error, or None."""
    try:
        function(*args, **kwargs)
    except OSError as e:
        return type(e).__name__
    return None


def use_both_sides(gateway):
    """TCP both ways, UDP and ping, both families, to both sides; all judged by both captures."""
    captures = links(gateway)
    asked = {"isp": (LISTED4, LISTED6), "exit": (OTHER4, OTHER6)}
    for name, addresses in asked.items():
        side = gateway.sides[name]
        for address, outer in zip(addresses, (side.gw4, side.gw6)):
            for ask, options in ((tcp_fetch, {"size": 300000}), (tcp_send, {"size": 300000}),
                                 (udp_ask, {"payload": b"x" * 900})):
                seen = gateway.client.python(ask, address, **options)
                assert (seen.side, seen.peer, seen.local) == (name, outer, address), ask
                assert seen.port in MAPPED
            gateway.client.python(ping, address)
            gateway.client.python(ping, address, size=1200)
    for name, capture in captures.items():
        mine = {f.dst for f in capture.frames() if f.dst in LISTED4 + LISTED6 + OTHER4 + OTHER6}
        assert mine == set(asked[name]), f"{name} carried {mine}"
        assert not [f for f in capture.frames() if f.flags & TCP_RST], "the kernel was not silent"


@pytest.mark.parametrize("queues", [1, 2, 4])
def test_interface(gateway, queues):
    start(gateway, queues=queues)
    use_both_sides(gateway)


@pytest.mark.parametrize("queues", [1, 2])
def test_interface_without_ethernet(l3_gateway, queues):
    start(l3_gateway, queues=queues, vpn="Gateway = auto")
    use_both_sides(l3_gateway)


def fanout_kinds(namespace):
    """By what answers are dealt out: PACKET_FANOUT_CBPF is 6, PACKET_FANOUT_EBPF 7."""
    return set(re.findall(r"fanout\(id:\d+,type:(\w+)\)", namespace.run("ss -0 -e").stdout))


def handed_over(sluice):
    return sum(q["handed_over"] for q in sluice.json("queue", "show")["queues"])


@pytest.mark.parametrize("bpf", [True, False])
def test_many_at_once(gateway, bpf):
    """200 sessions to both sides over 4 queues stay themselves.

    The kernel brings each to its worker, both ways; without steering workers hand over.
    """
    sluice = Sluice(gateway.gw, conf(queues=4), files=FILES, bpf=bpf)
    steering = sluice.json("status")["steering"]
    assert bpf or steering == "flow"
    assert fanout_kinds(gateway.gw) == {"0x6" if steering == "flow" else "0x7"}
    sessions = [gateway.client.python(TcpSession, address)
                for _ in range(50) for address in (LISTED4, LISTED6, OTHER4, OTHER6)]
    assert len({(s.seen.side, s.seen.peer, s.seen.port) for s in sessions}) == len(sessions)
    for _ in range(3):
        for s in sessions:
            s.ask(b"again")
    flows = sluice.json("flow", "show", "limit", "1000")["flows"]
    assert len([f for f in flows if f["proto"] == "tcp"]) == len(sessions)
    assert len({f["queue"] for f in flows}) > 1, "one queue did all the work"
    sources = {gateway.client.python(udp_ask, f"198.51.100.{i}", source=("10.1.0.2", 4567)).port
               for i in range(1, 9)}
    assert len(sources) == 1, "one port outside for one inside"
    assert bool(handed_over(sluice)) == (steering == "flow")
    for s in sessions:
        s.close()


def test_drop(gateway):
    sluice = start(gateway, extra="[Egress hole]\nType = drop", rule="hole")
    captures = links(gateway)
    captures["exit"].control(gateway.client, OTHER4)
    for address in (LISTED4, LISTED6):
        assert fails(gateway.client.python, tcp_fetch, address, timeout=0.5) == "TimeoutError"
        assert fails(gateway.client.python, udp_ask, address, timeout=0.3) == "TimeoutError"
        assert fails(gateway.client.python, ping, address, timeout=0.3) == "TimeoutError"
    for capture in captures.values():
        assert not [f for f in capture.frames() if f.dst in (LISTED4, LISTED6)]
    drops = {d["reason"]: d["value"] for d in sluice.json("stats")["drops"]}
    assert drops["rule"] >= 6, drops


def test_reject(gateway):
    """A TCP client is refused at once; a UDP client gets an ICMP error."""
    start(gateway, extra="[Egress no]\nType = reject", rule="no")
    captures = links(gateway)
    captures["exit"].control(gateway.client, OTHER4)
    for address in (LISTED4, LISTED6):
        began = time.monotonic()
        assert fails(gateway.client.python, tcp_fetch, address) == "ConnectionRefusedError"
        error = fails(gateway.client.python, udp_ask, address, timeout=5)
        assert error in ("PermissionError", "OSError", "ConnectionRefusedError"), error
        assert time.monotonic() - began < 1
    for capture in captures.values():
        assert not [f for f in capture.frames() if f.dst in (LISTED4, LISTED6)]


def test_on_link_neighbours(gateway):
    """Hosts on the interface's own subnet: the first packet waits for the neighbour."""
    side = gateway.isp
    side.router.serve("router")()
    sluice = Sluice(gateway.gw, conf(), files={"listed.txt": "192.168.7.0/24\n2001:db8:7::/64\n"})
    gateway.gw.run("ip neigh flush dev eth0")
    for address in (side.router4, side.router6):
        assert gateway.client.python(udp_ask, address).side == "router"
        assert gateway.client.python(tcp_fetch, address).side == "router"
    assert fails(gateway.client.python, udp_ask, "192.168.7.99", timeout=0.5) == "TimeoutError"
    time.sleep(3.2)
    drops = {d["reason"]: d["value"] for d in sluice.json("stats")["drops"]}
    assert drops["unresolved"] == 1, drops


def test_no_ipv6_way_out(gateway):
    """An IPv6 packet whose egress has no IPv6 is answered by an error and never sent."""
    gateway.gw.run("ip -6 addr flush dev vpn0 scope global")
    start(gateway, vpn="Gateway = 192.168.8.1")
    captures = links(gateway)
    captures["exit"].control(gateway.client, OTHER4)
    began = time.monotonic()
    assert fails(gateway.client.python, tcp_fetch, OTHER6) is not None
    assert time.monotonic() - began < 1, "the client was left waiting"
    assert gateway.client.python(udp_ask, OTHER4).side == "exit"
    for capture in captures.values():
        assert not [f for f in capture.frames() if f.dst == OTHER6]


def test_untranslated(gateway):
    """Nat = no: the sources stay, the routers know the way back."""
    start(gateway, direct="Nat = no")
    for address, source in ((LISTED4, gateway.client4), (LISTED6, gateway.client6)):
        seen = gateway.client.python(udp_ask, address)
        assert (seen.side, seen.peer) == ("isp", source)
        assert gateway.client.python(tcp_fetch, address, size=100000).peer == source
        gateway.client.python(ping, address)
    assert gateway.client.python(udp_ask, OTHER4).peer == gateway.exit.gw4


def test_strangers_get_nothing(gateway):
    """Packets to translated ports from whom no flow asked: no answer, and the client sees none."""
    start(gateway)
    session = gateway.client.python(TcpSession, LISTED4)
    gateway.client.python(udp_ask, LISTED4)
    inside = Capture(gateway.client, "eth0")
    inside.control(gateway.client, OTHER4)
    answers = Capture(gateway.isp.router, "gw0")

    def knock():
        for port in (session.seen.port, 40000, 50000, 59999):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.sendto(b"knock", (gateway.isp.gw4, port))
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
                s.settimeout(0.2)
                assert s.connect_ex((gateway.isp.gw4, port)) != 0

    gateway.isp.world.python(knock)
    assert not inside.frames(marker=b"knock")
    assert not [f for f in answers.frames() if f.src == gateway.isp.gw4 and f.sport in MAPPED]
    session.ask(b"still here")
    session.close()


def test_host_capture(gateway):
    """The gateway's own programs, also one that binds itself to an interface's address."""
    start(gateway, capture="Capture = host")
    captures = links(gateway)
    gw = gateway.gw
    for address, name in ((LISTED4, "isp"), (LISTED6, "isp"), (OTHER4, "exit"), (OTHER6, "exit")):
        assert gw.python(tcp_fetch, address, size=200000).side == name
        assert gw.python(udp_ask, address).side == name
        gw.python(ping, address)
        for side in (gateway.isp, gateway.exit):
            bound = side.gw6 if ":" in address else side.gw4
            assert gw.python(tcp_fetch, address, source=bound).side == name, bound
            assert gw.python(udp_ask, address, source=bound).side == name, bound
    for name, addresses in (("isp", (OTHER4, OTHER6)), ("exit", (LISTED4, LISTED6))):
        assert not [f for f in captures[name].frames() if f.dst in addresses]


def test_capture_none(gateway):
    """The user's own routes lead into the TUN."""
    start(gateway, capture="Capture = none")
    gateway.gw.ip("route add 198.51.100.0/25 dev sluice0\nroute add 203.0.113.0/24 dev sluice0\n")
    assert gateway.client.python(udp_ask, LISTED4).peer == gateway.isp.gw4
    assert gateway.client.python(udp_ask, OTHER4).side == "exit"
    assert gateway.client.python(udp_ask, "8.8.8.8").peer == gateway.client4, "not captured"


def test_the_kernel_does_the_same(gateway):
    """The positive control: without Sluice, the same questions reach the ISP."""
    kernel_gateway(gateway)
    assert gateway.client.python(udp_ask, OTHER4).side == "isp"

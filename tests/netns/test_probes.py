"""Who is next to an interface, or inside, tries to learn or take what is not his.

                      +-- eth0 -- isp  -- world_isp
    client -- lan0 -- gw
                      +-- vpn0 -- exit -- world_exit      (see topology.py)
"""

import ipaddress
import socket
import struct
import time

import pytest

from clients import checksum
from harness import Capture, TcpSession, udp_ask
from test_egress import LISTED4, LISTED6, OTHER4, start

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
SYN, RST, ACK = 2, 4, 16
TUN4, TUN6 = "10.66.0.1", "fd66::1"
CAPTURES = {"forward": "Capture = forward\nFrom = lan0", "host": "Capture = host"}


def ip_packet(src, dst, proto, body):
    """An IP packet; the checksum of the body, two zero bytes at `hole`, is put in."""
    src, dst = (ipaddress.ip_address(a).packed for a in (src, dst))
    hole = {TCP: 16, UDP: 6}.get(proto, 2)
    pseudo = src + dst + struct.pack("!II", len(body), proto)
    sum_ = checksum(body if proto == ICMP else pseudo + body)
    body = body[:hole] + struct.pack("!H", sum_) + body[hole + 2:]
    if len(src) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), proto, 255) + src + dst + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 255, proto, 0) + src + dst
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def segment(flags, sport=12345, dport=12345):
    return struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 1000, 0, 0)


def datagram(sport, dport, payload=b"probe"):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def probes(src, dst):
    """All that a system would answer that listens to nothing."""
    v6 = ":" in dst
    for flags in (SYN, SYN | ACK, ACK, RST | ACK):
        yield ip_packet(src, dst, TCP, segment(flags))
    yield ip_packet(src, dst, UDP, datagram(12345, 12345))
    echo = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 1, 1)
    yield ip_packet(src, dst, ICMP6 if v6 else ICMP, echo)


def throw(ns, ifname, mac, packets):
    """Send packets out of an interface to a link address, whatever the routes say."""
    def send():
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as s:
            for packet in packets:
                kind = 0x86dd if packet[0] >> 4 == 6 else 0x0800
                s.sendto(packet, (ifname, kind, 0, 0, bytes.fromhex(mac.replace(":", ""))))
                time.sleep(0.001)

    ns.python(send)


def answers(capture, *addresses):
    return [f for f in capture.frames() if f.src in addresses and not f.outgoing]


@pytest.mark.parametrize("capture", CAPTURES)
def test_tunnel_address_is_silent(gateway, capture):
    """CVE-2019-14899: forged segments to the TUN's address on the physical side get no answer."""
    start(gateway, capture=CAPTURES[capture])
    side, other = gateway.isp, Capture(gateway.exit.router, "gw0")
    seen, mac = Capture(side.router, "gw0"), gateway.gw.mac("eth0")
    gateway.client.python(udp_ask, LISTED4)  # in use
    control = [*probes(side.router4, side.gw4), *probes(side.router6, side.gw6)]
    throw(side.router, "gw0", mac, control)
    for address in (side.gw4, side.gw6):
        assert len(answers(seen, address)) >= 4, "the probes are no good"
    forged = [p for to, sources in ((TUN4, (side.router4, LISTED4, OTHER4)),
                                    (TUN6, (side.router6, LISTED6)))
              for source in sources for p in probes(source, to)]
    seen.clear()
    other.clear()
    throw(side.router, "gw0", mac, forged)
    sources = (side.router4, side.router6, LISTED4, LISTED6, OTHER4)
    heard = [f for c in (seen, other) for f in c.frames()
             if not f.outgoing and f.dst in sources and f.icmp not in ((135, 0), (136, 0))]
    assert not heard, "\n".join(map(str, heard))


@pytest.mark.parametrize("capture", CAPTURES)
def test_forged_answers_to_a_client(gateway, capture):
    """A SYN/ACK that nobody asked for reaches no client: its RST would tell, or go astray."""
    start(gateway, capture=CAPTURES[capture])
    side, lan = gateway.isp, Capture(gateway.client, "eth0")
    ways = [Capture(s.router, "gw0") for s in gateway.sides.values()]
    session = gateway.client.python(TcpSession, LISTED4)
    for c in (lan, *ways):
        c.frames(settle=0.1)  # what is still under way
        c.clear()
    throw(side.router, "gw0", gateway.gw.mac("eth0"),
          [ip_packet(source, to, TCP, segment(SYN | ACK, 7, port))
           for to, sources in ((gateway.client4, (side.router4, LISTED4, OTHER4)),
                               (gateway.client6, (side.router6, LISTED6)))
           for source in sources for port in (12345, session.socket.getsockname()[1])])
    heard = [f for f in lan.frames() if f.proto == TCP]
    heard += [f for c in ways for f in c.frames() if f.proto == TCP and not f.outgoing]
    assert not heard, "\n".join(map(str, heard))
    session.ask(b"still here")
    session.close()


def serve_once(ns, address, port):
    """A service of the gateway's own; returns a function that says what came."""
    def listen():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, port))
        s.settimeout(0.5)
        return s

    s = ns.python(listen)
    ns.net.defer(s.close)
    return lambda: s.recv(100)


@pytest.mark.parametrize("port", [1405, 40002], ids=["elsewhere", "in the range"])
def test_port_shadow(gateway, port):
    """CVE-2021-3773: a client sends from the port of a service of the gateway, and as many flows as
    there are ports; whoever then asks the service reaches it, and not the client."""
    side, client = gateway.isp, gateway.client
    heard = serve_once(gateway.gw, side.gw4, port)
    start(gateway, direct="PortRange = 40000-40063")
    def shadow():
        for sport in (port, *range(20000, 20100)):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((gateway.client4, sport))
                s.sendto(b"shadow", (LISTED4, 41404))

    ways = Capture(side.router, "gw0")
    client.python(shadow)
    used = {f.sport for f in ways.frames(marker=b"shadow") if f.src == side.gw4}
    assert len(used) >= 31 and port not in used and used <= set(range(40000, 40064)), used
    lan = Capture(client, "eth0")
    throw(side.router, "gw0", gateway.gw.mac("eth0"),
          [ip_packet(LISTED4, side.gw4, UDP, datagram(41404, port, b"to the service"))])
    assert heard() == b"to the service"
    assert not lan.frames(marker=b"to the service")


def test_port_of_another_client(gateway):
    """A client that takes another's address cannot have its answers: those of a flow come to it
    alone, and a stranger's to the same port to nobody."""
    start(gateway)
    side, client = gateway.isp, gateway.client
    seen = client.python(udp_ask, LISTED4, source=(gateway.client4, 30000))
    lan = Capture(client, "eth0")
    strangers = [ip_packet(source, side.gw4, UDP, datagram(sport, seen.port, b"stranger"))
                 for source, sport in ((LISTED4, 8), ("198.51.100.8", 7), (OTHER4, 7))]
    throw(side.router, "gw0", gateway.gw.mac("eth0"), strangers)
    assert not lan.frames(marker=b"stranger")
    throw(side.router, "gw0", gateway.gw.mac("eth0"),
          [ip_packet(LISTED4, side.gw4, UDP, datagram(7, seen.port, b"the asked one"))])
    assert lan.wait(marker=b"the asked one")


def test_spoofed_sources(gateway):
    """From inside, with sources that are nobody's or ours: nothing leaves, or translated only."""
    start(gateway)
    ways = [Capture(s.router, "gw0") for s in gateway.sides.values()]
    side, mac = gateway.isp, gateway.gw.mac("lan0")
    nobody = ("127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1", side.gw4,
              gateway.exit.gw4, TUN4, "::1", "::", "ff02::1", "fe80::1", "::ffff:127.0.0.1")
    others = ("10.1.0.3", "172.16.5.5", "8.8.8.8", "fd10:1::3")
    packets = [ip_packet(source, LISTED6 if ":" in source else LISTED4, UDP,
                         datagram(5000, 9, source.encode() + b"."))
               for source in nobody + others]
    throw(gateway.client, "eth0", mac, packets)
    frames = [f for c in ways for f in c.frames() if f.proto == UDP and f.dport == 9]
    for source in nobody:
        assert not [f for f in frames if f.payload == source.encode() + b"."], source
    for source in others:  # a router's own filter (rp_filter) would have to know better
        sent = [f for f in frames if f.payload == source.encode() + b"."]
        assert len(sent) == 1 and sent[0].src in (side.gw4, side.gw6), source

"""From one client to what another has mapped, by its external address: it comes back in.

    client (two hosts) -- lan0 -- gw -- eth0 -- isp -- world_isp        (see topology.py)

Filtering is by address and port, so that both must have asked for the other.
"""

import json
import os
import re
import select
import socket
import struct
import threading
import time

import pytest

from capture import TCP, UDP
from harness import Capture, Sluice, have_tun, tcp_connect, udp_ask
from servers import ECHO_PORT
from test_egress import FILES, LISTED4, LISTED6, conf, fails
from tunnel import IFF_NO_PI, open_tun

HOSTS = (("10.1.0.2", "10.1.0.3"), ("fd10:1::2", "fd10:1::3"))
PORTS = (5000, 5001)
REMOTE = (LISTED4, LISTED6)
RST = 4
IFF_MULTI_QUEUE, IFF_VNET_HDR = 0x0100, 0x4000


@pytest.fixture
def sluice(gateway):
    gateway.client.address("eth0", "10.1.0.3/24", "fd10:1::3/64")
    text = conf(queues=4, capture="Capture = forward\nFrom = lan0, vpn0")
    return Sluice(gateway.gw, text, files=FILES)


def open_socket(address, kind):
    s = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address)
    s.settimeout(5)
    return s


def get_across(a, b, data):
    """Send until it arrives: not before both have asked for the other, in whatever order."""
    deadline = time.monotonic() + 5
    b.settimeout(0.1)
    while time.monotonic() < deadline:
        a.send(data)
        try:
            while b.recv(2000) != data:
                pass
            return
        except TimeoutError:
            b.send(b"turned round, perhaps")
    raise TimeoutError


def meet(version):
    """Datagrams between two mappings, both ways, and what one learns when the other is gone."""
    asked = [udp_ask(REMOTE[version], source=at, timeout=5) for at in zip(HOSTS[version], PORTS)]
    ends = [(a.peer, a.port) for a in asked]
    a, b = (open_socket(at, socket.SOCK_DGRAM) for at in zip(HOSTS[version], PORTS))
    a.connect(ends[1])
    b.connect(ends[0])
    for size in (1, 600, 1400):
        get_across(a, b, b"turned round %d" % size + bytes(size))
        get_across(b, a, b"turned round %d" % size + bytes(size))
    b.close()
    with pytest.raises(ConnectionRefusedError):
        get_across(a, a, b"turned round, and nobody there")
    a.close()
    return ends


def pierce(version, size):
    """A connection that both open at once. Returns whether all bytes came through it."""
    sessions = [open_socket(at, socket.SOCK_STREAM) for at in zip(HOSTS[version], PORTS)]
    ends = []
    for s in sessions:
        s.connect((REMOTE[version], ECHO_PORT))
        said = json.loads(s.recv(2000))
        ends.append((said["peer"], said["port"]))
    a, b = socks = [open_socket(at, socket.SOCK_STREAM) for at in zip(HOSTS[version], PORTS)]
    for s, to in zip(socks, reversed(ends)):
        s.setblocking(False)
        s.connect_ex(to)
    for s in socks:
        assert select.select([], [s], [], 5)[1], "no connection"
        s.settimeout(5)
    data = os.urandom(size)
    sender = threading.Thread(target=a.sendall, args=(data,))
    sender.start()
    got = b.makefile("rb").read(size)
    sender.join()
    for s in (*sessions, *socks):
        s.close()
    return got == data


def test_turned_round(gateway, sluice):
    """The kernel says nothing of its own, and is left in peace on its own ports."""
    inside = Capture(gateway.client, "eth0")
    links = [Capture(side.router, "gw0") for side in gateway.sides.values()]
    expected = set()
    for version, ours in enumerate((gateway.isp.gw4, gateway.isp.gw6)):
        ends = gateway.client.python(meet, version)
        assert {e[0] for e in ends} == {ours}
        expected |= {(*ends[i], HOSTS[version][1 - i], PORTS[1 - i]) for i in (0, 1)}
        assert gateway.client.python(pierce, version, 1 << 20)
        assert not [f for f in inside.frames(proto=TCP, src=ours) if f.flags & RST]
        assert fails(gateway.client.python, tcp_connect, ours, 22) == "ConnectionRefusedError"
    came = inside.frames(marker=b"turned round", proto=UDP, outgoing=False)
    assert {(f.src, f.sport, f.dst, f.dport) for f in came} == expected
    for link in links:
        assert not link.frames(marker=b"turned round")


def test_follows_the_system(gateway, sluice):
    """The table is put back, and knows a new address; nothing of it stays."""
    gw = gateway.gw
    before = gw.run("nft -s list table netdev sluice_sluice0").stdout
    assert set(re.findall(r'device "(\w+)" priority', before)) == {"lan0", "sluice0"}

    def table():
        return gw.run("nft -s list table netdev sluice_sluice0", check=False).stdout

    def wait(condition):
        deadline = time.monotonic() + 5
        while not condition():
            assert time.monotonic() < deadline, table()
            time.sleep(0.01)

    gw.run("nft delete table netdev sluice_sluice0")
    wait(lambda: table() == before)
    gw.ip("addr del 192.168.7.2/24 dev eth0\naddr add 192.168.7.3/24 dev eth0\n")
    wait(lambda: table() == before.replace("192.168.7.2 ", "192.168.7.3 "))
    sluice.stop()
    assert "netdev" not in gw.run("nft list tables").stdout


def write_from_tun(source, target, marker):
    fd = open_tun("sluice0", IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
    udp = struct.pack("!HHHH", 53, 9, 8 + len(marker), 0) + marker
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                     socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack("!10H", ip))
    total = (total >> 16) + (total & 0xffff)
    ip = ip[:10] + struct.pack("!H", ~total & 0xffff) + ip[12:]
    with open(fd, "wb", buffering=0) as tun:
        tun.write(bytes(10) + ip + udp)


@pytest.mark.skipif(not have_tun(), reason="may not open the TUN")
def test_nobody_else_is_us(gateway, sluice):
    """Out of the TUN the kernel takes its own addresses as sources from hairpins alone."""
    inside = Capture(gateway.client, "eth0")
    for source, target in ((gateway.isp.gw4, "10.1.0.2"), ("10.1.0.1", "10.1.0.2")):
        gateway.gw.python(write_from_tun, source, target, b"from " + source.encode())
    assert inside.frames(marker=b"from 192.168.7.2", outgoing=False)
    assert not inside.frames(marker=b"from 10.1.0.1")

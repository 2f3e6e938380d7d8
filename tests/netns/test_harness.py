"""The harness itself: positive controls of what the other tests believe."""

import os
import signal
import subprocess
import sys
import time

import pytest

from harness import (Capture, Net, TcpSession, changes, have_tun, kernel_gateway, ping, snapshot,
                     tcp_fetch, tcp_send, udp_ask)

ANY4, ANY6 = "203.0.113.77", "2a00:1450:4001::77"


def open_namespaces():
    """Inodes of the network namespaces that any process is in or holds open."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for link in (f"/proc/{pid}/ns/net", f"/proc/{pid}/fd"):
            try:
                names = [f"{link}/{n}" for n in os.listdir(link)] if link.endswith("fd") else [link]
                found.update(t for t in map(os.readlink, names) if t.startswith("net:["))
            except OSError:
                pass  # it has just ended
    return found


def inode(ns):
    return os.readlink(ns.path)


def gone(processes, namespaces):
    """Wait until none of these is left; what is, when that takes too long.

    The kernel gives a namespace's number again: a test beside this one may have it for a while.
    What we leave stays longer: its processes sleep for 100 s.
    """
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline:
        left = [p for p in processes if os.path.exists(f"/proc/{p}")]
        left += [n for n in namespaces if n in open_namespaces()]
        if not left:
            return []
        time.sleep(0.02)
    return left


@pytest.mark.parametrize("side", ["isp", "exit"])
def test_kernel_gateway_reaches_the_right_side(gateway, side):
    kernel_gateway(gateway, side)
    chosen = gateway.sides[side]
    for address, local in ((ANY4, chosen.gw4), (ANY6, chosen.gw6)):
        for ask in (udp_ask, tcp_fetch, tcp_send):
            seen = gateway.client.python(ask, address)
            assert (seen.side, seen.peer, seen.local) == (side, local, address), ask
        assert gateway.client.python(ping, address) < 1


def test_untranslated_packets_are_answered_too(gateway):
    assert gateway.client.python(udp_ask, ANY4).peer == gateway.client4
    assert gateway.client.python(udp_ask, ANY6).peer == gateway.client6


def test_link_without_ethernet(l3_gateway):
    kernel_gateway(l3_gateway, "exit")
    with Capture(l3_gateway.exit.router, "gw0") as capture:
        for address in (ANY4, ANY6):
            assert l3_gateway.client.python(tcp_fetch, address, size=300000).side == "exit"
            assert capture.control(l3_gateway.client, address).dst_mac is None


def test_transfers_and_sessions(gateway):
    client = gateway.client
    assert client.python(tcp_fetch, ANY4, size=5 << 20).size == 5 << 20
    assert client.python(tcp_send, ANY6, 443, size=5 << 20).size == 5 << 20
    session = client.python(TcpSession, ANY4)
    assert session.ask(b"x" * 10000) and session.seen.side == "isp"
    session.close()
    assert client.python(udp_ask, ANY4, 53, b"y" * 1200).payload == b"y" * 1200
    text = client.run(["curl", "-s", "-T", "/etc/passwd", f"http://{ANY4}/"]).stdout
    assert f'"bytes": {os.path.getsize("/etc/passwd")}' in text


def test_silence_is_an_error(gateway):
    gateway.gw.nft("add table inet t\n"
                   "add chain inet t f { type filter hook forward priority 0; policy drop; }")
    for ask in (udp_ask, tcp_fetch, ping):
        with pytest.raises(TimeoutError):
            gateway.client.python(ask, ANY4, timeout=0.2)
    with pytest.raises(AssertionError), Capture(gateway.isp.router, "gw0") as capture:
        capture.control(gateway.client, ANY4, timeout=0.3)


def test_capture_sees_all(gateway):
    isp, out = (Capture(s.router, "gw0") for s in (gateway.isp, gateway.exit))
    for address in (ANY4, ANY6):
        frame = isp.control(gateway.client, address, 1234)
        assert frame.dport == 1234 and frame.proto == 17 and not frame.outgoing
        assert frame.dst_mac == isp.ns.mac("gw0") and frame.src_mac == gateway.gw.mac("eth0")
        gateway.client.python(udp_ask, address, payload=b"marked")
        assert len(isp.frames(dst=address, marker=b"marked")) == 1
        assert len(isp.frames(src=address, marker=b"marked", outgoing=True)) == 1
        gateway.client.python(ping, address)
        assert isp.frames(dst=address, icmp=(128 if ":" in address else 8, 0))
        gateway.client.python(tcp_fetch, address)
        assert len(isp.frames(dst=address, proto=6, flags=2)) == 1  # SYN
    assert not out.frames(dst=ANY4) and not out.frames(dst=ANY6)
    with pytest.raises(AssertionError):
        out.control(gateway.client, ANY4, timeout=0.3)


def test_capture_keeps_up_or_says_so(gateway):
    with Capture(gateway.isp.router, "gw0") as capture:
        gateway.client.python(tcp_fetch, ANY4, size=20 << 20)
        assert sum(len(f.payload) > 0 for f in capture.frames(src=ANY4)) > 100


def test_fragments(gateway):
    with Capture(gateway.isp.router, "gw0") as capture:
        for address in (ANY4, ANY6):
            assert gateway.client.python(udp_ask, address, payload=b"z" * 4000).size == 4000
            offsets = [f.fragment for f in capture.frames(dst=address, proto=17)]
            assert len(offsets) == 3 and offsets[0] == 1 and offsets[2] > 2000


def test_two_nets_at_once():
    with Net() as a, Net() as b:
        for net, octet in ((a, 1), (b, 2)):
            left, right = net.namespace("left"), net.namespace("right")
            net.veth(left, "eth0", right, "eth0")
            left.address("eth0", "10.9.9.1/24")
            right.address("eth0", "10.9.9.2/24", f"10.9.{octet}.3/32")
            left.ip(f"route add 10.9.{octet}.3 via 10.9.9.2\n")
        assert a.namespaces[0].python(ping, "10.9.1.3") < 1
        assert b.namespaces[0].python(ping, "10.9.2.3") < 1
        with pytest.raises(OSError):
            a.namespaces[0].python(ping, "10.9.2.3", timeout=0.2)


def test_snapshot_tells_changes(net):
    ns = net.namespace("one")
    before = snapshot(ns)
    assert changes(before, snapshot(ns)) == ""
    for do, undo, word in (
            ("ip rule add fwmark 1 table 9", "ip rule del fwmark 1 table 9", "fwmark"),
            ("ip -6 route add unreachable 2001:db8::/32 table 9",
             "ip -6 route del unreachable 2001:db8::/32 table 9", "unreachable"),
            ("ip link add t0 type veth", "ip link del t0", "t0"),
            ("nft add table inet t", "nft delete table inet t", "table inet t"),
            ("sysctl -q net.ipv4.ip_local_reserved_ports=4000",
             "sysctl -q net.ipv4.ip_local_reserved_ports=", "4000")):
        ns.run(do)
        assert word in changes(before, snapshot(ns))
        ns.run(undo)
    assert changes(before, snapshot(ns)) == ""


def test_nothing_is_left():
    with Net() as net:
        ns = net.namespace("one")
        processes = [ns.popen("sleep 100").pid, ns.popen(["sh", "-c", "sleep 100 & wait"]).pid]
        other = net.namespace("other")
        if have_tun():
            net.tun_pair(ns, "tun0", other, "tun0")
        capture = Capture(ns, "lo")
        inodes = [inode(ns), inode(other)]
        path = net.path("file")
        assert set(inodes) <= open_namespaces()
    assert capture.stopped and not os.path.exists(os.path.dirname(path))
    assert gone(processes, inodes) == []


def test_nothing_is_left_after_a_failure():
    with pytest.raises(RuntimeError, match="no such thing|exit code"), Net() as net:
        ns = net.namespace("one")
        processes, inodes = [ns.popen("sleep 100").pid], [inode(ns)]
        ns.run("ip link set nothing up")
    assert gone(processes, inodes) == []


def test_nothing_is_left_after_sigkill():
    text = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from harness import Net
net = Net()
ns = net.namespace("one")
server = ns.serve("one")()
sleeper = ns.popen("sleep 100")
print(server.pid, sleeper.pid, os.readlink(ns.path), flush=True)
time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-B", "-c", text, os.path.dirname(__file__)],
                          stdout=subprocess.PIPE, text=True) as process:
        *pids, namespace = process.stdout.readline().split()
        assert namespace in open_namespaces()
        process.send_signal(signal.SIGKILL)
    assert gone(pids, [namespace]) == []

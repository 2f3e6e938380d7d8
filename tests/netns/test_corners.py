"""Set-ups that nobody planned for: addresses, routes, firewalls and devices as they are found.

               eth0 -- direct       (the whole Internet is local to both)
    client -- gw
               vpn0 -- vpn
"""

import os
import random
import re
import socket
import struct
import subprocess
import sys
import time

import pytest

from harness import (Capture, Sluice, TcpSession, have_tun, ping, tcp_fetch, tcp_send, udp_ask,
                     wait_for)

LISTED4, LISTED6 = "198.51.100.7", "2a02:db8::7"
OTHER4, OTHER6 = "203.0.114.77", "2a00:1450:4001::77"
LISTS = {"listed.txt": "198.51.100.0/24\n2a02:db8::/32\n"}
PLAIN = "--list listed.txt --direct eth0 --tunnel vpn0"
CONF = """
[Interface]
Address = 10.66.0.2/24, fd66::2/64
Capture = host
{}
[Egress direct]
Type = interface
Interface = eth0
[Egress vpn]
Type = interface
Interface = vpn0
[List listed]
File = listed.txt
[Rule]
List = listed
Egress = direct
[Default]
Egress = vpn
"""


class Small:
    """The least that can be split. A gateway's address may have a peer: "A peer B/32"."""

    def __init__(self, net, direct=("192.0.2.1/24", "192.0.2.2/24"),
                 vpn=("203.0.113.1/24", "203.0.113.2/24"), routes=True, l3=False, client_mtu=1500):
        self.net = net
        self.gw, self.direct, self.vpn, self.client = (
            net.namespace(name) for name in ("gw", "direct", "vpn", "client"))
        net.veth(self.client, "eth0", self.gw, "lan0", mtu=client_mtu)
        self.client.address("eth0", "10.1.0.2/24", "fd10:1::2/64")
        self.gw.address("lan0", "10.1.0.1/24", "fd10:1::1/64")
        self.client.ip("route add default via 10.1.0.1\nroute add ::/0 via fd10:1::1\n")
        self.gw.forward()
        self.side(self.direct, "eth0", direct, 7, False)
        self.side(self.vpn, "vpn0", vpn, 8, l3)
        if routes:
            self.routes("eth0", direct, 7)
        if routes and not l3:
            self.routes("vpn0", vpn, 8, 500)
        for ns in (self.direct, self.vpn):
            ns.serve(ns.name)()

    def side(self, ns, ifname, addresses, number, l3):
        own, other = (a.split("/")[0].split()[0] for a in addresses)
        if l3:
            self.net.tun_pair(self.gw, ifname, ns, "eth0")
        else:
            self.net.veth(self.gw, ifname, ns, "eth0")
        self.gw.ip(f"addr add {addresses[0]} dev {ifname}\n")
        ns.ip(f"addr add {addresses[1]} dev eth0\n")
        self.gw.address(ifname, f"2001:db8:{number}::1/64")
        ns.address("eth0", f"2001:db8:{number}::2/64")
        ns.sysctl("net.ipv6.ip_nonlocal_bind", 1)
        ns.forward()
        ns.ip(f"route add local default dev lo table local\n"
              f"route add local ::/0 dev lo table main\n"
              f"route add {own}/32 dev eth0 table local src {other}\n")

    def routes(self, ifname, addresses, number, metric=0):
        other = addresses[1].split("/")[0].split()[0]
        self.gw.ip(f"route add default via {other} dev {ifname} metric {metric} onlink\n"
                   f"route add ::/0 via 2001:db8:{number}::2 dev {ifname} metric {1024 + metric}\n")

    def start(self, args=PLAIN, conf=None, files=None):
        return Sluice(self.gw, conf, args=None if conf else args, files=files or LISTS)

    def splits(self, ns=None, addresses=(LISTED4, OTHER4)):
        for address in addresses:
            side = "direct" if address in (LISTED4, LISTED6) else "vpn"
            for ask, options in ((udp_ask, {}), (tcp_fetch, {"size": 100000})):
                seen = (ns or self.client).python(ask, address, timeout=1, **options)
                assert seen.side == side, (address, ask)


def drops(sluice):
    return {d["reason"]: d["value"] for d in sluice.json("stats")["drops"] if d["value"]}


def counter(sluice, name):
    return next(c["value"] for c in sluice.json("stats")["counters"] if c["name"] == name)


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


# ---- addresses and routes ----

@pytest.mark.parametrize("direct, vpn", [
    (("192.0.2.1/32", "198.18.0.1/32"), ("203.0.113.1/24", "203.0.113.2/24")),
    (("192.0.2.0/31", "192.0.2.1/31"), ("203.0.113.0/31", "203.0.113.1/31")),
    (("192.0.2.1/24", "192.0.2.2/24"),
     ("203.0.113.1 peer 203.0.113.2/32", "203.0.113.2 peer 203.0.113.1/32")),
])
def test_narrow_addresses(net, direct, vpn):
    """A gateway outside the subnet, subnets of two, and of one with a peer."""
    small = Small(net, direct, vpn)
    small.start()
    small.splits(addresses=(LISTED4, OTHER4, LISTED6, OTHER6))


def test_gateway_comes_late(net):
    small = Small(net, routes=False)
    sluice = small.start()
    with pytest.raises(OSError):
        small.client.python(udp_ask, LISTED4, timeout=0.3)
    small.gw.ip("route add default via 192.0.2.2 dev eth0\n"
                "route add default via 203.0.113.2 dev vpn0 metric 9\n")
    assert wait_for(lambda: sluice.ctl("get", LISTED4).stdout.startswith(f"{LISTED4} via"))
    small.splits()


def test_route_is_added_without_device(net):
    """An operator's, or another VPN's: its gateway is looked up past the capture table."""
    small = Small(net)
    small.start()
    small.gw.ip("route del default via 192.0.2.2\nroute add default via 192.0.2.2\n")
    assert "default via 192.0.2.2 dev eth0" in small.gw.run("ip route").stdout


def test_static_routes_alone(net):
    small = Small(net, routes=False)
    small.gw.ip("route add 198.51.100.0/24 via 192.0.2.2\nroute add 0.0.0.0/1 via 203.0.113.2\n"
                "route add 128.0.0.0/1 via 203.0.113.2\n")
    small.start()
    small.splits()


def test_default_route_to_a_device(net):
    """What Ethernet without a gateway means to the system: everybody is a neighbour."""
    small = Small(net, routes=False)
    small.routes("eth0", ("", "192.0.2.2/24"), 7)
    small.gw.ip("route add default dev vpn0 metric 9\n")
    small.start()
    small.splits()


def test_neighbours_and_links_change(net):
    small = Small(net)
    small.start()
    small.splits()
    small.direct.ip("link set eth0 down\nlink set eth0 address 02:00:00:00:00:77\n"
                    "link set eth0 up\n")
    small.direct.ip("route replace 192.0.2.1/32 dev eth0 table local src 192.0.2.2\n")
    assert wait_for(lambda: small.client.python(ping_or_none, LISTED4), 15)
    small.gw.ip("link set eth0 down\nlink set eth0 address 02:00:00:00:00:99\nlink set eth0 up\n"
                "route add default via 192.0.2.2 dev eth0\n")
    assert wait_for(lambda: small.client.python(ping_or_none, LISTED4), 15)
    small.splits()


def ping_or_none(address):
    try:
        return ping(address, timeout=0.3)
    except OSError:
        return None


# ---- devices ----

@pytest.mark.skipif(not have_tun(), reason="may not make TUN devices")
def test_vpn_client_starts_again(net):
    """Its device is removed and made anew; nobody tells Sluice but netlink."""
    small = Small(net, l3=True)
    sluice = small.start()
    small.splits()
    net.deferred.pop()()
    assert wait_for(lambda: not sluice.json("status")["healthy"])
    net.tun_pair(small.gw, "vpn0", small.vpn, "eth0")
    small.gw.address("vpn0", "203.0.113.1/24")
    small.vpn.address("eth0", "203.0.113.2/24")
    small.vpn.ip("route add 203.0.113.1/32 dev eth0 table local src 203.0.113.2\n")
    assert wait_for(lambda: sluice.json("status")["healthy"])
    small.splits()


def test_tun_is_removed(net):
    """Nothing leaves, nothing spins, and somebody is told."""
    small = Small(net)
    sluice = small.start()
    seen = Capture(small.direct, "eth0")
    seen.control(small.client, LISTED4)
    small.gw.run("ip link del sluice0")
    time.sleep(0.2)
    seen.clear()
    for address in (LISTED4, OTHER4):
        with pytest.raises(OSError):
            small.client.python(udp_ask, address, timeout=0.3)
    assert not [f for f in seen.frames() if f.dst in (LISTED4, OTHER4)]
    if sluice.alive():
        before = cpu_seconds(sluice.process)
        time.sleep(1)
        assert not sluice.alive() or cpu_seconds(sluice.process) - before < 0.1
    assert not sluice.alive() or not sluice.json("status")["healthy"]


def test_capture_rules_are_removed(net):
    """By a network manager that cleans up: put back, or at least told of."""
    small = Small(net)
    sluice = small.start()
    small.gw.run("ip rule del pref 5152")
    assert wait_for(lambda: "5152:" in small.gw.run("ip rule").stdout or
                    not sluice.json("status")["healthy"], 3)


# ---- damage by others while it runs ----

def repairs(sluice):
    """How often it had something to put back, if all is well now."""
    status = sluice.json("status")
    return status["capture_repairs"] if "capture_problem" not in status else 0


def policy(ns):
    """All of the capture but the nft table's sets, which packets fill."""
    text = ns.run(["sh", "-c", "ip rule | grep ^51; ip -6 rule | grep ^51; "
                   "ip route show table all proto 81; "
                   "ip -6 route show table all proto 81; ip -o addr show sluice0; "
                   "nft -s list chains"]).stdout
    return sorted(re.sub(r" pref medium| expires \d+sec|^\d+: ", "", text, flags=re.M).split("\n"))


PROBE = """
import socket, sys, time
sockets = [(socket.socket(f, socket.SOCK_DGRAM), a) for f, a in
           ((socket.AF_INET, sys.argv[1]), (socket.AF_INET6, sys.argv[2]))]
while True:
    for s, address in sockets:
        try:
            s.sendto(b"probe", (address, 9))
        except OSError:
            pass
    time.sleep(0.0002)
"""
LEAKS = """table inet watch {
    counter leaks {
    }
    chain c {
        type filter hook postrouting priority 400
        oifname { eth0, vpn0 } udp dport 9 counter name leaks
    }
}"""


class Leaks:
    """Datagrams of gw itself, of both families and without a pause, and how many of them the kernel
    sends past the capture: what Sluice sends does not meet netfilter."""

    def __init__(self, small):
        self.gw = small.gw
        small.gw.nft(LEAKS)
        self.process = small.gw.popen([sys.executable, "-c", PROBE, OTHER4, OTHER6])

    def seen(self):
        return int(re.search(r"packets (\d+)", self.gw.run(
            "nft list counter inet watch leaks").stdout)[1])


DAMAGES = {
    "one rule": "ip rule del pref 5152",
    "all rules": "ip rule flush; ip rule add pref 32766 lookup main; "
                 "ip -6 rule flush; ip -6 rule add pref 32766 lookup main",
    "rules and routes": "for f in -4 -6; do ip $f rule del pref 5152; "
                        "ip $f route flush table 5260; ip $f route flush table 5261; done",
    "all routes": "ip route flush table 5260; ip -6 route flush table 5260",
    "a route": "ip route del default dev sluice0 table 5260",
    "a route's place": "ip route replace default dev eth0 table 5260 metric 1",
    "what is closed": "ip route del unreachable default table 5260",
    "answers' routes": "ip route flush table 5261; ip -6 route flush table 5262",
    "down and up": "ip link set sluice0 down; ip link set sluice0 up",
    "addresses": "ip addr flush dev sluice0",
    "IPv6 off": "sysctl -w net.ipv6.conf.sluice0.disable_ipv6=1",
    "nft": "nft flush ruleset",
    "nft rules": "nft flush table inet sluice_sluice0",
    "all at once": "ip rule flush; ip rule add pref 32766 lookup main; ip link set sluice0 down; "
                   "nft flush ruleset; ip link set sluice0 up; ip -6 rule del pref 5152",
}
OPENING = "one rule", "all rules", "rules and routes", "all routes", "a route's place"


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_repaired(net, damage):
    """All is as before, both families work, and it does not go on repairing."""
    small = Small(net)
    sluice = small.start(conf=CONF.format(""))
    before = policy(small.gw)
    assert repairs(sluice) == 0
    small.gw.run(["sh", "-c", DAMAGES[damage]])
    assert wait_for(lambda: repairs(sluice) and
                    set(before) <= set(policy(small.gw)), 2), (before, policy(small.gw))
    small.splits(addresses=(LISTED4, OTHER4, LISTED6, OTHER6))
    small.splits(small.gw, (LISTED4, OTHER4, LISTED6, OTHER6))
    count = repairs(sluice)
    assert "that somebody removed (" in sluice.log()
    assert "repaired: " in sluice.ctl("status").stdout
    time.sleep(0.5)
    assert repairs(sluice) == count
    assert sluice.stop() == 0
    assert "5152:" not in small.gw.run("ip rule").stdout


@pytest.mark.parametrize("damage", OPENING)
def test_damage_leaks_little(net, damage):
    """What leaves past the capture until it is repaired: a few milliseconds' packets."""
    small = Small(net)
    leaks = Leaks(small)
    assert wait_for(lambda: leaks.seen() > 10), "not even without Sluice"
    sluice = small.start()
    start = leaks.seen()
    time.sleep(0.3)
    assert leaks.seen() == start
    counts = []
    for _ in range(5):
        before = leaks.seen()
        small.gw.run(["sh", "-c", DAMAGES[damage]])
        time.sleep(0.3)
        counts.append(leaks.seen() - before)
        time.sleep(0.9)
    print("leaked", damage, counts)
    assert repairs(sluice) >= 5
    assert sorted(counts)[2] < 200, counts  # one of 2 families each 0.2 ms: 10000 a second
    leaks.process.kill()


def test_tun_is_set_down(net):
    """It stays down, nothing leaves, somebody is told; up again, all works."""
    small = Small(net)
    sluice = small.start()
    small.gw.run("ip link set sluice0 down")
    assert wait_for(lambda: "is down" in sluice.json("status").get("capture_problem", ""), 2)
    assert not sluice.json("status")["healthy"]
    small.gw.run("ip rule del pref 5152")
    assert wait_for(lambda: "5152:" in small.gw.run("ip rule").stdout, 2)
    leaks = Leaks(small)
    time.sleep(1.5)
    assert leaks.seen() == 0
    leaks.process.kill()
    assert sluice.log().count("is down") == 1
    small.gw.run("ip link set sluice0 up")
    assert wait_for(lambda: sluice.json("status")["healthy"], 2)
    small.splits(addresses=(LISTED4, OTHER4, LISTED6, OTHER6))


def test_ruleset_flush_silence_returns(net):
    """The kernel says nothing on the translated ports again, soon."""
    small = Small(net)
    small.start()

    def refused():
        try:
            tcp_fetch("192.0.2.1", port=50123, timeout=0.1, source="192.0.2.2")
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False

    assert not small.direct.python(refused)
    begin = time.monotonic()
    small.gw.run("nft flush ruleset")
    assert wait_for(lambda: not small.direct.python(refused), 2)
    print("silent after", time.monotonic() - begin)
    assert not small.direct.python(refused)


def test_damage_without_end(net):
    """Somebody who removes a rule again and again gets no more than 20 repairs and 10 a second."""
    small = Small(net)
    sluice = small.start()
    before = cpu_seconds(sluice.process)
    small.gw.run(["timeout", "4", "sh", "-c",
                  "while :; do ip rule del pref 5152 2>/dev/null; done"], check=False)
    assert 10 < sluice.json("status")["capture_repairs"] <= 65
    assert cpu_seconds(sluice.process) - before < 1
    assert sluice.log().count("put back") <= 6
    assert wait_for(lambda: "5152:" in small.gw.run("ip rule").stdout, 2)


def test_flood_of_routes(net):
    """A routing daemon's: no repair, little work, no delay of what matters."""
    small = Small(net)
    sluice = small.start()
    lines = [f"route {{}} 100.{i >> 8 & 255}.{i & 255}.0/24 via 192.0.2.2 proto bgp\n"
             for i in range(10000)]
    before, begin = cpu_seconds(sluice.process), time.monotonic()
    small.gw.ip("".join(lines).replace("{}", "add"))
    seconds = time.monotonic() - begin
    small.gw.run("ip rule del pref 5152")
    delay = time.monotonic()
    assert wait_for(lambda: "5152:" in small.gw.run("ip rule").stdout, 2)
    print("flood", seconds, "s, CPU", cpu_seconds(sluice.process) - before, "s, repaired after",
          time.monotonic() - delay)
    small.gw.ip("".join(lines).replace("{}", "del"))
    assert sluice.json("status")["capture_repairs"] == 1
    assert cpu_seconds(sluice.process) - before < 0.5
    small.splits()


def test_forced_down_while_running(net):
    """The daemon ends, and does not put back what is removed."""
    small = Small(net)
    rules = small.gw.run("ip rule").stdout
    sluice = small.start()
    small.gw.run([sluice.program, "down", "-f", "sluice0"])
    assert wait_for(lambda: not sluice.alive())
    assert small.gw.run("ip rule").stdout == rules
    assert "sluice" not in small.gw.run("nft list ruleset").stdout


# ---- what else runs on a gateway ----

def test_firewalls(net):
    """Nothing from outside is accepted but answers; nothing goes out but by the TUN."""
    small = Small(net)
    small.gw.nft("""table inet fw {
        chain i {
            type filter hook input priority 0; policy drop
            iif lo accept
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
        chain f {
            type filter hook forward priority 0; policy drop
            iifname lan0 accept
            ct state established,related accept
        }
        chain o {
            type filter hook output priority 0; policy drop
            oifname { lo, sluice0 } accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        }
    }""")
    small.start()
    for ns in (small.client, small.gw):
        small.splits(ns, (LISTED4, OTHER4, LISTED6, OTHER6))


def test_ruleset_is_flushed(net):
    """A firewall that starts anew takes Sluice's table along: what is silenced may speak."""
    small = Small(net)
    small.start()
    small.gw.run("nft flush ruleset")
    for ns in (small.client, small.gw):
        small.splits(ns)


def test_masqueraded_containers(net):
    small = Small(net)
    box = net.namespace("box")
    small.gw.run("ip link add docker0 type bridge")
    net.veth(box, "eth0", small.gw, "vbox")
    small.gw.run("ip link set vbox master docker0")
    small.gw.address("docker0", "172.17.0.1/16")
    box.address("eth0", "172.17.0.2/16")
    box.ip("route add default via 172.17.0.1\n")
    box.serve("box")()
    small.gw.nft("""table ip nat {
        chain post {
            type nat hook postrouting priority srcnat
            ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
        }
        chain pre {
            type nat hook prerouting priority dstnat
            fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80
        }
    }""")
    small.start()
    small.splits(box)
    seen = small.direct.python(tcp_fetch, "192.0.2.1", port=8080, timeout=1, source="192.0.2.2")
    assert seen.side == "box"


def test_strict_filters_everywhere(net):
    small = Small(net)
    for name in ("all", "default", "eth0", "vpn0", "lan0"):
        small.gw.sysctl(f"net.ipv4.conf.{name}.rp_filter", 1)
    small.gw.sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", 1)
    small.start()
    for ns in (small.client, small.gw):
        small.splits(ns)


def test_second_start_is_refused(net):
    small = Small(net)
    sluice = small.start()
    done = small.gw.run([sluice.program, "-S", sluice.socket, "run", *PLAIN.split()], check=False,
                        cwd=sluice.folder)
    assert done.returncode == 2 and "another sluice" in done.stderr, done
    small.splits()
    sluice.ctl("status")


def test_killed_again_and_again(net):
    small = Small(net)
    sluice = small.start()
    rules = small.gw.run("ip rule").stdout
    for _ in range(10):
        sluice.kill9()
        sluice.start()
    small.splits()
    assert small.gw.run("ip rule").stdout == rules
    assert small.gw.sysctl("net.ipv4.ip_local_reserved_ports") == "40000-59999"


# ---- what is too long ----

def narrow(top, mtu=1300):
    """The way through isp takes no more, and nobody is told so."""
    top.isp.router.run(f"ip link set up0 mtu {mtu}")
    top.isp.router.nft("""table inet quiet {
        chain f {
            type filter hook output priority 0
            icmp type destination-unreachable drop
            icmpv6 type packet-too-big drop
        }
    }""")
    # A veth takes a super-packet of any segments.
    top.isp.world.run("ip link set down0 gso_max_segs 1")


def moves(top, address):
    """Whether TCP brings 200 kB to and fro."""
    try:
        for move in (tcp_send, tcp_fetch):
            top.client.python(move, address, size=200000, timeout=2)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("address", [LISTED4, LISTED6])
def test_filtered_path_carries_tcp(gateway, address):
    """A narrow link whose ICMP is filtered: the MTU of the egress keeps both ends within it."""
    narrow(gateway)
    conf = CONF.format("MTU = 1500")
    sluice = Sluice(gateway.gw, conf, files=LISTS)
    assert not moves(gateway, address), "the link is not narrow"
    sluice.stop()
    Sluice(gateway.gw, conf.replace("eth0", "eth0\nMTU = 1300"), files=LISTS)
    assert moves(gateway, address)


@pytest.mark.parametrize("queues", [1, 2])
def test_narrow_egress(net, queues):
    """Longer packets: DF is told so, others go in fragments; TCP finds its way."""
    small = Small(net)
    small.gw.run("ip link set eth0 mtu 1300")
    small.direct.run("ip link set eth0 mtu 1300")
    sluice = small.start(conf=CONF.format(f"MTU = 1500\nQueues = {queues}"))

    def ask(discover):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.IPPROTO_IP, 10, discover)  # IP_MTU_DISCOVER
            s.settimeout(1)
            s.connect((LISTED4, 7))
            s.send(bytes(1400))
            try:
                return len(s.recv(65536)) > 1400
            except OSError as e:
                return e.errno

    assert small.client.python(ask, 0) is True  # DONT
    assert small.client.python(ask, 2) == 90  # DO: EMSGSIZE
    assert drops(sluice).get("too_big") == 1
    small.splits()
    for move in (tcp_send, tcp_fetch):
        small.client.python(move, LISTED4, size=1000000)
        small.client.python(move, LISTED6, size=1000000)


# ---- hops ----

def hop(address, ttl, port=9):
    """Who answers a datagram with that many hops left: an ICMP error's source, or None."""
    v6 = ":" in address
    family = socket.AF_INET6 if v6 else socket.AF_INET
    level, option, errors, error = (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 25, 25) if v6 else
        (socket.IPPROTO_IP, socket.IP_TTL, 11, 11))  # IPV6_RECVERR, IP_RECVERR
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(level, option, ttl)
        s.setsockopt(level, errors, 1)
        s.settimeout(1)
        s.connect((address, port))
        s.send(b"probe")
        try:
            s.recv(1000)
            return address
        except TimeoutError:
            return None
        except OSError:
            _, control, _, _ = s.recvmsg(1000, 512, socket.MSG_ERRQUEUE)
        data = next(d for _, kind, d in control if kind == error)
        offender = data[16:]  # after struct sock_extended_err
        return (socket.inet_ntop(family, offender[8:24]) if v6
                else socket.inet_ntop(family, offender[4:8]))


@pytest.mark.parametrize("capture", ["Capture = host", "Capture = forward\nFrom = lan0"])
def test_traceroute(net, capture):
    """A client behind sees the gateway and Sluice; a program of the gateway itself sees neither."""
    small = Small(net)
    small.start(conf=CONF.format("").replace("Capture = host", capture))
    for address, gateway, sluice in ((LISTED4, ("10.1.0.1", "10.66.0.2"), "192.0.0.8"),
                                     (LISTED6, ("fd10:1::1", "fd66::2"), "fd66::2")):
        assert small.client.python(hop, address, 1, 7) in gateway  # by which way it answers
        assert small.client.python(hop, address, 2, 7) == sluice
        assert small.client.python(hop, address, 3, 7) == address
        assert small.gw.python(hop, address, 1, 7) == address


# ---- sizes and numbers ----

@pytest.mark.parametrize("size", [1472, 1473, 4000, 60000])
def test_large_datagrams(net, size):
    """Out and back, in fragments beyond 1472 bytes."""
    small = Small(net)
    small.start()
    for address in (LISTED4, OTHER4):
        small.client.python(udp_ask, address, payload=os.urandom(size))
        small.client.python(ping, address, size=size)
        small.gw.python(ping, address, size=size)


@pytest.mark.parametrize("queues", [1, 4])
def test_large_datagrams_ipv6(net, queues):
    """Fragments of both directions find the worker of their flow, whichever they come to."""
    small = Small(net)
    sluice = small.start(conf=CONF.format(f"Queues = {queues}"))
    for size in (1453, 4000, 4000, 60000):
        small.client.python(udp_ask, LISTED6, payload=os.urandom(size), timeout=1)
        small.client.python(ping, LISTED6, size=size)
    assert bool(counter(sluice, "handed_over")) == (queues > 1)
    assert not {"fragment", "inbox_full", "unsolicited"} & set(drops(sluice))


@pytest.mark.parametrize("queues", [1, 4])
def test_error_from_inside_finds_its_flow(net, queues):
    """A client's smaller MTU: the server outside learns of it, whatever worker hears first."""
    small = Small(net, client_mtu=1280)
    small.start(conf=CONF.format(f"MTU = 1500\nQueues = {queues}"))
    for _ in range(8):
        source = (f"10.1.0.{random.randrange(3, 250)}", 0)
        small.client.ip(f"addr replace {source[0]}/24 dev eth0\n")
        ask = {"payload": os.urandom(1200), "timeout": 0.5, "source": source}
        small.direct.ip("route flush cache\n")
        with pytest.raises(OSError):  # the answer that is too big
            small.client.python(udp_ask, LISTED4, **ask)
        small.client.python(udp_ask, LISTED4, **ask)


def test_endpoint_keeps_its_queue(net):
    """One port outside for one inside, whoever is asked: its flows meet in one of four queues."""
    small = Small(net)
    sluice = small.start(conf=CONF.format("Queues = 4"))
    assert sluice.json("status")["steering"] == "endpoint"

    def ask(port):
        source = ("10.1.0.2", port)
        return {udp_ask(f"198.51.100.{i}", source=source).port for i in range(1, 12)}

    used = set()
    for port in random.sample(range(20000, 30000), 12):
        seen = small.client.python(ask, port)
        assert len(seen) == 1, seen
        used |= {(p - 40000) // 5000 for p in seen}
    assert len(used) > 1  # and endpoints are spread over them


def test_thousand_sessions(net):
    small = Small(net)
    small.start()

    def hold():
        sessions = [TcpSession(LISTED4 if i % 2 else OTHER4) for i in range(1000)]
        for i, session in enumerate(sessions):
            assert session.seen.side == ("direct" if i % 2 else "vpn")
            session.ask(b"still %d" % i)
        for session in sessions:
            session.close()

    small.client.python(hold)


FLOOD = """
import random, socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
end = time.monotonic() + 4
while time.monotonic() < end:
    dst = bytes((9, *random.randbytes(2), 1))
    udp = struct.pack("!HHHH", random.randrange(1024, 65536), 9, 8, 0)
    src = bytes((10, 1, 0, random.randrange(100, 200)))
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, 17, 0, src, dst)
    s.sendto(ip + udp, (socket.inet_ntoa(dst), 0))
"""


def test_flood_leaves_room(net):
    """A host that opens flows without end: what was there stays, and others still get ports."""
    small = Small(net)
    small.vpn.nft("table ip quiet { chain in { type filter hook prerouting priority raw\n"
                  "ip daddr 9.0.0.0/8 drop\n}\n}")
    sluice = small.start()
    session = small.client.python(TcpSession, OTHER4)
    flood = small.client.popen([sys.executable, "-c", FLOOD], stderr=subprocess.PIPE)
    time.sleep(3.5)
    session.ask(b"still here")
    flood.wait(20)
    assert sluice.json("status")["flows"] > 15000, "no flood"
    for _ in range(20):
        small.client.python(udp_ask, OTHER4, timeout=1)
    session.close()


def test_many_prefixes_under_traffic(net):
    """200,000 prefixes are read again and again; no datagram is lost."""
    small = Small(net)
    numbers = random.Random(1).sample(range(1 << 16, 223 << 16), 200000)
    text = "198.51.100.0/24\n" + "".join(
        f"{socket.inet_ntoa(struct.pack('!I', n << 8))}/24\n" for n in numbers)
    sluice = small.start(files={"listed.txt": text})
    for _ in range(5):
        sluice.reload()
        for _ in range(20):
            assert small.client.python(udp_ask, LISTED4, timeout=1).side == "direct"
    assert sluice.json("status")["generation"] == 6
    assert not set(drops(sluice)) - {"link_local"}, drops(sluice)

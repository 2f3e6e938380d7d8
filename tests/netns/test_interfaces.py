"""Egresses unlike others: a bridge, two addresses, gateways of another family, little MTU."""

import pytest

from harness import Capture, udp_ask, wait_for
from test_corners import CONF, LISTED4, LISTED6, OTHER4, Small


def test_bridge(net):
    """An egress with the bridge's port beneath it; where br_netfilter is, its hooks come first."""
    small = Small(net)
    small.gw.ip("addr flush dev eth0\nlink add br0 type bridge\nlink set eth0 master br0\n")
    small.gw.address("br0", "192.0.2.1/24", "2001:db8:7::1/64")
    small.gw.ip("route add default via 192.0.2.2 dev br0\n"
                "route add ::/0 via 2001:db8:7::2 dev br0 metric 1\n")
    small.start("--list listed.txt --direct br0 --tunnel vpn0")
    small.splits(addresses=(LISTED4, LISTED6))


def test_addresses_as_routes_want_them(net):
    """What is sent has the source that the gateway knows, or that the route names; the gateway of
    IPv4 may have an IPv6 address; an address that is deprecated is better than none; and frames
    have the interface's own MAC of now.
    """
    small = Small(net, direct=("198.18.0.1/24", "198.18.0.2/24"), routes=False)
    small.gw.ip("addr add 192.0.2.1/24 dev eth0\nroute add default via 192.0.2.2 dev eth0\n"
                "route add ::/0 via 2001:db8:7::2 dev eth0\n")
    small.direct.ip("addr add 192.0.2.2/24 dev eth0\nroute add 192.0.2.1 dev eth0 table local\n")
    small.start()

    def peer(address=LISTED4):
        try:
            return small.client.python(udp_ask, address, timeout=0.3).peer
        except TimeoutError:
            return None

    assert wait_for(lambda: peer() == "192.0.2.1"), "the gateway's subnet"
    small.gw.run("ip route replace default via 192.0.2.2 dev eth0 src 198.18.0.1")
    assert wait_for(lambda: peer() == "198.18.0.1"), "as the route says"
    small.direct.run("ip route add 172.30.0.1 dev eth0 table local")
    small.gw.ip("addr add 172.30.0.1/32 dev lo\n"
                "route replace default via 192.0.2.2 dev eth0 src 172.30.0.1\n")
    assert wait_for(lambda: peer() == "172.30.0.1"), "also if it is another interface's"
    small.direct.sysctl("net.ipv4.conf.eth0.arp_ignore", 8)
    small.gw.run("ip route replace 0.0.0.0/0 via inet6 2001:db8:7::2 dev eth0")
    small.gw.run("ip neigh del 192.0.2.2 dev eth0", check=False)
    assert wait_for(peer), "its neighbour is found by IPv6"
    small.gw.run("ip addr change 2001:db8:7::1/64 dev eth0 preferred_lft 0")
    assert wait_for(lambda: peer(LISTED6) == "2001:db8:7::1"), "deprecated"
    small.gw.run("ip link set eth0 address 00:00:5e:00:53:07")
    small.direct.run("ip neigh del 198.18.0.1 dev eth0", check=False)
    with Capture(small.direct, "eth0") as capture:
        assert wait_for(lambda: peer() and capture.frames(
            src_mac="00:00:5e:00:53:07", dst=LISTED4)), "its own MAC"


def test_narrower_than_ipv6(net):
    """An egress that is: the TUN keeps IPv6. A TUN that is: IPv6 is unreachable, at once."""
    small = Small(net)
    for ns, ifname in ((small.gw, "vpn0"), (small.vpn, "eth0")):
        ns.run(f"ip link set {ifname} mtu 1000")
    sluice = small.start()
    small.splits(addresses=(LISTED4, LISTED6, OTHER4))
    sluice.stop()
    small.start(conf=CONF.format("MTU = 1000").replace(", fd66::2/64", ""))
    small.splits()
    with Capture(small.direct, "eth0") as capture:
        with pytest.raises(OSError, match="Errno 113|Errno 101"):
            small.gw.python(udp_ask, LISTED6, timeout=1)
        assert not capture.frames(dst=LISTED6)

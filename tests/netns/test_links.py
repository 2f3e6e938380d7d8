"""Links and neighbours of an egress change under traffic; captures outside the gateway judge.

                      +-- eth0 -- isp  -- world_isp
    client -- lan0 -- gw
                      +-- vpn0 -- exit -- world_exit      (see topology.py)
"""

import socket
import threading
import time

import pytest

from harness import Capture, tcp_fetch, udp_ask
from test_egress import LISTED4, LISTED6, OTHER4, OTHER6, fails, start

RESUME_S = 1.5  # a second, and what a busy machine takes to notice
PUBLISH_S = 0.05  # from the news to the workers, on a busy machine
OLD_MAC = "02:00:00:00:00:66"
NEW_MAC = "02:00:00:00:00:77"


def resumes(gateway, address, side="isp"):
    """Ask until there is an answer from that side; how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < 10:
        try:
            if gateway.client.python(udp_ask, address, timeout=0.1).side == side:
                return time.monotonic() - began
        except OSError:
            pass
    return 10


class Asking:
    """Datagrams to addresses without a pause from now on, and when their answers came."""

    def __init__(self, gateway, *addresses, period=0.01):
        self.answers = {a: [time.time()] for a in addresses}
        self.sockets = {a: gateway.client.python(self.open, a) for a in addresses}
        self.period, self.stopped = period, False
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()
        gateway.net.defer(self.stop)

    @staticmethod
    def open(address):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((address, 7))
        s.setblocking(False)
        return s

    def ask(self):
        while not self.stopped:
            for address, s in self.sockets.items():
                for call in (lambda: s.send(b"?"), lambda: s.recv(1000)):
                    try:
                        call()
                    except OSError:
                        break
                else:
                    self.answers[address].append(time.time())
            time.sleep(self.period)

    def answered_since(self, address, since, timeout=10):
        """Whether an answer came after that time; waits for it."""
        end = time.time() + timeout
        while self.answers[address][-1] < since and time.time() < end:
            time.sleep(0.01)
        return self.answers[address][-1] >= since

    def gap(self, address, since):
        """The longest time without an answer that ended after `since`, when there was one again."""
        assert self.answered_since(address, time.time() + 0.3), f"{address} answers no more"
        times = self.answers[address]
        return max(b - a for a, b in zip(times, times[1:]) if b > since)

    def stop(self):
        if not self.stopped:
            self.stopped = True
            self.thread.join()
            for s in self.sockets.values():
                s.close()


def bring_back(gateway):
    """What a link that was down loses in the system: its routes, and IPv6 addresses."""
    side = gateway.isp
    gateway.gw.run(f"ip -6 addr replace {side.gw6}/64 dev eth0 nodad")
    gateway.gw.ip(f"route replace default via {side.router4} dev eth0\n"
                  f"route replace ::/0 via {side.router6} dev eth0\n")


def judge_change(asking, seen, changed):
    """Traffic goes on by the new card, and none by the old one once the gateway was told."""
    gaps = {a: asking.gap(a, changed) for a in (LISTED4, LISTED6)}
    print("without an answer:", gaps)
    assert max(gaps.values()) < RESUME_S, gaps
    asking.stop()
    frames = seen.frames(settle=0.02)
    told = {LISTED4: [f for f in frames if f.ethertype == 0x0806],
            LISTED6: [f for f in frames if f.icmp == (136, 0)]}  # ARP, advertisements
    for address in (LISTED4, LISTED6):
        sent = [f for f in frames if f.dst == address]
        assert len({f.dst_mac for f in sent}) == 2, "the change was not seen"
        knows = min(f.time for f in told[address] if f.src_mac == NEW_MAC) + PUBLISH_S
        assert not [f for f in sent if f.dst_mac == OLD_MAC and f.time > knows], address


def test_gateway_mac_changes(gateway):
    """The next hop gets another card, and says so as such things do."""
    router = gateway.isp.router
    router.run(f"ip link set gw0 address {OLD_MAC}")
    for family in ("ipv4.conf.gw0.arp_notify", "ipv6.conf.gw0.ndisc_notify"):
        router.sysctl(f"net.{family}", 1)
    start(gateway)
    asking = Asking(gateway, LISTED4, LISTED6)
    assert all(asking.answered_since(a, time.time()) for a in (LISTED4, LISTED6))
    seen = Capture(router, "gw0")
    time.sleep(1.1)  # IPv4 changes no entry twice in a second
    changed = time.time()
    router.ip(f"link set gw0 address {NEW_MAC}\n"
              f"route replace default via 100.64.7.2\nroute replace ::/0 via 2001:db8:70::2\n")
    judge_change(asking, seen, changed)


QUIET = """table arp quiet {
    chain o {
        type filter hook output priority 0
        arp operation request drop
    }
}
table ip6 quiet {
    chain o {
        type filter hook output priority 0
        icmpv6 type nd-neighbor-solicit drop
    }
}"""


def test_gateway_mac_changes_in_silence(gateway):
    """A standby takes over: the old card is dead, the new one says nothing until it is asked."""
    router, side = gateway.isp.router, gateway.isp
    router.run(f"ip link set gw0 address {OLD_MAC}")
    start(gateway)
    asking = Asking(gateway, LISTED4, LISTED6)
    assert all(asking.answered_since(a, time.time()) for a in (LISTED4, LISTED6))
    router.nft(QUIET)
    mac = gateway.gw.mac("eth0")
    seen = Capture(router, "gw0")
    time.sleep(1.1)
    changed = time.time()
    router.ip(f"link set gw0 address {NEW_MAC}\n"
              f"neigh replace {side.gw4} lladdr {mac} dev gw0 nud permanent\n"
              f"neigh replace {side.gw6} lladdr {mac} dev gw0 nud permanent\n"
              f"route replace default via 100.64.7.2\nroute replace ::/0 via 2001:db8:70::2\n")
    judge_change(asking, seen, changed)


def test_link_down_and_up(gateway):
    start(gateway)
    other = Capture(gateway.exit.router, "gw0")
    other.control(gateway.client, OTHER4)
    assert resumes(gateway, LISTED4) < 10 and resumes(gateway, LISTED6) < 10
    gateway.gw.run("ip link set eth0 down")
    for address in (LISTED4, LISTED6):
        assert fails(gateway.client.python, udp_ask, address, timeout=0.3) == "TimeoutError"
    gateway.gw.run("ip link set eth0 up")
    error = fails(gateway.client.python, udp_ask, LISTED4, timeout=0.2)
    assert error == "TimeoutError", "its routes are gone, and so are what they said"
    bring_back(gateway)
    for address in (LISTED4, LISTED6):
        assert resumes(gateway, address) < RESUME_S, address
    assert not [f for f in other.frames() if f.dst in (LISTED4, LISTED6)]


def test_address_changes(gateway):
    """Flows go on from the new one, and nothing leaves from the old one."""
    start(gateway)
    asking = Asking(gateway, LISTED4, LISTED6)
    assert all(asking.answered_since(a, time.time()) for a in (LISTED4, LISTED6))
    gw, side = gateway.gw, gateway.isp
    changed = time.time()
    gw.ip("addr add 192.168.7.9/24 dev eth0\naddr del 192.168.7.2/24 dev eth0\n"
          "addr replace 192.168.7.9/24 dev eth0\n"
          "addr add 2001:db8:7::9/64 dev eth0 nodad\naddr del 2001:db8:7::2/64 dev eth0\n"
          f"route replace default via {side.router4} dev eth0\n"
          f"route replace ::/0 via {side.router6} dev eth0\n")
    seen = Capture(side.router, "gw0")
    gaps = {a: asking.gap(a, changed) for a in (LISTED4, LISTED6)}
    print("without an answer:", gaps)
    assert max(gaps.values()) < RESUME_S, gaps
    asking.stop()
    sent = [f for f in seen.frames(settle=0.02) if f.dst in (LISTED4, LISTED6)]
    assert {f.src for f in sent if f.time > changed + 0.2} == {"192.168.7.9", "2001:db8:7::9"}
    # With fixed gateways no default route tells of it.
    gw.ip("addr add 2001:db8:8::9/64 dev vpn0 nodad\naddr del 2001:db8:8::2/64 dev vpn0\n")
    assert resumes(gateway, OTHER6, "exit") < RESUME_S
    assert gateway.client.python(udp_ask, OTHER6).peer == "2001:db8:8::9"


def test_default_route_is_replaced(gateway):
    """By one to another router on the same link: the old one gets nothing more."""
    router, side = gateway.isp.router, gateway.isp
    for name in ("all", "gw0"):
        router.sysctl(f"net.ipv4.conf.{name}.arp_ignore", 1)
    router.run("ip link add gw1 link gw0 type macvlan mode bridge")
    router.address("gw1", "192.168.7.3/24", "2001:db8:7::3/64")
    macs = router.mac("gw0"), router.mac("gw1")
    start(gateway)
    asking = Asking(gateway, LISTED4, LISTED6)
    assert all(asking.answered_since(a, time.time()) for a in (LISTED4, LISTED6))
    seen = Capture(router, "gw0")
    time.sleep(0.1)
    changed = time.time()
    gateway.gw.ip("route replace default via 192.168.7.3 dev eth0\n"
                  "route del ::/0\nroute add ::/0 via 2001:db8:7::3 dev eth0\n")
    gaps = {a: asking.gap(a, changed) for a in (LISTED4, LISTED6)}
    print("without an answer:", gaps)
    assert max(gaps.values()) < RESUME_S, gaps
    asking.stop()
    for address in (LISTED4, LISTED6):
        sent = [f for f in seen.frames(settle=0.02) if f.dst == address and not f.outgoing]
        assert {f.dst_mac for f in sent} == set(macs), "the change was not seen"
        assert {f.dst_mac for f in sent if f.time > changed + 0.2} == {macs[1]}


def test_interface_is_replaced(gateway):
    start(gateway)
    assert resumes(gateway, LISTED4) < 10
    side = gateway.isp
    gateway.gw.run("ip link del eth0")
    gateway.net.veth(gateway.gw, "eth0", side.router, "gw0")
    gateway.gw.address("eth0", f"{side.gw4}/24", f"{side.gw6}/64")
    side.router.address("gw0", f"{side.router4}/24", f"{side.router6}/64")
    bring_back(gateway)
    for address in (LISTED4, LISTED6):
        assert resumes(gateway, address) < RESUME_S, address


@pytest.mark.parametrize("policy", ["drop", "reject", "vpn"])
def test_on_down(gateway, policy):
    start(gateway, direct=f"OnDown = {policy}")
    other = Capture(gateway.exit.router, "gw0")
    other.control(gateway.client, OTHER4)
    assert resumes(gateway, LISTED4) < 10
    gateway.gw.run("ip link set eth0 down")
    if policy == "vpn":
        assert resumes(gateway, LISTED4, "exit") < RESUME_S
        assert gateway.client.python(tcp_fetch, LISTED4).side == "exit"
    else:
        time.sleep(0.2)
        error = fails(gateway.client.python, tcp_fetch, LISTED4, timeout=0.5)
        assert error == ("TimeoutError" if policy == "drop" else "ConnectionRefusedError")
        assert not other.frames(dst=LISTED4)
    gateway.gw.run("ip link set eth0 up")
    bring_back(gateway)
    assert resumes(gateway, LISTED4) < RESUME_S

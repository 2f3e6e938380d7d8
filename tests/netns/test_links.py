"""Links and neighbours of an egress change under traffic; captures outside the gateway judge.

                      +-- eth0 -- isp  -- world_isp
    client -- lan0 -- gw
                      +-- vpn0 -- exit -- world_exit      (see topology.py)
"""

import time

import pytest

from harness import Capture, tcp_fetch, udp_ask
from test_egress import LISTED4, LISTED6, OTHER4, fails, start

RESUME_S = 1.0
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


def bring_back(gateway):
    """What a link that was down loses in the system: its routes, and IPv6 addresses."""
    side = gateway.isp
    gateway.gw.run(f"ip -6 addr replace {side.gw6}/64 dev eth0 nodad")
    gateway.gw.ip(f"route replace default via {side.router4} dev eth0\n"
                  f"route replace ::/0 via {side.router6} dev eth0\n")


def test_gateway_mac_changes(gateway):
    """The next hop gets another card, and says so as such things do."""
    router = gateway.isp.router
    router.run(f"ip link set gw0 address {OLD_MAC}")
    start(gateway)
    assert resumes(gateway, LISTED4) < 10 and resumes(gateway, LISTED6) < 10
    router.run(f"ip link set gw0 address {NEW_MAC}")
    router.run(f"arping -U -c 1 -I gw0 {gateway.isp.router4}", check=False)
    router.run("ip neigh flush dev gw0")
    router.run(f"ping -c 1 -W 1 {gateway.isp.gw4}", check=False)
    router.run(f"ping -c 1 -W 1 {gateway.isp.gw6}", check=False)
    for address in (LISTED4, LISTED6):
        assert resumes(gateway, address) < RESUME_S, address
    seen = Capture(router, "gw0")
    for address in (LISTED4, LISTED6):
        assert gateway.client.python(udp_ask, address).side == "isp"
    assert not [f for f in seen.frames() if f.dst_mac == OLD_MAC]


def test_link_down_and_up(gateway):
    start(gateway)
    other = Capture(gateway.exit.router, "gw0")
    other.control(gateway.client, OTHER4)
    assert resumes(gateway, LISTED4) < 10 and resumes(gateway, LISTED6) < 10
    gateway.gw.run("ip link set eth0 down")
    for address in (LISTED4, LISTED6):
        assert fails(gateway.client.python, udp_ask, address, timeout=0.3) == "TimeoutError"
    gateway.gw.run("ip link set eth0 up")
    bring_back(gateway)
    for address in (LISTED4, LISTED6):
        assert resumes(gateway, address) < RESUME_S, address
    assert not [f for f in other.frames() if f.dst in (LISTED4, LISTED6)]


def test_address_changes(gateway):
    start(gateway)
    assert resumes(gateway, LISTED4) < 10
    gateway.gw.ip("addr add 192.168.7.9/24 dev eth0\naddr del 192.168.7.2/24 dev eth0\n")
    gateway.gw.run("ip addr replace 192.168.7.9/24 dev eth0")
    bring_back(gateway)
    assert resumes(gateway, LISTED4) < RESUME_S
    assert gateway.client.python(udp_ask, LISTED4).peer == "192.168.7.9"


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

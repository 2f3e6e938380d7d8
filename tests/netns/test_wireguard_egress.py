"""An egress of type wireguard: the tunnel inside the daemon."""

import os
import time

import pytest

import harness
from wireguard import RUN_DIR, Key, Tunnel, new_name, ping, wg

pytestmark = pytest.mark.skipif(not harness.have_tun(), reason="may not make TUN devices")

WG_CONF = """[Interface]
PrivateKey = {key}
Address = 10.200.0.1/24, fd00:200::1/64
DNS = 10.200.0.2
PostUp = echo up %i > {mark}
PostDown = echo down %i >> {mark}

[Peer]
PublicKey = {peer}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = 203.0.113.1:5001
"""

SLUICE_CONF = """[Interface]
Name = {name}
Capture = host
Table = 5300
[Egress direct]
Type = interface
Interface = eth0
[Egress {tunnel}]
Type = wireguard
Config = wg.conf
Hooks = yes
[List near]
File = near.txt
[Rule]
List = near
Egress = direct
[Default]
Egress = {tunnel}
"""


def test_split_between_the_interface_and_the_tunnel(net):
    """host -- isp -- far: the list goes out of eth0, all else by the tunnel to far."""
    host, isp, far = net.namespace("host"), net.namespace("isp"), net.namespace("far")
    net.veth(host, "eth0", isp, "lan0")
    net.veth(isp, "wan0", far, "eth0")
    host.address("eth0", "192.0.2.2/24")
    isp.address("lan0", "192.0.2.1/24")
    isp.address("wan0", "203.0.113.254/24")
    far.address("eth0", "203.0.113.1/24")
    isp.forward()
    far.forward()
    host.run("ip route add default via 192.0.2.1")
    far.run("ip route add default via 203.0.113.254")
    far.address("lo", "198.51.100.1/32", "198.51.100.2/32", "2001:db8:9::1/128")
    end = Tunnel(far, "10.200.0.2/24", "fd00:200::2/64")
    end.set("listen-port", 5001)
    key, egress, mark = Key(), new_name(), net.path("hooks")
    end.set("peer", key.public, "allowed-ips", "10.200.0.1/32,fd00:200::1/128")
    files = {"near.txt": "198.51.100.1\n203.0.113.254\n",
             "wg.conf": WG_CONF.format(key=key.private, peer=end.key.public, mark=mark)}
    sluice = harness.Sluice(host, SLUICE_CONF.format(name="sluice0", tunnel=egress), files=files)
    try:
        isp.run("ip route add 198.51.100.1 via 203.0.113.1")  # what the tunnel carries it cannot
        assert ping(host, "198.51.100.2", 3) == 3
        assert ping(host, "198.51.100.1", 3) == 3
        assert ping(host, "2001:db8:9::1", 2) == 2
        counts = {e["name"]: e for e in sluice.json("egress")["egresses"]}
        assert counts[egress]["packets_out"] >= 5 and counts[egress]["packets_in"] >= 5
        assert 3 <= counts["direct"]["packets_out"] < 6
        assert counts[egress]["type"] == "wireguard"
        shown = wg("show", egress)
        assert end.key.public in shown and "latest handshake" in shown
        assert sluice.json("get", "198.51.100.2")["egress"] == egress
        mtu = host.run("ip link show sluice0").stdout
        assert "mtu 1420" in mtu
        sluice.reload()
        assert ping(host, "198.51.100.2", 2) == 2
        assert open(mark, encoding="ascii").read() == "up sluice0\n"
    finally:
        assert sluice.stop() == 0
    assert open(mark, encoding="ascii").read() == "up sluice0\ndown sluice0\n"
    assert not os.path.exists(f"{RUN_DIR}/{egress}.sock")


def test_a_wrong_file_is_named(net):
    host = net.namespace("host")
    files = {"near.txt": "", "wg.conf": "[Interface]\nPrivateKey = x\n"}
    before = time.monotonic()
    with pytest.raises(RuntimeError, match=r"wg\.conf:2:14: expected a key"):
        harness.Sluice(host, SLUICE_CONF.format(name="sluice0", tunnel="vpn"), files=files)
    assert time.monotonic() - before < 5

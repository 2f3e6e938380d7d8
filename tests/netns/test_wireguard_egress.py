"""An egress of type wireguard: the tunnel inside the daemon."""

import os
import re
import socket
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
    with pytest.raises(RuntimeError, match=r"exit code 1\n(.*\n)*.*wg\.conf:2:14: expected a key"):
        harness.Sluice(host, SLUICE_CONF.format(name="sluice0", tunnel="vpn"), files=files)


GATEWAY_CONF = """[Interface]
Name = sluice0
[Egress direct]
Type = interface
Interface = eth0
Gateway = 192.0.2.2, 2001:db8:2::2
[Egress {vpn}]
Type = wireguard
Config = vpn.conf
Split = yes
[Egress {out}]
Type = wireguard
Config = out.conf
[Egress no]
Type = reject
[List near]
File = near.txt
[List never]
File = never.txt
[Rule]
List = never
Egress = no
[List peers]
File = peers.txt
[Rule]
List = near
Egress = direct
[Rule]
List = peers
Egress = {vpn}
[Default]
Egress = {out}
"""


def talk(a, b, address):
    """A datagram there and back; the address that b saw it come from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = b.python(socket.socket, family, socket.SOCK_DGRAM)
    client = a.python(socket.socket, family, socket.SOCK_DGRAM)
    with server, client:
        server.bind((address, 7000))
        server.settimeout(5)
        client.settimeout(5)
        for size in (10, 1300):
            client.sendto(b"?" * size, (address, 7000))
            got, seen = server.recvfrom(2000)
            assert len(got) == size
            server.sendto(b"!" * size, seen)
            got, where = client.recvfrom(2000)
            assert len(got) == size and where[0] == address
    return seen[0]


def peers_text(tunnels):
    return "".join(f"[Peer]\nPublicKey = {t.key.public}\n"
                   f"AllowedIPs = 10.200.0.{i}/32, fd00:200::{i}/128\n"
                   for i, t in tunnels.items())


def test_a_gateway_splits_what_its_peers_send(net):
    """Two peers -- gw -- world: listed by eth0, each other, and all else by a second tunnel.

    The second peer comes by a reload, and the second tunnel's end has a name.
    """
    gw, world = net.namespace("gw"), net.namespace("world")
    net.veth(gw, "eth0", world, "eth0")
    gw.address("eth0", "192.0.2.1/24", "2001:db8:2::1/64")
    world.address("eth0", "192.0.2.2/24", "2001:db8:2::2/64")
    world.address("lo", *(a for i in (1, 2) for a in (f"198.51.100.{i}/32",
                                                      f"2001:db8:9::{i}/128")))
    far = Tunnel(world, "10.201.0.1/24", "fd00:201::1/64")
    world.ip(f"route add 10.200.0.0/24 dev {far.name}\nroute add fd00:200::/64 dev {far.name}\n")
    far_key, key, vpn, out = Key(), Key(), new_name(), new_name()
    far.set("listen-port", 5002, "peer", far_key.public,
            "allowed-ips", "10.200.0.0/24,fd00:200::/64")
    peers = {}
    for i in (2, 3):
        ns = net.namespace(f"peer{i}")
        net.veth(gw, f"lan{i}", ns, "eth0")
        gw.address(f"lan{i}", f"10.9.{i}.1/24")
        ns.address("eth0", f"10.9.{i}.2/24")
        peers[i] = Tunnel(ns, f"10.200.0.{i}/24", f"fd00:200::{i}/64")
        peers[i].set("peer", key.public, "allowed-ips", "0.0.0.0/0,::/0",
                     "endpoint", f"10.9.{i}.1:5001")
        ns.ip(f"route add 198.51.100.0/24 dev {peers[i].name}\n"
              f"route add 2001:db8:9::/64 dev {peers[i].name}\n")
    head = f"[Interface]\nPrivateKey = {key.private}\nAddress = 10.200.0.1/24, fd00:200::1/64\n"
    files = {"near.txt": "198.51.100.1\n2001:db8:9::1\n",
             "never.txt": "198.51.100.9\n",
             "peers.txt": "10.200.0.0/24\nfd00:200::/64\n",
             "hosts": "192.0.2.2 far.example\n",
             "vpn.conf": head + "ListenPort = 5001\n" + peers_text({2: peers[2]}),
             "out.conf": f"[Interface]\nPrivateKey = {far_key.private}\nListenPort = 5003\n"
                         f"[Peer]\nPublicKey = {far.key.public}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
                         "Endpoint = far.example:5002\n"}
    sluice = harness.Sluice(gw, GATEWAY_CONF.format(vpn=vpn, out=out), files=files,
                            mounts="mount --bind hosts /etc/hosts")
    one, two = peers[2].ns, peers[3].ns
    assert talk(one, world, "198.51.100.1") == "192.0.2.1"  # masqueraded
    assert talk(one, world, "2001:db8:9::1") == "2001:db8:2::1"
    assert talk(one, world, "198.51.100.2") == "10.200.0.2"  # by the second tunnel
    assert talk(one, world, "2001:db8:9::2") == "fd00:200::2"
    done = one.run("ping -n -c 1 -W 2 198.51.100.9", check=False)
    assert "filtered" in done.stdout  # and it is told, by its tunnel
    session = wg("show", vpn, "latest-handshakes"), wg("show", out, "latest-handshakes")

    # Whole or not at all: the port is taken, so neither the peer nor the list comes.
    sluice.write("vpn.conf", head + "ListenPort = 5003\n" + peers_text(peers))
    sluice.write("near.txt", "198.51.100.2\n")
    with pytest.raises(RuntimeError, match="ListenPort 5003: Address already in use"):
        sluice.reload()
    assert len(wg("show", vpn, "peers").split()) == 1
    assert sluice.json("get", "198.51.100.2")["egress"] == out
    sluice.write("vpn.conf", head + "ListenPort = 5001\n" + peers_text(peers))
    sluice.write("near.txt", files["near.txt"])
    sluice.reload()
    assert talk(two, world, "198.51.100.1") == "192.0.2.1"
    assert talk(two, one, "10.200.0.2") == "10.200.0.3"  # peer to peer
    assert talk(one, two, "fd00:200::3") == "fd00:200::2"
    now = wg("show", vpn, "latest-handshakes"), wg("show", out, "latest-handshakes")
    assert now[0].startswith(session[0].strip()) and now[1] == session[1]
    sluice.write("vpn.conf", head + peers_text({3: peers[3]}))
    sluice.reload()
    assert wg("show", vpn, "peers").strip() == peers[3].key.public
    assert wg("show", vpn, "listen-port").strip() == "5001"
    assert talk(two, world, "198.51.100.2") == "10.200.0.3"


def test_a_file_of_wg_quick_is_the_tunnel(net):
    """sluice run --tunnel wg.conf, without a configuration.

    An earlier life had a clock that was two hours ahead, and the peer remembers.
    """
    host, far = net.namespace("host"), net.namespace("far")
    net.veth(host, "eth0", far, "eth0")
    host.address("eth0", "203.0.113.2/24")
    far.address("eth0", "203.0.113.1/24")
    far.address("lo", "198.51.100.1/32", "198.51.100.2/32")
    end, key = Tunnel(far, "10.200.0.2/24"), Key()
    end.set("listen-port", 5001, "peer", key.public, "allowed-ips", "10.200.0.1/32")
    files = {"near.txt": "203.0.113.0/24\n",
             "wg.conf": WG_CONF.format(key=key.private, peer=end.key.public, mark="/dev/null"),
             "sluice0.stamp": f"{int(time.time()) + 7200}\n"}
    sluice = harness.Sluice(host, args="--list near.txt --direct eth0 --tunnel wg.conf",
                            files=files, mounts="mount -t tmpfs none /run")
    assert ping(host, "198.51.100.2", 2) == 2
    counts = {e["name"]: e for e in sluice.json("egress")["egresses"]}
    assert counts["tunnel"]["type"] == "wireguard" and counts["tunnel"]["packets_in"] >= 2
    assert "egress tunnel: the commands in wg.conf are not run" in sluice.log()
    assert harness.wait_for(lambda: re.search("the clock is 73.. s behind", sluice.log()))
    another = Key()  # takes the peer's place: a reload reads this file, too
    sluice.write("wg.conf", files["wg.conf"].replace(end.key.public, another.public))
    sluice.reload()
    wg("set", end.name, "private-key", "/dev/stdin", text=another.private)
    assert ping(host, "198.51.100.2", 2) == 2
    sluice.write("wg.conf", "[Interface]\n")
    with pytest.raises(RuntimeError, match="wg.conf: no PrivateKey"):
        sluice.reload()
    with pytest.raises(RuntimeError, match="wg.conf: no PrivateKey"):
        sluice.ctl("diff")
    assert ping(host, "198.51.100.2") == 1
    assert sluice.stop() == 0
    sluice.write("wg.conf", files["wg.conf"].replace(end.key.public, another.public))
    sluice.start()
    assert ping(host, "198.51.100.2", 2) == 2
    assert sluice.stop() == 0
    with open(sluice.file("sluice0.stamp"), encoding="ascii") as f:
        assert int(f.read()) > time.time() + 7200

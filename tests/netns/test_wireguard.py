"""sluice-wg on the wire and by the standard tools, with itself and with wireguard-go."""

import os
import re
import shutil
import socket
import stat
import subprocess
import threading
import time

import pytest

import harness
import wireguard
from wireguard import SLUICE_WG, Key, Tunnel, new_name, ping, wg

GO = shutil.which("wireguard-go") or "wireguard-go"
INNER4, INNER6 = ("10.200.0.1", "10.200.0.2"), ("fd00:200::1", "fd00:200::2")
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}

pytestmark = pytest.mark.skipif(not harness.have_tun(), reason="may not make TUN devices")


def at(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@pytest.fixture
def ends(net):
    """Two namespaces with a cable between them."""
    a, b = net.namespace("a"), net.namespace("b")
    net.veth(a, "eth0", b, "eth0")
    a.address("eth0", OUTER[4][0] + "/24", OUTER[6][0] + "/64")
    b.address("eth0", OUTER[4][1] + "/24", OUTER[6][1] + "/64")
    return a, b


def connect(ends, programs=(SLUICE_WG, SLUICE_WG), outer=4, psk=None):
    """A tunnel between them; a knows where b is, and b learns where a is."""
    tunnels = [Tunnel(ns, INNER4[i] + "/24", INNER6[i] + "/64", program=programs[i])
               for i, ns in enumerate(ends)]
    for i, t in enumerate(tunnels):
        t.set("listen-port", 5000 + i)
        endpoint = at(OUTER[outer][1], 5001) if i == 0 else None
        t.peer(tunnels[1 - i], f"{INNER4[1 - i]}/32,{INNER6[1 - i]}/128", endpoint, psk)
    return tunnels


@pytest.mark.parametrize("programs, outer, psk", [
    ((SLUICE_WG, SLUICE_WG), 4, False), ((SLUICE_WG, GO), 6, True), ((GO, SLUICE_WG), 4, True),
], ids=["itself", "to-go-over-6-with-psk", "from-go-with-psk"])
def test_traffic(ends, programs, outer, psk):
    a, b = connect(ends, programs, outer, Key().private if psk else None)
    assert ping(ends[0], INNER4[1]) == 1
    assert ping(ends[0], INNER6[1], 3, 1300) == 3
    for inner in (INNER4, INNER6):
        blob = os.urandom(400_000)
        assert exchange(ends, inner, blob) == blob
    sent, received = (int(n) for n in a.show("transfer").split()[1:])
    assert sent > 800_000 and received > 800_000
    assert abs(int(a.show("latest-handshakes").split()[1]) - time.time()) < 20
    assert at(OUTER[outer][0], 5000) in b.show("endpoints")


def exchange(ends, inner, blob):
    """Send a blob from a to b and back over TCP."""
    family = socket.AF_INET6 if ":" in inner[0] else socket.AF_INET
    server = ends[1].python(socket.create_server, (inner[1], 7000), family=family)
    client = ends[0].python(socket.create_connection, (inner[1], 7000), timeout=10)
    with server, client:
        peer, _ = server.accept()
        with peer:
            peer.settimeout(10)
            there = pump(client, peer, blob)
            return pump(peer, client, there)


def pump(source, sink, blob):
    sender = threading.Thread(target=source.sendall, args=(blob,))
    sender.start()
    with sink.makefile("rb") as f:
        got = f.read(len(blob))
    sender.join()
    return got


def test_no_peer_and_no_endpoint_are_answered(ends):
    """D8: whoever sends into a tunnel that leads nowhere is told."""
    a = Tunnel(ends[0], INNER4[0] + "/24")
    a.set("peer", Key().public, "allowed-ips", "10.200.0.9/32")
    for address in ("10.200.0.9", "10.200.0.77"):
        done = ends[0].run(["ping", "-n", "-c", "1", "-W", "2", address], check=False)
        assert re.search("Unreachable|Destination Host", done.stdout), done.stdout


def test_roaming_and_restart(ends):
    a, b = connect(ends)
    assert ping(ends[0], INNER4[1]) == 1
    a.set("listen-port", 6000)  # a speaks from another port: b follows
    assert ping(ends[0], INNER4[1], 2) == 2
    assert at(OUTER[4][0], 6000) in b.show("endpoints")
    assert ping(ends[1], INNER4[0]) == 1
    ends[0].sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    ends[0].run("ip addr add 192.0.2.77/24 dev eth0")
    ends[0].run(f"ip addr del {OUTER[4][0]}/24 dev eth0")  # the source that was pinned is gone
    assert ping(ends[0], INNER4[1], 3) == 3
    a.set("peer", b.key.public, "endpoint", at(OUTER[6][1], 5001))  # the other family
    assert ping(ends[0], INNER4[1], 2) == 2
    assert at(OUTER[6][0], 6000) in b.show("endpoints")


def test_another_way_has_another_source(net, ends):
    """Not too sticky: where routes now leave by another interface, its address is used."""
    a, b = connect(ends)
    assert ping(ends[0], INNER4[1]) == 1
    assert at(OUTER[4][0], 5000) in b.show("endpoints")
    net.veth(ends[0], "eth1", ends[1], "eth1")
    for ns in ends:
        for link in "all", "eth0", "eth1":
            ns.sysctl(f"net.ipv4.conf.{link}.rp_filter", 0)
    ends[0].run("ip addr add 192.0.2.3/32 dev eth1")
    ends[0].run(f"ip route add {OUTER[4][1]}/32 dev eth1 src 192.0.2.3")
    assert harness.wait_for(lambda: ping(ends[0], INNER4[1]) == 1 and
                            at("192.0.2.3", 5000) in b.show("endpoints"))
    assert ping(ends[1], INNER4[0], 2) == 2
    assert a.show("endpoints") == f"{b.key.public}\t{at(OUTER[4][1], 5001)}"


def test_configuration_comes_back_as_it_went(net):
    """wg setconf, showconf, syncconf, addconf; limits of addresses and peers (netns.sh)."""
    ns = net.namespace("a")
    t = Tunnel(ns)
    peers = [Key() for _ in range(3)]
    psk = Key().private
    conf = f"[Interface]\nListenPort = 5000\nFwMark = 0x1234\nPrivateKey = {t.key.private}\n"
    conf += (f"\n[Peer]\nPublicKey = {peers[0].public}\nPresharedKey = {psk}\n"
             "AllowedIPs = 10.0.0.0/8, fd00::/8\nEndpoint = 192.0.2.9:51820\n"
             "PersistentKeepalive = 25\n"
             f"\n[Peer]\nPublicKey = {peers[1].public}\nAllowedIPs = 10.1.0.0/16\n"
             "Endpoint = [2001:db8::9]:51820\n")
    path = net.path("wg.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(conf)
    wg("setconf", t.name, path)
    shown = wg("showconf", t.name)
    assert shown.strip() == conf.strip()
    wg("syncconf", t.name, path)
    assert wg("showconf", t.name) == shown
    with open(path, "w", encoding="ascii") as f:
        f.write(f"[Peer]\nPublicKey = {peers[2].public}\nAllowedIPs = 10.1.0.0/16\n")
    wg("addconf", t.name, path)  # the address moves to the third peer
    allowed = dict(line.split("\t") for line in t.show("allowed-ips").splitlines())
    assert allowed[peers[1].public] == "(none)"
    assert allowed[peers[2].public] == "10.1.0.0/16"
    t.set("peer", peers[2].public, "remove", "peer", peers[1].public, "remove")
    assert t.show("peers") == peers[0].public
    t.set("peer", t.key.public, "allowed-ips", "10.9.0.0/16")  # itself: ignored
    assert t.show("peers") == peers[0].public
    assert t.show("fwmark") == "0x1234"
    t.set("fwmark", "0")
    assert t.show("fwmark") == "off"
    many = ",".join(f"10.{i}.{j}.0/24,fd00:{i:x}:{j:x}::/48"
                    for i in range(255) for j in range(256))
    with open(path, "w", encoding="ascii") as f:
        f.write(f"[Peer]\nPublicKey = {peers[0].public}\nAllowedIPs = {many}\n")
    wg("setconf", t.name, path)
    assert len(t.show("allowed-ips").split()) == 1 + 2 * 255 * 256
    t.set("peer", peers[0].public, "allowed-ips", "")
    assert t.show("allowed-ips").split()[1] == "(none)"


def uapi(name, *parts):
    """What the socket answers to a request that comes in these parts."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(f"{wireguard.RUN_DIR}/{name}.sock")
        s.settimeout(5)
        for part in parts:
            s.sendall(part.encode())
            time.sleep(0.001)
        got = b""
        while not got.endswith(b"\n\n"):
            more = s.recv(1 << 20)
            if not more:
                break
            got += more
        return got.decode()


def test_a_set_applies_whole_or_not_at_all(net):
    t = Tunnel(net.namespace("a"))
    good = "set=1\nlisten_port=7777\nfwmark=5\n"
    assert uapi(t.name, good + "frob=1\n\n") == "errno=-22\n\n"
    assert t.show("listen-port") != "7777" and t.show("fwmark") == "off"
    assert uapi(t.name, *(good + "\n")) == "errno=0\n\n"  # byte by byte
    assert t.show("listen-port") == "7777" and t.show("fwmark") == "0x5"
    assert uapi(t.name, "frob=1\n") == ""
    assert uapi(t.name, "get=1\n\nget=1\n\n").count("listen_port=7777\n") in (1, 2)
    taken = Tunnel(net.namespaces[0])
    before = taken.show("listen-port")
    assert uapi(taken.name, "set=1\nfwmark=9\nlisten_port=7777\n\n") == "errno=-98\n\n"
    assert taken.show("fwmark") == "off" and taken.show("listen-port") == before


def test_life(net):
    """A start in the background, a socket that is removed, an interface that goes."""
    ns = net.namespace("a")
    stages = net.path("stages")
    for end in ("socket", "interface"):
        name = wireguard.new_name()
        path = f"{wireguard.RUN_DIR}/{name}.sock"
        if end == "interface":  # made for a program of one queue, which others are
            ns.run(f"ip tuntap add {name} mode tun")
        ns.run(["env", f"WG_STAGES={stages}", SLUICE_WG, name])
        try:
            assert wg("show", name).startswith("interface")  # at once
            mode = os.stat(path)
            assert stat.S_ISSOCK(mode.st_mode) and stat.S_IMODE(mode.st_mode) == 0o600
            shown = ns.run(f"ip link show {name}").stdout
            assert "mtu 1420" in shown and "qlen 4096" in shown
            again = ns.run([SLUICE_WG, name], check=False)
            assert again.returncode != 0 and "busy" in again.stderr.lower(), again.stderr
        finally:
            if end == "socket":
                os.unlink(path)
            else:
                ns.run(f"ip link del {name}")
        deadline = time.monotonic() + harness.START_S
        while os.path.exists(path) or ns.run(f"ip link show {name}", check=False).returncode == 0:
            assert time.monotonic() < deadline, f"it lives on after its {end} went"
            time.sleep(0.02)
        with open(stages, encoding="utf-8") as f:
            assert f"\n{name} seal_ns 0\n" in f.read()


def test_what_is_wrong_is_said(net):
    """What, where, and what to do about it."""
    ns = net.namespace("a")
    unprivileged = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
    for before, words, env, said in (
            ([], [], {}, "no interface is named\nusage: "),
            ([], ["-x"], {}, "unknown option '-x'\nusage: "),
            ([], ["a", "b"], {}, "one interface only, what is 'b'\nusage: "),
            ([], ["0123456789abcdef"], {}, "longer than an interface's name can be: "),
            ([], ["-f", "lo"], {}, "lo: cannot open the TUN device: .*an interface of that name"),
            ([], ["-f", "a/b"], {}, "a/b: cannot open .*no interface can have that name"),
            ([], ["w"], {"WG_QUEUES": "0"}, "WG_QUEUES: not a number from 1 to 64: '0'"),
            ([], ["w"], {"WG_TUN_FD": "x"}, "WG_TUN_FD: not a number from 0 to .*: 'x'"),
            ([], ["w"], {"WG_TUN_FD": "0"}, "WG_TUN_FD: 0 is no TUN device"),
            ([], ["-f", new_name()], {"WG_UAPI_FD": "77"}, "WG_UAPI_FD: .*"),
            (unprivileged, ["w"], {}, "w: .*run as root, or with CAP_NET_ADMIN")):
        done = ns.run([*before, SLUICE_WG, *words], check=False, stdin=subprocess.DEVNULL,
                      env={**os.environ, **env})
        assert done.returncode == 1 and re.search(said, done.stderr), done.stderr
    assert ns.run([SLUICE_WG, "--help"]).stdout.startswith("usage: sluice-wg ")
    assert re.fullmatch(r"sluice-wg \d+\.\d+\.\d+\n", ns.run([SLUICE_WG, "--version"]).stdout)


def test_wg_quick(net, ends):
    """Up, with a route for all; saved; down; and up as it was saved."""
    with open(shutil.which("wg-quick"), encoding="utf-8") as f:  # without the kernel's own
        script = f.read().replace('cmd ip link add "$INTERFACE" type wireguard', "false")
    with open(net.path("wg-quick"), "w", encoding="utf-8") as f:
        f.write(script.replace("/sys/module/wireguard", "/nonexistent"))
    b, key, name, more = Tunnel(ends[1], INNER4[1] + "/24"), Key(), new_name(), Key()
    b.set("listen-port", 5001, "peer", key.public, "allowed-ips", f"{INNER4[0]}/32,{INNER6[0]}/128")
    ends[1].address("lo", "198.51.100.1/32")
    conf, path = net.path(f"{name}.conf"), f"{wireguard.RUN_DIR}/{name}.sock"
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"[interface]\r\nprivatekey = {key.private} # mine\r\nFwMark = off\n"
                f"Address = {INNER4[0]}/24 {INNER6[0]}/64\nPostUp = ip link set %i alias ours\n"
                f"[Peer]\nPublicKey={b.key.public}  \nAllowedIPs = ::/0\nAllowedIPs=0.0.0.0/0\n"
                f"Endpoint = {at(OUTER[4][1], 5001)}\nPersistentKeepalive = off\n")

    def quick(word):
        return ends[0].run(["bash", net.path("wg-quick"), word, conf], stdin=subprocess.DEVNULL,
                           env={**os.environ, "WG_QUICK_USERSPACE_IMPLEMENTATION": SLUICE_WG})

    net.defer(lambda: os.path.exists(path) and os.unlink(path))
    for psk in (None, more.private):
        quick("up")
        assert ping(ends[0], "198.51.100.1", 2) == 2
        assert "ours" in ends[0].run(f"ip link show {name}").stdout
        line = f"{b.key.public}\t{psk or '(none)'}\t{at(OUTER[4][1], 5001)}\t"
        assert f"{name}\t{line}" in wg("show", "all", "dump")
        wg("set", name, "peer", b.key.public, "preshared-key", "/dev/stdin", text=more.private)
        b.set("peer", key.public, "preshared-key", "/dev/stdin", text=more.private)
        quick("save")
        quick("down")
        assert harness.wait_for(lambda: not os.path.exists(path))
        assert ends[0].run(f"ip link show {name}", check=False).returncode != 0


def test_the_interface_moves_and_its_mtu_follows(net, ends):
    """The tunnel's device in a namespace of its own; its sockets stay."""
    a, b = connect(ends)
    inside = net.namespace("inside")
    ends[0].run(f"ip link set {a.name} netns {inside.path}")
    inside.address(a.name, INNER4[0] + "/24")
    assert ping(inside, INNER4[1], 2) == 2
    for ns, t in ((inside, a), (ends[1], b)):
        ns.run(f"ip link set {t.name} mtu 8000")
    assert harness.wait_for(lambda: ping(inside, INNER4[1], 2, 7900, timeout=0.5) == 2)
    assert a.stop() == 0
    assert not os.path.exists(a.socket)


def test_a_narrow_way_is_found(net):
    """Between two routers 1400 bytes pass: datagrams are cut up, and who sends inside learns it."""
    a, left, right, b = (net.namespace(n) for n in ("a", "left", "right", "b"))
    net.veth(a, "eth0", left, "lan0")
    net.veth(left, "wan0", right, "wan0", mtu=1400)
    net.veth(right, "lan0", b, "eth0")
    for ns, lan, wan, address in ((left, 1, 1, "192.0.2.1"), (right, 2, 2, "192.0.2.2")):
        ns.address("wan0", f"{address}/24")
        ns.address("lan0", f"10.9.{lan}.254/24")
        ns.forward()
        ns.run(f"ip route add default via 192.0.2.{3 - wan}")
    for ns, lan in ((a, 1), (b, 2)):
        ns.address("eth0", f"10.9.{lan}.1/24")
        ns.run(f"ip route add default via 10.9.{lan}.254")
    tunnels = [Tunnel(ns, INNER4[i] + "/24") for i, ns in enumerate((a, b))]
    tunnels[1].set("listen-port", 5001)
    for i, t in enumerate(tunnels):
        t.peer(tunnels[1 - i], INNER4[1 - i], "10.9.2.1:5001" if i == 0 else None)
    blob = os.urandom(300_000)
    assert exchange((a, b), INNER4, blob) == blob
    # What a sent came in fragments: b's senders are told, and a's by the next handshake of TCP.
    assert "mtu 1336" in b.run(["ip", "route", "get", INNER4[0]]).stdout
    server = b.python(socket.create_server, (INNER4[1], 7001))
    client = a.python(socket.create_connection, (INNER4[1], 7001), timeout=5)
    with server, client:
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1336 - 40

"""Capture: what leads packets into the TUN, what must not go there, and that `down` undoes it all.

    net "world"                     net "gw"                          net "lan"
    lo  203.0.113.9, 2001:db8:9::9
    w0  192.0.2.1/24  ------------  eth0  192.0.2.2/24
        2001:db8:1::1/64                  2001:db8:1::2/64
                                    lan0  10.9.0.1/24     ----------  l0  10.9.0.2/24
                                          fd09::1/64                      fd09::2/64

Sluice runs in gw. Its default egress is drop, and what may leave by eth0 is listed: a packet to the
world that the world sees although it is not listed is a leak.
"""

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

SLUICE = os.environ.get(
    "SLUICE", os.path.join(os.path.dirname(__file__), "../../zig-out/bin/sluice"))
WORLD = {4: "203.0.113.9", 6: "2001:db8:9::9"}
PEER = {4: "192.0.2.1", 6: "2001:db8:1::1"}
GW = {4: "192.0.2.2", 6: "2001:db8:1::2"}
LAN = {4: "10.9.0.2", 6: "fd09::2"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
CLONE_NEWNET = 0x40000000
START_S = 10

libc = ctypes.CDLL(None, use_errno=True)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, or a user namespace's")


def run(*words, check=True, text=None):
    result = subprocess.run(words, input=text, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    assert not check or result.returncode == 0, f"{words}: {result.stdout}"
    return result.stdout


class Net:
    """A network namespace with a unique name."""

    def __init__(self, name):
        self.name = f"capture-{os.getpid()}-{name}"
        run("ip", "netns", "add", self.name)
        self("ip", "link", "set", "lo", "up")

    def __call__(self, *words, **options):
        return run("ip", "netns", "exec", self.name, *words, **options)

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes belong to the namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            assert libc.setns(there, CLONE_NEWNET) == 0
            yield
        finally:
            libc.setns(home, CLONE_NEWNET)
            os.close(home)
            os.close(there)

    def socket(self, family, kind, bind=None, connect=None, timeout=3):
        with self.inside():
            s = socket.socket(FAMILY[family], kind)
        s.settimeout(timeout)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if bind is not None:
            s.bind(bind)
        if connect is not None:
            s.connect(connect)
        return s

    def listen(self, family, port):
        s = self.socket(family, socket.SOCK_STREAM, bind=("", port))
        s.listen()
        return s

    def close(self):
        run("ip", "netns", "del", self.name)


class Sluice:
    """A running daemon."""

    def __init__(self, net, conf):
        self.net = net
        self.conf = conf
        self.log = open(f"{conf}.log", "a+", encoding="utf-8")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", net.name, SLUICE, "-S", f"{conf}.sock", "run", "-c", conf],
            stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_S
        while not os.path.exists(f"{conf}.sock"):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(10)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.conf}.sock")


class Topology:
    def __init__(self, folder):
        self.folder = folder
        self.nets = []
        self.daemons = []
        self.world, self.gw, self.lan = self.net("world"), self.net("gw"), self.net("lan")
        self.link(self.world, "w0", self.gw, "eth0")
        self.link(self.lan, "l0", self.gw, "lan0")
        self.addresses(self.world, "w0", f"{PEER[4]}/24", f"{PEER[6]}/64")
        self.addresses(self.world, "lo", f"{WORLD[4]}/32", f"{WORLD[6]}/128")
        self.addresses(self.gw, "eth0", f"{GW[4]}/24", f"{GW[6]}/64")
        self.addresses(self.gw, "lan0", "10.9.0.1/24", "fd09::1/64")
        self.addresses(self.lan, "l0", f"{LAN[4]}/24", f"{LAN[6]}/64")
        for net, via4, via6 in ((self.gw, PEER[4], PEER[6]), (self.lan, "10.9.0.1", "fd09::1")):
            net("ip", "route", "add", "default", "via", via4)
            net("ip", "-6", "route", "add", "default", "via", via6)
        self.world("ip", "route", "add", "10.9.0.0/24", "via", GW[4])
        self.world("ip", "-6", "route", "add", "fd09::/64", "via", GW[6])
        self.gw("sysctl", "-qw", "net.ipv4.ip_local_reserved_ports=22,45000,60500")

    def net(self, name):
        self.nets.append(Net(name))
        return self.nets[-1]

    @staticmethod
    def link(a, a_name, b, b_name):
        run("ip", "link", "add", a_name, "netns", a.name, "type", "veth",
            "peer", "name", b_name, "netns", b.name)
        a("ip", "link", "set", a_name, "up")
        b("ip", "link", "set", b_name, "up")

    @staticmethod
    def addresses(net, device, *addresses):
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            net("ip", "addr", "add", address, "dev", device, *nodad)

    def forwarding(self):
        self.gw("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def conf(self, capture="host", listed=(), extra="", table=5260):
        """A configuration that drops all but what is listed, which leaves by eth0."""
        path = os.path.join(self.folder, "sluice.conf")
        with open(os.path.join(self.folder, "listed.txt"), "w", encoding="utf-8") as f:
            f.write("".join(f"{p}\n" for p in listed) or "198.18.0.0/32\n")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"""
[Interface]
Name = sl0
Address = 10.66.0.2/24, fd66::2/64
Queues = 1
Capture = {capture}
{"From = lan0" if capture == "forward" else ""}
Table = {table}
{extra}
[Egress direct]
Type = interface
Interface = eth0
[Egress none]
Type = drop
[List listed]
File = listed.txt
[Rule]
List = listed
Egress = direct
[Default]
Egress = none
""")
        return path

    def start(self, conf):
        self.daemons.append(Sluice(self.gw, conf))
        return self.daemons[-1]

    def state(self):
        """All that Sluice could have left behind in gw, as text."""
        parts = [self.gw(*words.split()) for words in (
            "ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all",
            "nft list ruleset", "ip -d addr",
            "sysctl -a --pattern ip_local_reserved_ports|rp_filter|disable_ipv6|forwarding")]
        text = "\n".join(parts)
        text = re.sub(r" expires \d+sec| (valid|preferred)_lft \d+sec", "", text)
        return re.sub(r"(RX|TX|inet6 fe80).*", "", text)

    def close(self):
        for daemon in self.daemons:
            daemon.stop(signal.SIGKILL)
            daemon.log.close()
        for net in self.nets:
            net.close()


@pytest.fixture
def top(tmp_path):
    t = Topology(str(tmp_path))
    try:
        time.sleep(0.1)
        yield t
    finally:
        t.close()


def settle(top):
    """IPv6 link-local addresses take their time to become final."""
    end = time.monotonic() + 5
    while "tentative" in top.gw("ip", "addr") and time.monotonic() < end:
        time.sleep(0.1)


def echo(server, stop):
    """Serve TCP: answer what comes, until stop is set."""
    server.settimeout(0.1)
    while not stop.is_set():
        try:
            connection, _ = server.accept()
        except socket.timeout:
            continue
        with connection:
            connection.settimeout(2)
            with contextlib.suppress(OSError):
                connection.sendall(b"seen:" + connection.recv(100))


@contextlib.contextmanager
def serving(net, family, port):
    stop = threading.Event()
    server = net.listen(family, port)
    thread = threading.Thread(target=echo, args=(server, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        server.close()


def talk(net, family, address, port, bind=None):
    """What an echo server answers, or the name of the error."""
    try:
        with net.socket(family, socket.SOCK_STREAM, bind=bind, connect=(address, port)) as s:
            s.sendall(b"hello")
            return s.recv(100)
    except OSError as e:
        return type(e).__name__


class Watch:
    """Counts what the world sees of packets to it that come in by w0, with nft."""

    def __init__(self, net):
        self.net = net
        net("nft", "-f", "-", text=f"""table inet watch {{
            counter leaks {{
            }}
            chain c {{ type filter hook prerouting priority -400;
              ip daddr {WORLD[4]} counter name leaks
              ip6 daddr {WORLD[6]} counter name leaks
            }}
            }}""")

    def seen(self):
        text = self.net("nft", "list", "counter", "inet", "watch", "leaks")
        return int(re.search(r"packets (\d+)", text)[1])


@contextlib.contextmanager
def probing(net):
    """Send datagrams to the world without a pause, of both families."""
    stop, sent = threading.Event(), [0]
    sockets = {f: net.socket(f, socket.SOCK_DGRAM) for f in (4, 6)}

    def probe():
        while not stop.is_set():
            for family, s in sockets.items():
                with contextlib.suppress(OSError):
                    sent[0] += s.sendto(b"probe", (WORLD[family], 9)) > 0
            time.sleep(0.0005)

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()
        for s in sockets.values():
            s.close()


@pytest.mark.parametrize("capture", ["host", "forward", "none"])
@pytest.mark.parametrize("ipv6", [True, False])
def test_end_leaves_nothing(top, capture, ipv6):
    if not ipv6:
        top.gw("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
               "net.ipv6.conf.default.disable_ipv6=1")
    settle(top)
    before = top.state()
    daemon = top.start(top.conf(capture))
    assert "sl0" in top.gw("ip", "link")
    assert top.gw("ip", "route", "show", "table", "main") in before
    daemon.stop()
    assert top.state() == before


@pytest.mark.parametrize("missing", [
    (), ("ip link del sl0",), ("nft delete table inet sluice_sl0",),
    ("ip rule del pref 5152", "ip -6 route flush table 5260"),
])
@pytest.mark.parametrize("strict", [False, True])
def test_down_after_kill(top, missing, strict):
    if strict:
        top.gw("sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1")
    settle(top)
    before = top.state()
    top.start(top.conf()).stop(signal.SIGKILL)
    for command in missing:
        top.gw(*command.split())
    said = top.gw(SLUICE, "down")
    assert "removed" in said
    assert top.state() == before
    assert top.gw(SLUICE, "down") == "nothing to remove\n"


def test_down_refuses_while_running(top):
    conf = top.conf()
    daemon = top.start(conf)
    running = top.state()
    for words in (("down",), ("down", "sl0"), ("down", "-c", conf)):
        result = subprocess.run(["ip", "netns", "exec", top.gw.name, SLUICE, *words],
                                capture_output=True, text=True)
        assert result.returncode == 2, result
        assert f"pid {daemon.process.pid}" in result.stderr
    assert top.state() == running


def test_down_spares_what_is_not_ours(top):
    top.gw("ip", "tuntap", "add", "sl0", "mode", "tun")
    top.gw("ip", "route", "add", "default", "dev", "lo", "table", "5260")
    top.gw("ip", "rule", "add", "fwmark", "1", "table", "5260", "pref", "5152")
    top.gw("nft", "add", "table", "inet", "other")
    settle(top)
    before = top.state()
    assert top.gw(SLUICE, "down", "sl0") == "nothing to remove\n"
    assert top.state() == before


@pytest.mark.parametrize("device", ["kept", "removed"])
def test_kill_and_restart_leak_nothing(top, device):
    conf = top.conf()
    settle(top)
    watch = Watch(top.world)
    with probing(top.gw) as sent:
        time.sleep(0.2)
        assert watch.seen() > 0, "the probes do not reach the world without Sluice"
        daemon = top.start(conf)
        before, sent_before = watch.seen(), sent[0]
        for _ in range(3):
            daemon.stop(signal.SIGKILL)
            if device == "removed":
                top.gw("ip", "link", "del", "sl0")
            time.sleep(0.2)
            daemon = top.start(conf)
        time.sleep(0.2)
        assert watch.seen() == before
        assert sent[0] > sent_before + 10 or device == "removed"


def test_injected_routes_do_not_pull_out(top):
    """A DHCP option 121 route, two halves of the Internet, a public address on the LAN."""
    top.start(top.conf())
    for words in (f"route add {WORLD[4]}/32 via {PEER[4]} dev eth0",
                  f"route add 0.0.0.0/1 via {PEER[4]}", f"route add 128.0.0.0/1 via {PEER[4]}",
                  "addr add 203.0.113.77/24 dev eth0",
                  f"-6 route add {WORLD[6]}/128 via {PEER[6]}", f"-6 route add ::/1 via {PEER[6]}"):
        top.gw("ip", *words.split())
    watch = Watch(top.world)
    with probing(top.gw) as sent:
        time.sleep(0.3)
    assert watch.seen() == 0
    assert sent[0] > 0
    for family in (4, 6):
        assert "dev sl0" in top.gw("ip", "route", "get", WORLD[family])


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("strict", [False, True])
def test_host_answers_where_it_was_asked(top, family, strict):
    if strict:
        top.gw("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    settle(top)
    top.start(top.conf())
    if not strict:  # another VPN's halves would pull the answers away, and fail a strict filter
        top.gw("ip", "route", "add", "128.0.0.0/1", "dev", "lan0")
        top.gw("ip", "-6", "route", "add", "2000::/3", "dev", "lan0", "metric", "1")
    with serving(top.gw, family, 8080):
        for source in (WORLD[family], PEER[family]):
            assert talk(top.world, family, GW[family], 8080, bind=(source, 0)) == b"seen:hello"
    assert "1 received" in top.world("ping", f"-{family}", "-c1", "-W2", "-I", WORLD[family],
                                     GW[family], check=False)


@pytest.mark.parametrize("family", [4, 6])
def test_host_captures_containers(top, family):
    """Hosts behind gw are captured too, get their answers, and can be reached from outside."""
    top.forwarding()
    settle(top)
    top.start(top.conf(listed=(PEER[family],)))
    with serving(top.world, family, 80), serving(top.lan, family, 8080):
        assert talk(top.lan, family, PEER[family], 80) == b"seen:hello"
        assert talk(top.lan, family, WORLD[family], 80) == "TimeoutError"
        assert talk(top.world, family, LAN[family], 8080,
                    bind=(WORLD[family], 0)) == b"seen:hello"


def test_one_armed_gateway_is_captured(top):
    """What comes in by eth0 only to leave by it again is no connection to a host behind gw."""
    top.forwarding()
    settle(top)
    top.gw("sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0",
           "net.ipv4.conf.eth0.send_redirects=0")
    top.world("ip", "route", "add", "198.51.100.9", "via", GW[4])
    top.world("nft", "-f", "-", text="""table inet back {
        counter back {
        }
        chain c { type filter hook prerouting priority -400; ip daddr 198.51.100.9 counter name back
        }
        }""")

    def back():
        return "packets 0 " not in top.world("nft", "reset", "counter", "inet", "back", "back")

    with top.world.socket(4, socket.SOCK_DGRAM, bind=(PEER[4], 0)) as s:
        s.sendto(b"x", ("198.51.100.9", 9))
        time.sleep(0.1)
        assert back(), "not even forwarded without Sluice"
        top.start(top.conf())
        s.sendto(b"x", ("198.51.100.9", 10))
        time.sleep(0.1)
        assert not back()


def test_dhcp_client_is_not_captured(top):
    top.start(top.conf())
    server = top.world.socket(4, socket.SOCK_DGRAM, bind=(PEER[4], 67))
    client = top.gw.socket(4, socket.SOCK_DGRAM, bind=(GW[4], 68))
    client.sendto(b"renew", (PEER[4], 67))
    assert server.recvfrom(10) == (b"renew", (GW[4], 68))
    client.close()
    server.close()


@pytest.mark.parametrize("family", [4, 6])
def test_session_goes_on_when_server_speaks_first(top, family):
    """What `sluice run` over ssh needs: the server's output comes before the client's next word."""
    settle(top)
    server = top.gw.listen(family, 22)
    client = top.world.socket(family, socket.SOCK_STREAM, bind=(WORLD[family], 0),
                              connect=(GW[family], 22))
    session, _ = server.accept()
    session.settimeout(3)
    top.start(top.conf())
    for word in (b"one", b"two"):
        session.sendall(word)
        assert client.recv(10) == word
        client.sendall(word)
        assert session.recv(10) == word
    for s in (session, client, server):
        s.close()


@pytest.mark.parametrize("family", [4, 6])
def test_silence_on_translated_ports(top, family):
    settle(top)
    with serving(top.gw, family, 50001):  # there before: stays the kernel's
        top.start(top.conf())
        assert talk(top.world, family, GW[family], 50000) == "TimeoutError"
        assert talk(top.world, family, GW[family], 30000) == "ConnectionRefusedError"
        assert talk(top.world, family, GW[family], 50001) == b"seen:hello"
        with top.world.socket(family, socket.SOCK_DGRAM, timeout=0.5,
                              connect=(GW[family], 50000)) as s:
            s.send(b"x")
            with pytest.raises(socket.timeout):
                s.recv(10)  # no port unreachable
    reserved = top.gw("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").strip()
    assert reserved == "22,40000-59999,60500"


def test_forward_takes_only_from(top):
    """lan0 is captured, gw itself and what others send through it are not."""
    top.forwarding()
    settle(top)
    top.start(top.conf("forward"))
    with serving(top.world, 4, 80), serving(top.lan, 4, 8080), serving(top.lan, 6, 8080):
        assert talk(top.gw, 4, WORLD[4], 80) == b"seen:hello"
        assert talk(top.lan, 4, WORLD[4], 80) == "TimeoutError"
        for family in (4, 6):  # from outside to a server on the LAN, and the answer back
            assert talk(top.world, family, LAN[family], 8080,
                        bind=(WORLD[family], 0)) == b"seen:hello"


def test_masquerade_of_others_goes_on(top):
    """The kernel translates another LAN beside Sluice, to ports in Sluice's range."""
    other = top.net("other")
    top.link(other, "o0", top.gw, "lan2")
    top.addresses(other, "o0", "10.8.0.2/24")
    top.addresses(top.gw, "lan2", "10.8.0.1/24")
    other("ip", "route", "add", "default", "via", "10.8.0.1")
    top.gw("nft", "-f", "-", text="""table ip nat {
        chain post { type nat hook postrouting priority srcnat;
        ip saddr 10.8.0.0/24 oifname "eth0" masquerade
        }
        }""")
    top.forwarding()
    settle(top)
    top.start(top.conf("forward"))
    with serving(top.world, 4, 80):
        for port in (50100, 50101, 30100):
            assert talk(other, 4, WORLD[4], 80, bind=("", port)) == b"seen:hello"
    assert talk(top.world, 4, GW[4], 50100) == "TimeoutError"  # a stranger still meets silence


def test_gateway_change_is_followed(top):
    settle(top)
    top.start(top.conf())
    assert f"via {PEER[4]}" in top.gw("ip", "route", "show", "table", "5261")
    top.addresses(top.world, "w0", "192.0.2.200/24")
    top.gw("ip", "route", "replace", "default", "via", "192.0.2.200", "dev", "eth0")
    end = time.monotonic() + 5
    while "via 192.0.2.200" not in top.gw("ip", "route", "show", "table", "5261"):
        assert time.monotonic() < end
        time.sleep(0.05)
    top.gw("ip", "route", "del", "default")  # another VPN's client takes it away
    time.sleep(0.3)
    assert "via 192.0.2.200" in top.gw("ip", "route", "show", "table", "5261")
    top.gw("ip", "link", "set", "eth0", "down")
    top.gw("ip", "link", "set", "eth0", "up")
    top.gw("ip", "route", "add", "default", "via", PEER[4], "dev", "eth0")
    while f"via {PEER[4]}" not in top.gw("ip", "route", "show", "table", "5261"):
        assert time.monotonic() < end + 5
        time.sleep(0.05)


def test_start_fails_whole(top):
    """A rule that is not there before and a table that nft refuses: nothing stays."""
    settle(top)
    before = top.state()
    conf = top.conf(extra="MTU = 70000")
    result = subprocess.run(["ip", "netns", "exec", top.gw.name, SLUICE, "run", "-c", conf],
                            capture_output=True, text=True, timeout=10)
    assert result.returncode != 0
    assert top.state() == before
    broken = os.path.join(top.folder, "bin")
    os.mkdir(broken)
    with open(f"{broken}/nft", "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\necho broken >&2\nexit 1\n")
    os.chmod(f"{broken}/nft", 0o755)
    result = subprocess.run(["ip", "netns", "exec", top.gw.name, "env",
                             f"PATH={broken}:{os.environ['PATH']}", SLUICE, "run", "-c",
                             top.conf()],
                            capture_output=True, text=True, timeout=10)
    assert "broken" in result.stderr and result.returncode != 0
    assert top.state() == before

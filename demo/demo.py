#!/usr/bin/python3
"""The demonstration: 1,005 real prefixes decide where live packets go.

Everything happens in network namespaces of its own; the host is not touched. Each step says what
it does and what came out, and the first that is not as it should be ends the demo with exit code 1.
SLUICE and SLUICE_PERF name the programs.
"""

import ipaddress
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "netns"))

import harness  # noqa: E402
from harness import Capture, Net, Sluice, changes, snapshot  # noqa: E402

LISTS = os.path.join(ROOT, "examples", "lists")
OFFICE = "192.0.2.0/24"  # a second list, which never changes
BULK_MS = 500
RELOADS = 100

CONF = """\
[Interface]
Name = sluice0
Address = 10.66.0.1/24, fd66::1/64
Queues = 2
Capture = forward
From = lan0

[Egress direct]
Type = interface
Interface = eth0

[Egress vpn]
Type = interface
Interface = vpn0
Gateway = 192.168.8.1, 2001:db8:8::1

[List country]
File = country.txt

[List office]
File = office.txt

[Rule]
List = country
Egress = direct

[Rule]
List = office
Egress = direct

[Default]
Egress = vpn
"""

DRAWING = """
                                           eth0  .----------.  "direct"
                                       .---------| home ISP |--- any address; servers say "isp"
  .--------.  lan0   .-------------.   |         '----------'
  | client |---------| gateway:    |---+
  '--------'         | Sluice      |   |   vpn0  .----------.  "vpn"
                     '-------------'   '---------| VPN exit |--- any address; servers say "exit"
                                                 '----------'
  listed prefixes (country-mx.txt: 798 IPv4 + 207 IPv6) leave by the home ISP, others by the VPN
"""


class Failed(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def title(number, text):
    print(f"\n{number}. {text}", flush=True)


def say(text):
    print("   " + text, flush=True)


def indent(text):
    for line in text.splitlines():
        print("      " + line)


class Demo:
    def __init__(self, net, rng):
        self.net = net
        self.rng = rng
        self.t = harness.gateway_topology(net)
        self.gw, self.client = self.t.gw, self.t.client
        self.add_kernel_lane()
        self.sluice = None
        self.before = None

    def add_kernel_lane(self):
        """A second link to the client, which the kernel forwards with masquerade: the peer."""
        self.net.veth(self.client, "eth1", self.gw, "lan1")
        self.client.address("eth1", "10.2.0.2/24")
        self.gw.address("lan1", "10.2.0.1/24")
        self.client.ip("route add 198.18.0.7 via 10.2.0.1\nroute add 198.18.0.8 via 10.2.0.1\n")
        self.gw.ip("route add 198.18.0.8 via 192.168.8.1 dev vpn0\n")
        self.gw.nft("""table ip kernel { chain out {
            type nat hook postrouting priority srcnat
            ip saddr 10.2.0.0/24 masquerade
        }
        }""")

    def prefixes(self, name):
        with open(os.path.join(LISTS, name), encoding="ascii") as f:
            lines = [line.strip() for line in f]
        return [ipaddress.ip_network(p) for p in lines if p and not p.startswith("#")]

    def use_list(self, name):
        with open(os.path.join(LISTS, name), encoding="ascii") as f:
            self.sluice.write("country.txt", f.read())

    # 1

    def start(self):
        title(1, "The host's routes before and after the start")
        routes = [self.gw.run(f"ip {family} route").stdout for family in ("-4", "-6")]
        indent(routes[0])
        self.before = snapshot(self.gw)
        with open(os.path.join(LISTS, "country-mx.txt"), encoding="ascii") as f:
            files = {"country.txt": f.read(), "office.txt": OFFICE + "\n"}
        self.sluice = Sluice(self.gw, CONF, files=files)
        after = [self.gw.run(f"ip {family} route").stdout for family in ("-4", "-6")]
        expect(after == routes, f"the main table to stay as it was; it is now\n{''.join(after)}")
        say("after the start: identical, IPv4 and IPv6. Beside them, for each family:")
        rules = [line for line in self.gw.run("ip rule").stdout.splitlines() if "proto 81" in line]
        capture = [line for line in rules if "from all iif lan0 lookup 5260 proto" in line]
        expect(len(capture) == 1, f"one capture rule, but there are\n{rules}")
        say("one capture rule and its table")
        indent(capture[0])
        table = self.gw.run("ip route show table 5260").stdout
        expect("default dev sluice0" in table and "unreachable default" in table,
               f"table 5260 to lead into the TUN; it is\n{table}")
        indent("table 5260: " + "; ".join(" ".join(r.split()) for r in table.splitlines()[:2]))
        say("and rules by which answers to connections from outside leave where they came in")
        indent("\n".join(line for line in rules if line not in capture))

    # 2

    def anywhere(self, version):
        if version == 4:
            return ipaddress.IPv4Address(self.rng.randrange(1 << 24, 223 << 24))
        return ipaddress.IPv6Address((0x2a << 120) + self.rng.getrandbits(120))

    def pick(self):
        """20 addresses inside the list and 20 outside, both families."""
        nets = self.prefixes("country-mx.txt")
        picked = []
        for version, count in ((4, 14), (6, 6)):
            mine = [n for n in nets if n.version == version]
            for n in self.rng.sample(mine, count):
                picked.append((n[self.rng.randrange(n.num_addresses)], True))
            while count:
                a = self.anywhere(version)
                if a.is_global and not a.is_multicast and not any(a in n for n in mine):
                    picked.append((a, False))
                    count -= 1
        return picked

    def ask(self, address):
        """TCP, UDP and ping; returns where the servers saw them come from."""
        sides = set()
        for what, function, options in (("TCP", harness.tcp_fetch, {"size": 50000}),
                                        ("UDP", harness.udp_ask, {"payload": b"demo"})):
            try:
                seen = self.client.python(function, address, **options)
            except OSError as e:
                raise Failed(f"{what} to {address} to be answered: {e}") from e
            expect(seen.local == address, f"{what}: the answer from {address}, not {seen.local}")
            sides.add((seen.side, seen.peer))
        try:
            self.client.python(harness.ping, address)
        except OSError as e:
            raise Failed(f"ping to {address} to be answered: {e}") from e
        expect(len(sides) == 1, f"TCP and UDP to {address} to go the same way: {sides}")
        return sides.pop()

    def split(self):
        title(2, "TCP, UDP and ping to 20 addresses inside the list and 20 outside")
        captures = {s: Capture(self.t.sides[s].router, "gw0") for s in ("isp", "exit")}
        fmt = "      {:<40} {:<20} {:<17} {:<7} {}"
        print(fmt.format("ADDRESS", "PREFIX", "FILE:LINE", "EGRESS", "SEEN COMING FROM"))
        asked = self.pick()
        for address, inside in asked:
            why = self.sluice.json("get", str(address))
            side, peer = self.ask(str(address))
            place = f"country.txt:{why['line']}" if inside else "-"
            print(fmt.format(str(address), why.get("prefix") or "-", place, why["egress"],
                             f"{side}, {peer}"))
            expect(why["egress"] == ("direct" if inside else "vpn"),
                   f"{address} to leave by the {'direct' if inside else 'vpn'} egress")
            expect(side == ("isp" if inside else "exit"),
                   f"{address} to arrive by {'the home ISP' if inside else 'the VPN'}")
            prefix = ipaddress.ip_network(why.get("prefix", "0.0.0.0/0"))
            expect(not inside or address in prefix, f"{address} inside {prefix}")
        for name, capture in captures.items():
            want = {str(a) for a, inside in asked if inside == (name == "isp")}
            seen = {f.dst for f in capture.frames()} & {str(a) for a, _ in asked}
            expect(seen == want, f"the {name} link to carry {len(want)} of the addresses and no "
                                 f"other; it carried {len(seen)}")
            capture.close()
        say("all 40 as the list says; the captures on both links saw no address of the other side")

    # 3

    def bulk(self):
        title(3, f"A bulk transfer each way, {BULK_MS} ms each, beside the kernel's forwarding")
        perf = os.environ["SLUICE_PERF"]
        for side in self.t.sides.values():
            side.world.popen([perf, "traffic", "serve"], stderr=subprocess.DEVNULL)
        time.sleep(0.2)
        fmt = "      {:<18} {:>14} {:>26} {:>8}"
        print(fmt.format("", "SLUICE", "KERNEL (MASQUERADE)", "RATIO"))
        for egress, mine, peer in (("direct", "192.0.2.7", "198.18.0.7"),
                                   ("vpn", "198.51.100.8", "198.18.0.8")):
            for way in ("up", "down"):
                rate = []
                for address in (mine, peer):
                    done = self.client.run([perf, "traffic", "ask", address, "--ms", BULK_MS,
                                            *(["--down"] if way == "down" else [])], check=False)
                    expect(done.returncode == 0, f"a transfer to {address}: {done.stderr}")
                    rate.append(json.loads(done.stdout)["gbps"])
                print(fmt.format(f"{egress} {way}", f"{rate[0]:.1f} Gb/s", f"{rate[1]:.1f} Gb/s",
                                 f"{rate[0] / rate[1]:.2f}"))
                expect(rate[0] > 0, "the transfer to move something")

    # 4

    def reloads(self):
        title(4, f"{RELOADS} reloads between country-mx.txt and country-de.txt under traffic")
        captures = {s: Capture(self.t.sides[s].router, "gw0") for s in ("isp", "exit")}
        # In neither country: by the VPN. In the list that stays: direct.
        streams = [Stream(self.client, a, side) for a, side in
                   (("203.0.113.9", "exit"), ("8.8.8.8", "exit"), ("2a00:1450::8", "exit"),
                    ("192.0.2.80", "isp"), ("192.0.2.81", "isp"))]
        session = self.client.python(harness.TcpSession, "192.0.2.82")
        publish = []
        for i in range(RELOADS):
            self.use_list("country-de.txt" if i % 2 == 0 else "country-mx.txt")
            publish.append(json.loads(self.sluice.ctl("-j", "reload").stdout)["publish_us"])
            session.ask()
        totals = [s.end() for s in streams]
        sent, lost, wrong = (sum(t[i] for t in totals) for i in range(3))
        misled = sum(len(captures[o].frames(dst=s.address)) for s in streams
                     for o in captures if o != s.side)
        seen = sum(len(captures[s.side].frames(dst=s.address)) for s in streams)
        for capture in captures.values():
            capture.close()
        publish.sort()
        generation = self.sluice.json("status")["generation"]
        say(f"generation {generation}; publish to last reader: median "
            f"{publish[len(publish) // 2]:.0f} us, longest {publish[-1]:.0f} us")
        say(f"{sent} datagrams to {len(streams)} addresses that no reload concerns, and a TCP "
            "session that stayed: ")
        say(f"   lost {lost}, answered by the wrong side {wrong}; on the wrong link {misled}, "
            f"on the right one {seen}")
        expect(generation == RELOADS + 1, f"generation {RELOADS + 1}")
        expect(sent > 1000 and seen >= sent, "traffic during the reloads")
        expect((lost, wrong, misled) == (0, 0, 0), "0 lost, 0 on the wrong side")
        session.close()
        self.move()

    def move(self):
        german = next(n for n in self.prefixes("country-de.txt") if n.version == 4)
        address = str(german[9])
        first = self.ask(address)[0]
        self.use_list("country-de.txt")
        self.sluice.reload("country")
        second = self.ask(address)[0]
        self.use_list("country-mx.txt")
        self.sluice.reload("country")
        third = self.ask(address)[0]
        say(f"{address}, listed by country-de.txt alone: {first} with mx, {second} with de, "
            f"{third} with mx again")
        expect((first, second, third) == ("exit", "isp", "exit"), "exit, isp, exit")

    # 5

    def crash(self):
        title(5, "kill -9 of the daemon while packets flow")
        captures = {s: Capture(self.t.sides[s].router, "gw0") for s in ("isp", "exit")}
        streams = [Stream(self.client, a, side) for a, side in
                   (("192.0.2.90", "isp"), ("8.8.4.4", "exit"), ("2a00:1450::4", "exit"))]
        time.sleep(0.3)
        self.sluice.kill9()
        time.sleep(0.7)
        for s in streams:
            s.end(patience=0)
        wrong = right = 0
        for s in streams:
            for name, capture in captures.items():
                frames = len(capture.frames(dst=s.address))
                expect(name != s.side or frames, f"packets to {s.address} before the kill")
                right, wrong = right + frames * (name == s.side), wrong + frames * (name != s.side)
        late = sum(s.sent for s in streams) - right
        for capture in captures.values():
            capture.close()
        say(f"{right} packets on the right link before the kill; {late} more sent after it: "
            f"{wrong} on the wrong link")
        expect(wrong == 0, "0 packets on the wrong side")
        expect(late > 0, "packets to be sent after the kill")
        self.sluice.start()
        for address, side in (("192.0.2.90", "isp"), ("8.8.4.4", "exit"), ("2a00:1450::4", "exit")):
            expect(self.ask(address)[0] == side, f"{address} by {side} after the restart")
        say("started again: TCP, UDP and ping as before")

    # 6

    def down(self):
        title(6, "sluice down")
        self.sluice.kill9()
        indent(self.sluice.down().stdout)
        left = changes(self.before, snapshot(self.gw))
        expect(not left, f"rules, tables, devices and nft as before the start; but\n{left}")
        say("rules, routes, devices, nft and sysctls are as before the start")


class Stream:
    """UDP questions to one address, one every other millisecond, each with a number."""

    PAUSE_S = 0.002

    def __init__(self, ns, address, side):
        self.address, self.side = address, side
        self.sent, self.wrong = 0, 0
        self.answered = set()
        self.stopped = False
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = ns.python(socket.socket, family, socket.SOCK_DGRAM)
        self.socket.connect((address, 7))
        self.socket.settimeout(0.1)
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.stopped:
            try:
                self.socket.send(b"%d" % self.sent)
                self.sent += 1
            except OSError:
                pass
            time.sleep(self.PAUSE_S)

    def receive(self):
        while not self.stopped or len(self.answered) < self.sent:
            try:
                text, number = self.socket.recv(2048).split(b"\n", 1)
            except TimeoutError:
                if self.stopped and time.monotonic() > self.deadline:
                    return
                continue
            except OSError:
                continue
            self.answered.add(int(number))
            self.wrong += json.loads(text)["side"] != self.side

    def end(self, patience=2):
        """Stop sending and wait for the last answers: (sent, lost, by the wrong side)."""
        self.deadline = time.monotonic() + patience
        self.stopped = True
        for thread in self.threads:
            thread.join()
        self.socket.close()
        return self.sent, self.sent - len(self.answered), self.wrong


def run(seed):
    with Net() as net:
        print(DRAWING, end="")
        demo = Demo(net, random.Random(seed))
        try:
            for step in (demo.start, demo.split, demo.bulk, demo.reloads, demo.crash, demo.down):
                step()
        except Failed as e:
            print(f"\nFAILED: expected {e}\n(addresses were picked with --seed {seed})")
            if demo.sluice:
                print("what the daemon said:\n" + demo.sluice.log())
            return 1
        except RuntimeError as e:
            print(f"\nFAILED: {e}")
            return 1
    return 0


def main():
    seed = int(sys.argv[sys.argv.index("--seed") + 1]) if "--seed" in sys.argv else None
    if seed is None:
        seed = random.randrange(1 << 30)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    try:
        harness.become_root()
    except OSError as e:
        print(f"the demo needs root or user namespaces: {e}")
        return 1
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        print("the demo needs /dev/net/tun readable and writable: run it as root")
        return 1
    status = run(seed)
    if status == 0:
        print(f"\nDone in {time.monotonic() - began:.0f} s; the host was not touched. On a real "
              "machine:\n\n    sudo zig-out/bin/sluice run --list examples/lists/country-mx.txt "
              "--direct eth0 --tunnel tun0\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

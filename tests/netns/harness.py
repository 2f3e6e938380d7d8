"""Networks of namespaces without names, for tests: nothing of them outlives the process.

    with Net() as net:
        gw, isp = net.namespace("gw"), net.namespace("isp")
        net.veth(gw, "eth0", isp, "lan0")
        gw.address("eth0", "192.0.2.2/24")
        gw.run("ip route add default via 192.0.2.1")

A namespace is a descriptor of this process, so two runs at once never meet, and when the process
ends, killed or not, the kernel takes it away. Processes inside die with this process too. Whoever
is not root becomes so in a user namespace first (become_root).
"""

import concurrent.futures
import ctypes
import difflib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from capture import Capture
from clients import TcpSession, ping, tcp_connect, tcp_fetch, tcp_send, udp_ask
from topology import gateway_topology, kernel_gateway
from tunnel import TunPair, have_tun

__all__ = ["Capture", "Net", "Sluice", "TcpSession", "become_root", "changes", "gateway_topology",
           "have_tun", "kernel_gateway", "ping", "snapshot", "tcp_connect", "tcp_fetch",
           "tcp_send", "udp_ask"]

HERE = os.path.dirname(os.path.abspath(__file__))
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
START_S = 10  # the longest that a program may take to start or to stop

libc = ctypes.CDLL(None, use_errno=True)


def call_libc(name, *args):
    if getattr(libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def become_root():
    """Enter user and mount namespaces of our own, with an empty /run; OSError if not allowed.

    Nothing to do for root. Only while the process has one thread.
    """
    if os.geteuid() == 0:
        return
    uid, gid = os.geteuid(), os.getegid()
    call_libc("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as f:
            f.write(text)
    call_libc("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    call_libc("mount", b"tmpfs", b"/run", b"tmpfs", 0, None)


def in_thread(function):
    """Run in a thread of its own, which may change its namespace and then ends."""
    future = concurrent.futures.Future()

    def body():
        try:
            future.set_result(function())
        except BaseException as e:  # the caller's, whatever it is
            future.set_exception(e)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return future.result()


def wait_for(function, seconds=5):
    """Until it is true. Returns what it last said."""
    end = time.monotonic() + seconds
    while not (said := function()) and time.monotonic() < end:
        time.sleep(0.05)
    return said


def words(command):
    return shlex.split(command) if isinstance(command, str) else [str(w) for w in command]


class Namespace:
    """A network namespace of a Net. Programs in it see the same files as all others."""

    def __init__(self, net, name):
        self.net = net
        self.name = name
        self.fd = in_thread(self.create)
        self.run("ip link set lo up")
        for family in ("ipv4", "ipv6"):
            for where in ("all", "default"):
                self.sysctl(f"net.{family}.conf.{where}.accept_redirects", 0)
        for name_, value in (("accept_dad", 0), ("router_solicitations", 0)):
            self.sysctl(f"net.ipv6.conf.default.{name_}", value)
            self.sysctl(f"net.ipv6.conf.all.{name_}", value)

    @staticmethod
    def create():
        call_libc("unshare", CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self):
        """Of the namespace, for ip link ... netns and nsenter --net=; good for any process."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def python(self, function, *args, **kwargs):
        """Call a function of this process inside; sockets that it makes stay inside.

        Or run a text as a Python program; the result is its output.
        """
        if isinstance(function, str):
            return self.run([sys.executable, "-B", "-c", function, *args], **kwargs).stdout

        def body():
            call_libc("setns", self.fd, CLONE_NEWNET)
            return function(*args, **kwargs)

        return in_thread(body)

    def entering(self, command):
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self.path}", "--",
                *words(command)]

    def run(self, command, check=True, timeout=20, **kwargs):
        """Run a command line, or a list of words, to its end. Output as text."""
        done = subprocess.run(self.entering(command), stdout=subprocess.PIPE, timeout=timeout,
                              stderr=subprocess.PIPE, text=True, check=False, **kwargs)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {shlex.join(words(command))}: exit code "
                               f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, command, **kwargs):
        """Start a program, which Net ends with its process group. The pid is the program's own."""
        # The kernel kills it when the thread that started it ends.
        assert threading.current_thread() is threading.main_thread()
        process = subprocess.Popen(self.entering(command), start_new_session=True, **kwargs)
        self.net.processes.append(process)
        return process

    def ip(self, text):
        """Many ip commands, one a line without the word "ip" and without options."""
        return self.run("ip -batch -", input=text)

    def address(self, ifname, *addresses):
        """Give an interface addresses, usable at once, and bring it up."""
        self.ip("".join(f"addr add {a} dev {ifname} {'nodad' if ':' in a else ''}\n"
                        for a in addresses) + f"link set {ifname} up\n")

    def nft(self, text):
        return self.run("nft -f -", input=text + "\n")

    def mac(self, ifname):
        return json.loads(self.run(["ip", "-j", "link", "show", ifname]).stdout)[0]["address"]

    def sysctl(self, name, value=None):
        """Set a net. sysctl, or read it. In an interface's name, write a dot as a slash."""
        path = "/proc/sys/" + name.translate(str.maketrans("./", "/."))

        def access():
            with open(path, "r" if value is None else "w", encoding="ascii") as f:
                return f.read().strip() if value is None else f.write(str(value))

        return self.python(access)

    def forward(self):
        """Be a router, also for packets whose way back is another."""
        for name in ("ipv4.ip_forward", "ipv6.conf.all.forwarding"):
            self.sysctl(f"net.{name}", 1)
        for where in ("all", "default"):
            self.sysctl(f"net.ipv4.conf.{where}.rp_filter", 0)

    def serve(self, side):
        """Start servers.py; returns a function that waits until all of it listens."""
        process = self.popen([sys.executable, "-BIS", os.path.join(HERE, "servers.py"), side],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def wait():
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{self.name}: the servers did not start")
            return process

        return wait


def kill_group(process):
    """Kill a process that popen started and what it started, if it is still there."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


class Net:
    """Namespaces, links and programs; "with" takes all of them away in any case."""

    def __init__(self):
        self.namespaces = []
        self.processes = []
        self.deferred = []
        self.sluices = []
        self.folder = None

    def namespace(self, name):
        """A new one. The name is only for messages."""
        ns = Namespace(self, name)
        self.namespaces.append(ns)
        return ns

    def veth(self, a, a_name, b, b_name, mtu=1500):
        """A cable between two namespaces; both ends are up."""
        a.run(f"ip link add {a_name} mtu {mtu} type veth peer name {b_name} mtu {mtu} "
              f"netns {b.path}")
        a.run(f"ip link set {a_name} up")
        b.run(f"ip link set {b_name} up")

    def tun_pair(self, a, a_name, b, b_name, mtu=1420):
        """A cable without Ethernet: two TUN devices; what one sends comes out of the other."""
        pair = TunPair(a, a_name, b, b_name, mtu)
        self.defer(pair.close)
        return pair

    def defer(self, function):
        """Call it at the end, before what was there earlier."""
        self.deferred.append(function)

    def path(self, name):
        """Of a file in a folder that is removed at the end."""
        if self.folder is None:
            self.folder = tempfile.mkdtemp(prefix="sluice-net-")
        return os.path.join(self.folder, name)

    def logs(self):
        """What the daemons said, for whoever reads a failed test."""
        return "\n".join(f"--- {s.name}\n{s.log()}" for s in self.sluices)

    def close(self):
        for function in reversed(self.deferred):
            try:
                function()
            except Exception as e:  # the rest must be cleaned up too
                print(f"cleaning up: {e!r}", file=sys.stderr)
        for process in reversed(self.processes):
            kill_group(process)
        for ns in self.namespaces:
            os.close(ns.fd)
        if self.folder is not None:
            shutil.rmtree(self.folder)
        self.namespaces, self.processes, self.deferred, self.folder = [], [], [], None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and self.sluices:
            print(self.logs(), file=sys.stderr)
        self.close()


def sluice_program():
    """The program under test: SLUICE, or the one that the build installed; None if neither is."""
    path = os.environ.get("SLUICE") or os.path.join(HERE, "..", "..", "zig-out", "bin", "sluice")
    return os.path.abspath(path) if os.access(path, os.X_OK) else None


class Sluice:
    """A daemon inside a namespace, waited for until it answers.

    conf:  text of its configuration; relative names of lists are in the folder of `files`
    args:  words after "run", instead of a configuration
    files: name -> text, written before it starts
    bpf:   whether it may load BPF programs
    mounts: commands of a shell that are run first, in a mount namespace of its own
    """

    def __init__(self, ns, conf=None, args=None, files=None, wait=True, bpf=True, mounts=None):
        self.program = sluice_program()
        assert self.program, "no sluice: build it, or set SLUICE"
        self.ns = ns
        self.name = f"{ns.name}/sluice"
        self.within = [] if bpf else ["setpriv", "--bounding-set", "-sys_admin,-cap_39"]
        self.folder = ns.net.path(f"sluice{len(ns.net.sluices)}")
        os.mkdir(self.folder)
        self.socket = os.path.join(self.folder, "s.sock")
        if mounts:
            self.within += ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
        self.args = ["-c", self.file("sluice.conf")] if args is None else words(args)
        for name, text in (files or {}).items():
            self.write(name, text)
        if conf is not None:
            self.write("sluice.conf", conf)
        self.process = None
        ns.net.sluices.append(self)
        self.start(wait)

    def file(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        """Replace one of its files, at one stroke."""
        with open(self.file(name + ".new"), "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(self.file(name + ".new"), self.file(name))

    def start(self, wait=True):
        """Start it (again); with wait, RuntimeError unless it answers."""
        with open(self.file("log"), "ab") as log:
            command = [*self.within, self.program, "-S", self.socket, "run", *self.args]
            self.process = self.ns.popen(command,
                                         stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=subprocess.STDOUT, cwd=self.folder,
                                         env={**os.environ, "STATE_DIRECTORY": self.folder})
        deadline = time.monotonic() + START_S
        while wait and self.ctl("status", check=False).returncode != 0:
            if not self.alive():
                raise RuntimeError(f"{self.name}: exit code {self.process.returncode}\n"
                                   f"{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer\n{self.log()}")
            time.sleep(0.02)

    def log(self):
        try:
            with open(self.file("log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def ctl(self, *args, check=True, **kwargs):
        """Run the client; with check, RuntimeError if it fails."""
        return self.ns.run([self.program, "-S", self.socket, *args], check=check, **kwargs)

    def json(self, *args):
        return json.loads(self.ctl("-j", *args).stdout)

    def reload(self, *lists):
        return self.ctl("reload", *lists)

    def alive(self):
        return self.process.poll() is None

    def kill9(self):
        """Let it die without a chance to clean up."""
        kill_group(self.process)

    def stop(self):
        """End it in good order; returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise RuntimeError(f"{self.name} did not stop\n{self.log()}") from None

    def down(self):
        return self.ctl("down")


SNAPSHOT = {
    "rule": "ip rule", "rule6": "ip -6 rule",
    "route": "ip route show table all", "route6": "ip -6 route show table all",
    "link": "ip -d link", "address": "ip addr", "neighbour": "ip neigh show nud permanent",
    "nft": "nft -s list ruleset", "qdisc": "tc qdisc", "tuntap": "ip tuntap",
}
SNAPSHOT_SYSCTLS = (
    "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_local_port_range", "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding", "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.src_valid_mark", "net.ipv4.conf.all.accept_local",
    "net.ipv4.conf.all.route_localnet", "net.ipv4.tcp_fwmark_accept", "net.ipv4.fwmark_reflect",
    "net.ipv6.fwmark_reflect",
)


def snapshot(ns):
    """All of a namespace's configuration that a program could change: name -> text."""
    script = "".join(f"echo '=== {name}'; {command} || exit 1\n"
                     for name, command in SNAPSHOT.items())
    parts = ns.run(["sh", "-c", script]).stdout.split("=== ")[1:]
    state = dict(part.split("\n", 1) for part in parts)
    state.update((name, ns.sysctl(name)) for name in SNAPSHOT_SYSCTLS)
    return state


def changes(before, after):
    """The differences of two snapshots as text, empty if there are none."""
    lines = []
    for name in before:
        lines += difflib.unified_diff(before[name].splitlines(), after[name].splitlines(),
                                      f"{name} before", f"{name} after", n=0, lineterm="")
    return "\n".join(lines)

"""Tunnels for tests: sluice-wg, or another program that starts as wireguard-go does."""

import itertools
import os
import subprocess
import time

import harness

RUN_DIR = "/var/run/wireguard"
ROOT = os.path.dirname(os.path.dirname(harness.HERE))
SLUICE_WG = os.environ.get("SLUICE_WG") or os.path.join(ROOT, "zig-out", "bin", "sluice-wg")

numbers = itertools.count()


def new_name():
    """Of an interface: names meet in one folder, so that of another run must differ."""
    return f"w{os.getpid()}x{next(numbers)}"


def wg(*words, text=None, check=True):
    """Run wg, which needs no namespace: it finds the tunnel by its socket."""
    done = subprocess.run(["wg", *map(str, words)], input=text, capture_output=True, text=True,
                          check=False, timeout=20)
    if check and done.returncode != 0:
        raise RuntimeError(f"wg {' '.join(map(str, words))}: {done.stderr}")
    return done.stdout if check else done


class Key:
    """A key pair as text."""

    def __init__(self):
        self.private = wg("genkey").strip()
        self.public = wg("pubkey", text=self.private).strip()


class Tunnel:
    """A tunnel's program in a namespace, and its interface, up and with addresses."""

    def __init__(self, ns, *addresses, program=SLUICE_WG, env=None):
        self.ns = ns
        self.program = program
        self.env = env or {}
        self.name = new_name()
        self.key = Key()
        self.socket = f"{RUN_DIR}/{self.name}.sock"
        self.process = None
        self.start()
        ns.net.defer(self.clean)
        wg("set", self.name, "private-key", "/dev/stdin", text=self.key.private)
        if addresses:
            ns.address(self.name, *addresses)

    def start(self):
        with open(self.ns.net.path(self.name + ".log"), "ab") as log:
            self.process = self.ns.popen([self.program, "-f", self.name], stdout=log, stderr=log,
                                         stdin=subprocess.DEVNULL,
                                         env={**os.environ, "LOG_LEVEL": "verbose", **self.env})
        deadline = time.monotonic() + harness.START_S
        while wg("show", self.name, check=False).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.program} does not answer:\n{self.log()}")
            time.sleep(0.02)

    def clean(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)

    def log(self):
        with open(self.ns.net.path(self.name + ".log"), encoding="utf-8") as f:
            return f.read()

    def stop(self):
        self.process.terminate()
        return self.process.wait(harness.START_S)

    def set(self, *words, text=None):
        return wg("set", self.name, *words, text=text)

    def show(self, what):
        return wg("show", self.name, what).strip()

    def peer(self, other, allowed, endpoint=None, psk=None):
        words = ["peer", other.key.public, "allowed-ips", allowed]
        if endpoint:
            words += ["endpoint", endpoint]
        if psk:
            words += ["preshared-key", "/dev/stdin"]
        self.set(*words, text=psk)


def ping(ns, address, count=1, size=56, timeout=3):
    """How many echoes came back, of as many that were asked for one after the other."""

    def ask():
        come = 0
        for _ in range(count):
            try:
                harness.ping(address, size, timeout)
                come += 1
            except TimeoutError:
                pass
        return come

    return ns.python(ask)

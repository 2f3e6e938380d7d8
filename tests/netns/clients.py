"""Clients of servers.py. Run them inside a namespace: ns.python(tcp_fetch, "198.51.100.1")."""

import hashlib
import http.client
import ipaddress
import json
import os
import socket
import struct
import time
from dataclasses import dataclass

from servers import BLOCK, ECHO_PORT, digest, pattern

SO_MARK = 36


@dataclass
class Seen:
    """What a server said: its side, the address and port that it saw, and its own address."""
    side: str
    peer: str
    port: int
    local: str
    size: int = 0
    payload: bytes = b""
    seconds: float = 0.0


def seen(text, **more):
    said = json.loads(text)
    return Seen(said["side"], said["peer"], said["port"], said["local"], **more)


def family(address):
    return socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6


def prepared(s, timeout, source, mark):
    """A socket with a time limit, bound to an address or (address, port), with a mark."""
    s.settimeout(timeout)
    if mark is not None:
        s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    if source is not None:
        s.bind(source if isinstance(source, tuple) else (source, 0))
    return s


def tcp_connect(address, port, timeout=5, source=None, mark=None):
    s = prepared(socket.socket(family(address), socket.SOCK_STREAM), timeout, source, mark)
    try:
        s.connect((address, port))
    except BaseException:
        s.close()
        raise
    return s


def http_request(address, port, method, path, body, length, options):
    http_client = http.client.HTTPConnection(address, port)
    http_client.sock = tcp_connect(address, port, **options)
    headers = {} if body is None else {"Content-Length": str(length)}
    http_client.request(method, path, body, headers)
    return http_client, http_client.getresponse()


def tcp_fetch(address, port=80, size=1000, **options):
    """Get size bytes; OSError if they do not come, ValueError if they are not the right ones."""
    start = time.monotonic()
    http_client, answer = http_request(address, port, "GET", f"/bytes/{size}", None, 0, options)
    sha256, got = hashlib.sha256(), 0
    while block := answer.read(BLOCK):
        sha256.update(block)
        got += len(block)
    http_client.close()
    said = json.loads(answer.headers["X-Sluice"])
    if got != size or sha256.hexdigest() != said["sha256"]:
        raise ValueError(f"{address}: {got} of {size} bytes, not all of them right")
    return seen(answer.headers["X-Sluice"], size=got, seconds=time.monotonic() - start)


def tcp_send(address, port=80, size=1000, **options):
    """Put size bytes; errors as tcp_fetch."""
    start = time.monotonic()
    http_client, answer = http_request(address, port, "PUT", "/", pattern(size), size, options)
    text = answer.read()
    http_client.close()
    said = json.loads(text)
    if said["bytes"] != size or said["sha256"] != digest(size):
        raise ValueError(f"{address}: {said['bytes']} of {size} bytes came, not all of them right")
    return seen(text, size=size, seconds=time.monotonic() - start)


class TcpSession:
    """A connection that stays: self.seen is the greeting, ask() sends bytes and gets them back."""

    def __init__(self, address, port=ECHO_PORT, **options):
        self.socket = tcp_connect(address, port, **options)
        self.file = self.socket.makefile("rb")
        self.seen = seen(self.file.readline())

    def ask(self, data=b"hello"):
        self.socket.sendall(data)
        back = self.file.read(len(data))
        if back != data:
            raise ConnectionError(f"{len(back)} of {len(data)} bytes came back")
        return back

    def close(self):
        self.file.close()
        self.socket.close()


def udp_ask(address, port=7, payload=b"", timeout=2, source=None, mark=None):
    """Send a datagram and wait for the answer; TimeoutError if there is none."""
    s = prepared(socket.socket(family(address), socket.SOCK_DGRAM), timeout, source, mark)
    with s:
        start = time.monotonic()
        s.connect((address, port))
        s.send(payload)
        text, back = s.recv(BLOCK).split(b"\n", 1)
        seconds = time.monotonic() - start
        if back != payload:
            raise ValueError(f"{address}: {len(back)} bytes came back, not the {len(payload)} sent")
        return seen(text, size=len(back), payload=back, seconds=seconds)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def ping(address, size=56, timeout=2, source=None, ttl=None):
    """Seconds until the echo; TimeoutError if there is none. size: bytes after the ICMP header."""
    v4 = family(address) == socket.AF_INET
    kind, answer_kind, proto = (8, 0, socket.IPPROTO_ICMP) if v4 else (128, 129, 58)
    ident = os.urandom(4)
    data = ident + bytes(size)
    packet = struct.pack("!BBH4s", kind, 0, 0, ident) + data[:size]
    if v4:  # the kernel does it for IPv6
        packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
    with prepared(socket.socket(family(address), socket.SOCK_RAW, proto), timeout, source,
                  None) as s:
        if ttl is not None:
            level, option = ((socket.IPPROTO_IP, socket.IP_TTL) if v4
                             else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS))
            s.setsockopt(level, option, ttl)
        start = time.monotonic()
        s.sendto(packet, (address, 0))
        while (left := start + timeout - time.monotonic()) > 0:
            s.settimeout(left)
            got, peer = s.recvfrom(BLOCK)
            icmp = got[(got[0] & 15) * 4:] if v4 else got
            if icmp[0] == answer_kind and icmp[4:8] == ident and peer[0] == address:
                return time.monotonic() - start
    raise TimeoutError(f"no echo from {address}")

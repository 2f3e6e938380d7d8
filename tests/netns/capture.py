"""Sees every frame of an interface: the judge of what left by which way."""

import ipaddress
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
ARPHRD_ETHER = 1
PACKET_OUTGOING = 4
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
EXTENSIONS = (0, 43, 60)  # of IPv6: hop-by-hop, routing, destination options
FRAGMENT = 44
BUFFER = 64 << 20
SNAP = 4096


@dataclass
class Frame:
    """A frame; what it has not is None (or 0, or empty)."""
    time: float
    outgoing: bool       # sent by the namespace that captures
    length: int          # of the whole frame, which may be larger than the MTU (offloads)
    dst_mac: str = None
    src_mac: str = None
    ethertype: int = 0
    src: str = None
    dst: str = None
    ttl: int = 0
    fragment: int = 0    # offset in bytes; with more to come, the lowest bit is set
    proto: int = None
    sport: int = None
    dport: int = None
    flags: int = 0       # of TCP
    icmp: tuple = None   # type and code
    payload: bytes = b""  # after the transport header, as far as it was kept


def parse_transport(frame, data):
    if frame.fragment & ~1:
        frame.payload = data
    elif frame.proto == TCP and len(data) >= 20:
        frame.sport, frame.dport = struct.unpack("!HH", data[:4])
        frame.flags = data[13]
        frame.payload = data[(data[12] >> 4) * 4:]
    elif frame.proto == UDP and len(data) >= 8:
        frame.sport, frame.dport = struct.unpack("!HH", data[:4])
        frame.payload = data[8:]
    elif frame.proto in (ICMP, ICMP6) and len(data) >= 8:
        frame.icmp = (data[0], data[1])
        frame.payload = data[8:]
    else:
        frame.payload = data


def parse_ip(frame, data):
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        frame.ethertype = frame.ethertype or 0x0800
        frame.src, frame.dst = (str(ipaddress.IPv4Address(data[i:i + 4])) for i in (12, 16))
        frame.ttl, frame.proto = data[8], data[9]
        offset, = struct.unpack("!H", data[6:8])
        frame.fragment = (offset & 0x1fff) * 8 + bool(offset & 0x2000)
        parse_transport(frame, data[(data[0] & 15) * 4:struct.unpack("!H", data[2:4])[0] or None])
    elif version == 6 and len(data) >= 40:
        frame.ethertype = frame.ethertype or 0x86dd
        frame.src, frame.dst = (str(ipaddress.IPv6Address(data[i:i + 16])) for i in (8, 24))
        frame.ttl, frame.proto = data[7], data[6]
        rest = data[40:]
        while frame.proto in EXTENSIONS and len(rest) >= 8:
            frame.proto, rest = rest[0], rest[(rest[1] + 1) * 8:]
        if frame.proto == FRAGMENT and len(rest) >= 8:
            frame.proto, offset = rest[0], struct.unpack("!H", rest[2:4])[0]
            frame.fragment, rest = offset & ~7 | offset & 1, rest[8:]
        parse_transport(frame, rest)
    else:
        frame.payload = data


def parse(data, length, address, now):
    """A Frame of the bytes and of what recvfrom says of them."""
    _, _, kind, hardware, _ = address
    frame = Frame(now, kind == PACKET_OUTGOING, length)
    if hardware == ARPHRD_ETHER:
        frame.dst_mac, frame.src_mac = data[:6].hex(":"), data[6:12].hex(":")
        frame.ethertype, = struct.unpack("!H", data[12:14])
        data = data[14:]
        if frame.ethertype not in (0x0800, 0x86dd):
            frame.payload = data
            return frame
    parse_ip(frame, data)
    return frame


class Capture:
    """Records the frames of an interface of a namespace from now on.

    Use it outside of what is tested: on the other end of the gateway's link. A frame that was lost
    by the capture itself is an error, not a gap. "with", or until the namespace's Net ends.
    """

    def __init__(self, ns, ifname):
        self.name = f"{ns.name}/{ifname}"
        self.ns = ns
        self.raw = []  # bytes, length, address, time: parsed when somebody asks
        self.socket = ns.python(self.open, ifname)
        self.stopped = False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        ns.net.defer(self.close)

    @staticmethod
    def open(ifname):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        except PermissionError:  # root of a user namespace only
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        s.bind((ifname, ETH_P_ALL))
        s.settimeout(0.1)
        return s

    def read(self):
        buffer = bytearray(SNAP)
        while not self.stopped:
            try:
                length, address = self.socket.recvfrom_into(buffer, SNAP, socket.MSG_TRUNC)
            except TimeoutError:
                continue
            except OSError:  # the interface went down: it may come back
                if self.stopped:
                    return
                continue
            self.raw.append((bytes(buffer[:min(length, SNAP)]), length, address, time.time()))

    def lost(self):
        """Frames that the capture could not keep up with since the last call."""
        counts = self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return struct.unpack("II", counts)[1]

    def frames(self, settle=0.05, marker=None, **fields):
        """What was seen, when nothing has come for settle seconds: all, or those that agree.

        marker: bytes that the payload must hold; fields: of Frame, with their values.
        """
        count = -1
        while count != len(self.raw):
            count = len(self.raw)
            time.sleep(settle)
        lost = 0 if self.stopped else self.lost()
        assert lost == 0, f"{self.name}: the capture lost {lost} frames and can judge nothing"
        return [f for f in (parse(*raw) for raw in self.raw)
                if (marker is None or marker in f.payload)
                and all(getattr(f, name) == value for name, value in fields.items())]

    def wait(self, timeout=2, **fields):
        """The first frames that agree; AssertionError if none comes."""
        deadline = time.monotonic() + timeout
        while not (found := self.frames(0.01, **fields)):
            assert time.monotonic() < deadline, f"{self.name}: no frame with {fields}"
        return found

    def clear(self):
        self.raw.clear()

    def control(self, ns, address, port=9, timeout=2):
        """Prove that a datagram from a namespace to an address is seen here: else nothing is."""
        marker = b"control " + os.urandom(8).hex().encode()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def send():
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.sendto(marker, (address, port))

        ns.python(send)
        return self.wait(timeout, marker=marker, dst=address)[0]

    def close(self):
        if not self.stopped:
            self.stopped = True
            self.thread.join()
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

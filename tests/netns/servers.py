#!/usr/bin/python3
"""Servers that say where they are and whom they saw. usage: servers.py SIDE

  TCP 80, 443  HTTP: "GET /bytes/N" gives N bytes, "PUT /" counts what comes, "GET /" greets
  TCP 7        a greeting, then what the client says comes back
  UDP 7, 53, 443  the greeting and, in the next line, what came

A greeting is a line of JSON: {"side", "peer", "port", "local"}: the name of this side of the world,
the address and port that the server saw, and its own address, which can be any: run it where
all addresses are local. Prints "ready" when all listen; ends when its input does.
"""

import hashlib
import http.server
import ipaddress
import json
import random
import select
import socket
import socketserver
import struct
import sys
import threading

HTTP_PORTS = (80, 443)
ECHO_PORT = 7
UDP_PORTS = (7, 53, 443)
BLOCK = 65536
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_FREEBIND = 8, 49, 50, 78
BASE = random.Random(1).randbytes(BLOCK)


def pattern(size):
    """size bytes in blocks, of which no two are alike."""
    index = 0
    while size > 0:
        block = index.to_bytes(8, "big") + BASE[8:]
        yield block[:size]
        size -= len(block)
        index += 1


def digest(size):
    sha256 = hashlib.sha256()
    for block in pattern(size):
        sha256.update(block)
    return sha256.hexdigest()


def plain(address):
    """An address as its own family writes it: a dual-stack socket says ::ffff:192.0.2.1."""
    ip = ipaddress.ip_address(address.split("%")[0])
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def greeting(side, peer, local, **more):
    return json.dumps({"side": side, "peer": plain(peer[0]), "port": peer[1],
                       "local": plain(local), **more}).encode() + b"\n"


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, body, size=None, sha256=None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.send_header("X-Sluice", greeting(self.server.side, self.client_address,
                                              self.connection.getsockname()[0],
                                              sha256=sha256).decode().strip())
        self.end_headers()
        self.wfile.write(body)

    def greet(self, **more):
        self.say(greeting(self.server.side, self.client_address,
                          self.connection.getsockname()[0], **more))

    def do_GET(self):
        if not self.path.startswith("/bytes/"):
            self.greet()
            return
        size = int(self.path.rsplit("/", 1)[1])
        self.say(b"", size, digest(size))
        for block in pattern(size):
            self.wfile.write(block)

    def do_PUT(self):
        size = left = int(self.headers["Content-Length"])
        sha256 = hashlib.sha256()
        while left > 0:
            block = self.rfile.read(min(left, BLOCK))
            if not block:
                break
            sha256.update(block)
            left -= len(block)
        self.greet(bytes=size - left, sha256=sha256.hexdigest())

    def log_message(self, *_):
        pass


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(greeting(self.server.side, self.client_address,
                                      self.request.getsockname()[0]))
        while data := self.request.recv(BLOCK):
            self.request.sendall(data)


class TcpServer(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 4096

    def __init__(self, side, port, handler):
        self.side = side
        super().__init__(("::", port), handler)

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        pass  # clients go away whenever they like


def udp_socket(family, port):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    s.bind(("", port))
    return s


def udp_answer(side, s):
    """Answer one datagram from the address that it was sent to."""
    payload, control, _, peer = s.recvmsg(BLOCK, 256)
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            local = data[8:12]
            reply = struct.pack("=I4s4s", 0, local, b"")
        elif (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            local = data[:16]
            reply = local + struct.pack("=I", 0)
        else:
            continue
        text = greeting(side, peer, str(ipaddress.ip_address(local)))
        try:
            s.sendmsg([text + payload], [(level, kind, reply)], 0, peer)
        except OSError as e:  # too large for the way back, most likely
            print(f"answer to {peer}: {e}", file=sys.stderr, flush=True)


def serve_udp(side, sockets):
    while True:
        for s in select.select(sockets, [], [])[0]:
            udp_answer(side, s)


def main(side):
    servers = [TcpServer(side, port, Http) for port in HTTP_PORTS]
    servers.append(TcpServer(side, ECHO_PORT, Echo))
    sockets = [udp_socket(family, port) for port in UDP_PORTS
               for family in (socket.AF_INET, socket.AF_INET6)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=serve_udp, args=(side, sockets), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])

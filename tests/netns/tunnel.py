"""A cable without Ethernet headers: what the tun0 of another VPN's client looks like."""

import fcntl
import os
import select
import struct
import threading

DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454ca
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET_MAX = 65536


def have_tun():
    """Whether this user may make TUN devices: on some machines only root may."""
    return os.access(DEVICE, os.R_OK | os.W_OK)


def open_tun(name, flags=IFF_NO_PI):
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | flags))
    return fd


class TunPair:
    """Two TUN devices; a thread carries what one sends into the other."""

    def __init__(self, a, a_name, b, b_name, mtu):
        self.fds = (a.python(open_tun, a_name), b.python(open_tun, b_name))
        for ns, name in ((a, a_name), (b, b_name)):
            ns.run(f"ip link set {name} mtu {mtu} up")
        self.stop_read, self.stop_write = os.pipe2(os.O_CLOEXEC)
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def carry(self):
        others = dict(zip(self.fds, reversed(self.fds)))
        while True:
            for fd in select.select([*self.fds, self.stop_read], [], [])[0]:
                if fd == self.stop_read:
                    return
                try:
                    os.write(others[fd], os.read(fd, PACKET_MAX))
                except OSError:
                    pass  # one of them is down, or its queue is full: the packet is lost

    def close(self):
        os.close(self.stop_write)
        self.thread.join()
        for fd in (*self.fds, self.stop_read):
            os.close(fd)

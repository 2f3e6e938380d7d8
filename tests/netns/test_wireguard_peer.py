"""sluice-wg and another implementation, which is small, obeys, and so can also be odd.

    a: wireguard_peer.Peer -- eth0 -- b: sluice-wg
"""

import base64
import os
import select
import socket
import struct
import time

import pytest

import harness
from clients import checksum
from wireguard import Key, Tunnel
from wireguard_peer import (COOKIE_REPLY, COOKIE_REPLY_SIZE, INITIATION, INITIATION_SIZE,
                            REJECT_AFTER_MESSAGES, RESPONSE, RESPONSE_SIZE, TAI_1970, ZERO, Peer,
                            flip, mac)

OUTER = ("192.0.2.1", "192.0.2.2")
INNER = {4: ("10.200.0.1", "10.200.0.2"), 6: ("fd00:200::1", "fd00:200::2")}
ANOTHER = "10.200.0.3"  # of another peer
PORT = 7000
SOL_UDP, UDP_SEGMENT = 17, 103
GAP_S = 0.03  # two initiations of a peer within 20 ms are too many
FLOOD = 192  # messages: more than may wait for a device that is not under load
BURST = 5  # handshakes of an address, then 20 a second

pytestmark = pytest.mark.skipif(not harness.have_tun(), reason="may not make TUN devices")


@pytest.fixture
def ends(net):
    a, b = net.namespace("a"), net.namespace("b")
    net.veth(a, "eth0", b, "eth0")
    for ns, address in zip((a, b), OUTER):
        ns.address("eth0", address + "/24")
    return a, b


def connect(ends, psk=None, known=False):
    """The other implementation in a, and the tunnel in b. known: whether b knows where a is"""
    tunnel, key = Tunnel(ends[1], INNER[4][1] + "/24", INNER[6][1] + "/64"), Key()
    tunnel.set("listen-port", 5001, "peer", key.public, "allowed-ips",
               f"{INNER[4][0]}/32,{INNER[6][0]}/128",
               *(("endpoint", f"{OUTER[0]}:5000") if known else ()),
               *(("preshared-key", "/dev/stdin") if psk else ()), text=psk)
    tunnel.set("peer", Key().public, "allowed-ips", f"{ANOTHER}/32")
    peer = Peer(key, tunnel.key.public, psk)
    peer.open_socket(ends[0], (OUTER[1], 5001), 5000)
    return peer, tunnel


def udp(payload, sport=PORT, version=4, source=None, length=None):
    """A datagram inside, to b. length: what the header of IP says, if not the truth"""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    source, target = (socket.inet_pton(family, address)
                      for address in (source or INNER[version][0], INNER[version][1]))
    head = struct.pack("!HHH", sport, PORT, 8 + len(payload))
    pseudo = source + target + struct.pack("!HH", 17, 8 + len(payload)) + head
    text = head + struct.pack("!H", checksum(pseudo + payload)) + payload
    if length is None:
        length = len(text) + (20 if version == 4 else 0)
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, length, 17, 64) + source + target + text
    ip = struct.pack("!BBHIBBH", 0x45, 0, length, 0, 64, 17, 0) + source + target
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + text


def inside(tunnel, version=4):
    """A socket in b that hears what comes by the tunnel."""
    s = tunnel.ns.python(socket.socket, socket.AF_INET if version == 4 else socket.AF_INET6,
                         socket.SOCK_DGRAM)
    s.bind((INNER[version][1], PORT))
    s.settimeout(5)
    return s


def left(peer):
    """What has come and was not read."""
    while select.select([peer.socket], [], [], 0)[0]:
        yield peer.receive()[1]


def packet(peer, session):
    """The next packet by a session, which is not a keepalive. Cookies for what a flood left behind
    come when they like."""
    text = b""
    while not text:
        kind, datagram = peer.receive()
        text = session.open(datagram) if kind != COOKIE_REPLY else b""
    offset, more = (2, 0) if text[0] >> 4 == 4 else (4, 40)
    size = struct.unpack("!H", text[offset:offset + 2])[0] + more
    assert len(text) == size + -size % 16 and text[size:] == bytes(-size % 16)
    return text[:size]


def talk(peer, tunnel, session):
    """Datagrams of both families and some sizes, both ways."""
    for version in (4, 6):
        with inside(tunnel, version) as s:
            for size in (1, 100, 1300):
                payload = os.urandom(size)
                peer.send(session.data(udp(payload, version=version)))
                got, source = s.recvfrom(2000)
                assert got == payload
                s.sendto(payload, source)
                assert packet(peer, session).endswith(payload)


@pytest.mark.parametrize("psk", [None, Key().private], ids=["without-psk", "with-psk"])
def test_it_answers(ends, psk):
    """H8: but sends nothing by a session that has not been confirmed."""
    peer, tunnel = connect(ends, psk)
    session = peer.shake()
    with inside(tunnel) as s:
        s.sendto(b"it waits", (INNER[4][0], PORT))
        time.sleep(0.02)
        assert not list(left(peer))
        peer.send(session.data(b""))
        assert packet(peer, session).endswith(b"it waits")
    talk(peer, tunnel, session)
    assert not list(left(peer))


def odd_responses(peer, begun, right):
    """What may be sent instead of the right one."""
    return (
        peer.altered(right, 8),  # for another index
        flip(right, -32),  # a wrong mac1
        peer.altered(right, 44),  # not authentic
        right[:-1], right + b"\0",
        peer.altered(right, 1),  # bytes that are reserved
        peer.response(begun, psk=os.urandom(32))[0],
        peer.response(begun, low_order=True)[0],
    )


@pytest.mark.parametrize("psk", [None, Key().private], ids=["without-psk", "with-psk"])
def test_it_begins(ends, psk):
    """H3, H7, H10: one response is taken, the right one; H8: and then it sends at once."""
    peer, tunnel = connect(ends, psk, known=True)
    with inside(tunnel) as s:
        s.sendto(b"it waits", (INNER[4][0], PORT))
        begun, stamp = peer.read_initiation(peer.receive()[1])
        seconds, rest = struct.unpack(">QI", stamp)
        assert abs(seconds - TAI_1970 - time.time()) < 20 and rest % 2**24 == 0
        right, session = peer.response(begun)
        peer.send(*odd_responses(peer, begun, right), right, peer.response(begun)[0])
        assert packet(peer, session).endswith(b"it waits")
    talk(peer, tunnel, session)
    assert not [m for m in left(peer) if session.open(m)]  # a keepalive may come at any time


def odd_messages(peer, first, stamp, session):
    """Messages that begin nothing. first: an initiation that was taken, its stamp and session"""
    nobody = (ZERO, ZERO, ZERO)
    return {
        "the same again": first,
        "with the same stamp": peer.initiation(stamp),
        "with an older stamp": peer.initiation(stamp - 3600),
        "a wrong mac1": flip(peer.initiation(), -32),
        "another ephemeral": peer.altered(peer.initiation(), 8),
        "its key not authentic": peer.altered(peer.initiation(), 40),
        "its stamp not authentic": peer.altered(peer.initiation(), 88),
        "an ephemeral of low order": peer.initiation(low_order=True),
        "of a key that is nobody's": peer.stranger(Key()).initiation(),
        "one byte short": peer.initiation()[:-1],
        "one byte more": peer.initiation() + b"\0",
        "reserved bytes": peer.altered(peer.initiation(), 1),
        "of type 0": peer.altered(peer.initiation(), 0),
        "a response to nobody": peer.response((*nobody, 1))[0],
        "a response to a session": peer.response((*nobody, session.theirs))[0],
        "a cookie for nobody": struct.pack("<II", COOKIE_REPLY, 1) + bytes(56),
        "a cookie for a session": struct.pack("<II", COOKIE_REPLY, session.theirs) + bytes(56),
        "nothing": b"",
    }


def test_silence(ends):
    """H1 to H6, S1: of all these only the last is answered, which is right."""
    peer, tunnel = connect(ends)
    stamp = time.time()
    first = peer.initiation(stamp)
    peer.send(first)
    session = peer.begin(peer.receive()[1])
    messages = odd_messages(peer, first, stamp, session)
    messages["right"] = peer.initiation()
    time.sleep(GAP_S)
    peer.send(*messages.values())
    kind, answer = peer.receive()
    assert kind == RESPONSE
    assert [n for n, m in messages.items() if m[4:8] == answer[8:12]] == ["right"]
    talk(peer, tunnel, peer.begin(answer))
    assert not list(left(peer))


def odd_data(s):
    """Of a session: name of a packet (its payload), whether it comes through, the messages."""
    far = 100_000
    packets = iter(range(1, 100))  # by their ports: what is of one flow may come as one

    def data(name, comes, counter=None, pad=True, index=None, more=b"", change=None, **header):
        message = s.data(udp(name.encode(), next(packets), **header) + more, counter, pad, index)
        return name, comes, (change or (lambda m: (m,)))(message)

    return (
        data("IPv4", True),
        data("IPv6", True, version=6),
        data("not padded", True, pad=False),
        data("with much padding", True, more=bytes(333)),
        data("twice", True, change=lambda m: (m, m)),
        data("not authentic", False, change=lambda m: (flip(m, -1),)),
        data("another counter", False, change=lambda m: (flip(m, 8),)),
        data("another index", False, index=s.theirs ^ 1 << 20),
        data("reserved bytes", False, change=lambda m: (flip(m, 1),)),
        data("cut", False, change=lambda m: (m[:-1], m[:31], m[:16], m[:15], m[:4])),
        data("longer than its message", False, length=400),
        data("IPv6, longer than its message", False, version=6, length=400),
        data("shorter than a header", False, length=19),
        data("a foreign source", False, source="10.200.0.77"),
        data("another peer's source", False, source=ANOTHER),
        data("its own address as source", False, source=INNER[4][1]),
        data("a foreign source of IPv6", False, version=6, source="fd00:200::77"),
        ("version 5", False, (s.data(b"\x55" + bytes(27)),)),
        ("one byte", False, (s.data(b"\x45", pad=False),)),
        ("a keepalive", False, (s.data(b""),)),
        data("after a keepalive", True),
        data("far ahead", True, counter=far),
        data("in the window", True, counter=far - 8000),
        data("out of the window", False, counter=far - 8200),
        data("the end of counters", False, counter=REJECT_AFTER_MESSAGES),
        data("beyond the end of counters", False, counter=2**64 - 1),
        data("ahead again", True, counter=far + 1),
        data("the last counter", True, counter=REJECT_AFTER_MESSAGES - 1),
        data("before the window", False, counter=far + 2),
        data("the last but one", True, counter=REJECT_AFTER_MESSAGES - 2),
    )


def test_data(ends):
    """D1, D2, D3, D5, D6, D10: what comes out of the tunnel, and in which order; no answer."""
    peer, tunnel = connect(ends)
    cases = odd_data(peer.shake())
    out = harness.Capture(tunnel.ns, tunnel.name)
    with inside(tunnel), inside(tunnel, 6):  # so that nobody says that the port is closed
        for _, _, messages in cases:
            peer.send(*messages)
        out.wait(5, payload=cases[-1][0].encode())
    assert ([f.payload.decode() for f in out.frames(outgoing=False)]
            == [name for name, comes, _ in cases if comes])
    assert not list(left(peer))


def flood(peer, old, *last):
    """Send an initiation so often that b is under load, then the last, until the very last is
    answered. Returns their answers; None: there is none."""
    block = old * (FLOOD // 4)
    segments = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", INITIATION_SIZE))]
    for data in (*[block] * 4, b"".join(last)):
        peer.socket.sendmsg([data], segments)
    answers, count = {}, 0
    while last[-1][4:8] not in answers:
        kind, datagram = peer.receive()
        index = datagram[8:12] if kind == RESPONSE else datagram[4:8]
        if index == old[4:8]:
            assert kind == COOKIE_REPLY
            count += 1
        else:
            answers[index] = datagram
    assert count <= FLOOD
    return [answers.get(message[4:8]) for message in last]


def ask_for_cookie(peer, old):
    """Returns an initiation that was sent under load, and its answer."""
    for _ in range(30):  # b may get so much of the CPU that not enough of a flood waits
        time.sleep(GAP_S)
        message = peer.initiation()
        answer, = flood(peer, old, message)
        if len(answer) == COOKIE_REPLY_SIZE:
            return message, answer
    pytest.fail("no cookie")


def test_under_load(ends):
    """C2, C4, C7: then cookies are asked for, which hold for one address and port."""
    peer, tunnel = connect(ends)
    old = peer.initiation()
    peer.send(old)
    peer.begin(peer.receive()[1])
    message, answer = ask_for_cookie(peer, old)
    cookie = peer.open_cookie(answer, message)
    one, other = peer.initiation(cookie=bytes(16)), peer.initiation(cookie=cookie)
    for answer, asked in zip(flood(peer, old, one, other), (one, other)):
        kind, = struct.unpack("<I", answer[:4])
        assert kind == (COOKIE_REPLY if asked == one else RESPONSE)
    session = peer.begin(answer)
    talk(peer, tunnel, session)
    here = peer.socket
    peer.open_socket(ends[0], (OUTER[1], 5001))
    message = peer.initiation(cookie=cookie)
    answer, = flood(peer, old, message)
    assert peer.open_cookie(answer, message) != cookie
    here.close()


def test_cookies_buy_a_few_handshakes(ends):
    """C3: beyond, who has one meets silence. Many peers at one address, each with one initiation"""
    peer, tunnel = connect(ends)
    others = [peer.stranger(Key()) for _ in range(4 * BURST)]
    tunnel.set(*(word for o in others for word in ("peer", base64.b64encode(o.public).decode())))
    old = peer.initiation()
    peer.send(old)
    peer.begin(peer.receive()[1])
    message, answer = ask_for_cookie(peer, old)
    cookie = peer.open_cookie(answer, message)
    answered = others
    for _ in range(30):  # see ask_for_cookie
        if len(answered) < len(others):
            break
        time.sleep(GAP_S)
        messages = [o.initiation(cookie=cookie) for o in others]
        answered = [a for a in flood(peer, old, *messages, peer.initiation())[:-1] if a]
        assert {len(a) for a in answered} == {RESPONSE_SIZE}
    assert BURST <= len(answered) < len(others)


def another_key(peer, tunnel, s):
    """Let b begin anew, with another key. Returns its initiation"""
    key = Key()
    tunnel.set("private-key", "/dev/stdin", text=key.private)
    peer.remote = base64.b64decode(key.public)
    s.sendto(b"it waits", (INNER[4][0], PORT))
    kind = None
    while kind != INITIATION:
        kind, message = peer.receive()
    return message


def test_it_takes_a_cookie(ends):
    """C5: one that is for its last message, once; it is for the next, which has time."""
    peer, tunnel = connect(ends, known=True)
    cookie, wrong = os.urandom(16), os.urandom(16)
    with inside(tunnel) as s:
        s.sendto(b"it waits", (INNER[4][0], PORT))
        message = peer.receive()[1]
        assert message[-16:] == bytes(16)
        peer.send(
            peer.cookie_reply(flip(message, -32), wrong),  # for another mac1
            peer.cookie_reply(flip(message, 4), wrong),  # for another index
            flip(peer.cookie_reply(message, wrong), -1),  # not authentic
            peer.cookie_reply(message, wrong)[:-1],
            peer.cookie_reply(message, cookie),
            peer.cookie_reply(message, wrong))  # one too many
        time.sleep(GAP_S)
        assert not list(left(peer))
        message = another_key(peer, tunnel, s)
        assert message[-16:] == mac(cookie, message[:-16])
        response, session = peer.response(peer.read_initiation(message)[0])
        peer.send(response)
        for _ in range(2):
            assert packet(peer, session).endswith(b"it waits")
    talk(peer, tunnel, session)


def test_a_response_under_load(ends):
    """C6: it is answered by a cookie, too, with which it is taken."""
    peer, tunnel = connect(ends, known=True)
    kind = None
    with inside(tunnel) as s:
        for _ in range(30):  # see ask_for_cookie
            begun, _ = peer.read_initiation(another_key(peer, tunnel, s))
            response, session = peer.response(begun)
            answer, = flood(peer, peer.stranger(Key()).initiation(), response)
            kind, = struct.unpack("<I", answer[:4])
            if kind == COOKIE_REPLY:
                break
        assert kind == COOKIE_REPLY
        cookie = peer.open_cookie(answer, response)
        peer.send(peer.macs(response[:-32], cookie))
        assert packet(peer, session).endswith(b"it waits")
    talk(peer, tunnel, session)

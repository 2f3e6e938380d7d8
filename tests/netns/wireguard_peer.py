"""Another WireGuard, for what only a second implementation can say: messages that are odd.

Written from the protocol's paper, with cryptography and hashlib alone. It does what it is told:
every message is made by a function whose arguments may make it wrong.
"""

import base64
import copy
import hashlib
import hmac
import os
import socket
import struct
import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

INITIATION, RESPONSE, COOKIE_REPLY, DATA = 1, 2, 3, 4
INITIATION_SIZE, RESPONSE_SIZE, COOKIE_REPLY_SIZE = 148, 92, 64
REJECT_AFTER_MESSAGES = 2**64 - 2**13 - 1
CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
TAI_1970 = 0x400000000000000a
ZERO = bytes(32)


def hash_of(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def kdf(chain, data, count):
    secret = hmac.digest(chain, data, "blake2s")
    keys = [b""]
    for i in range(count):
        keys.append(hmac.digest(secret, keys[-1] + bytes([i + 1]), "blake2s"))
    return keys[1:]


def aead(key, counter):
    """The cipher and its nonce."""
    return ChaCha20Poly1305(key), bytes(4) + struct.pack("<Q", counter)


def seal(key, counter, text, aad=b""):
    cipher, nonce = aead(key, counter)
    return cipher.encrypt(nonce, text, aad)


def unseal(key, counter, text, aad=b""):
    """cryptography.exceptions.InvalidTag if it is not authentic."""
    cipher, nonce = aead(key, counter)
    return cipher.decrypt(nonce, text, aad)


def hchacha20(key, nonce):
    """The block of ChaCha20 without what its last step adds: the state it began with."""
    block = Cipher(algorithms.ChaCha20(key, nonce), None).encryptor().update(bytes(64))
    begun = struct.unpack("<16I", b"expand 32-byte k" + key + nonce)
    words = [(a - b) % 2**32 for a, b in zip(struct.unpack("<16I", block), begun)]
    return struct.pack("<8I", *words[:4], *words[12:])


def xaead(key, nonce):
    """The same of XChaCha20-Poly1305."""
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])), bytes(4) + nonce[16:]


def public_of(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw)


def dh(private, public):
    if public == ZERO:  # what comes of it is known to everybody; the library would refuse
        return ZERO
    return X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(public))


def tai64n(seconds):
    return struct.pack(">QI", TAI_1970 + int(seconds), int(seconds % 1 * 1e9))


def flip(message, at):
    """The message with a wrong byte."""
    wrong = bytearray(message)
    wrong[at] ^= 1
    return bytes(wrong)


class Noise:
    """The chaining key and the hash of a handshake."""

    def __init__(self, responder):
        self.chain = hash_of(CONSTRUCTION)
        self.hash = hash_of(hash_of(self.chain, IDENTIFIER), responder)

    def mix_hash(self, data):
        self.hash = hash_of(self.hash, data)

    def mix_key(self, secret):
        self.chain, key = kdf(self.chain, secret, 2)
        return key

    def mix_ephemeral(self, public):
        self.mix_hash(public)
        self.chain, = kdf(self.chain, public, 1)

    def mix_psk(self, psk):
        self.chain, mixed, key = kdf(self.chain, psk, 3)
        self.mix_hash(mixed)
        return key

    def seal(self, key, text):
        sealed = seal(key, 0, text, self.hash)
        self.mix_hash(sealed)
        return sealed

    def unseal(self, key, sealed):
        text = unseal(key, 0, sealed, self.hash)
        self.mix_hash(sealed)
        return text


class Session:
    def __init__(self, keys, ours, theirs):
        self.send_key, self.receive_key = keys
        self.ours, self.theirs = ours, theirs  # indices
        self.counter = 0

    def data(self, text, counter=None, pad=True, index=None):
        """A data message; the next of the session unless it is to have another counter."""
        if counter is None:
            counter, self.counter = self.counter, self.counter + 1
        if pad:
            text += bytes(-len(text) % 16)
        return (struct.pack("<IIQ", DATA, self.theirs if index is None else index, counter)
                + seal(self.send_key, counter, text))

    def open(self, datagram):
        """The text of a data message, with its padding."""
        kind, index, counter = struct.unpack("<IIQ", datagram[:16])
        assert (kind, index) == (DATA, self.ours)
        return unseal(self.receive_key, counter, datagram[16:])


class Peer:
    """One side: its key, the other side's public key, and a socket in a namespace.

    key: of wireguard.Key; remote: the other's public key, psk: both as text
    """

    def __init__(self, key, remote, psk=None):
        self.private = base64.b64decode(key.private)
        self.public = base64.b64decode(key.public)
        self.remote = base64.b64decode(remote)
        self.psk = base64.b64decode(psk) if psk else ZERO
        self.noise = self.ephemeral = self.index = None  # of the last initiation
        self.socket = None

    def open_socket(self, ns, to, port=0):
        """Bind to the port, or any; send to the address and port of the other side."""
        self.socket = ns.python(socket.socket, type=socket.SOCK_DGRAM)
        self.socket.bind(("", port))
        self.socket.connect(to)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.settimeout(5)
        ns.net.defer(self.socket.close)

    def stranger(self, key):
        """Another, for the same other side."""
        other = copy.copy(self)
        other.private, other.public = base64.b64decode(key.private), base64.b64decode(key.public)
        return other

    def send(self, *datagrams):
        for datagram in datagrams:
            self.socket.send(datagram)

    def receive(self):
        """The next datagram, and its type."""
        datagram = self.socket.recv(65536)
        return struct.unpack("<I", datagram[:4])[0], datagram

    def macs(self, message, cookie=None):
        """The message with its MACs."""
        message += mac(hash_of(b"mac1----", self.remote), message)
        return message + (mac(cookie, message) if cookie else bytes(16))

    def altered(self, message, at):
        """The message with a wrong byte, and a right mac1."""
        return self.macs(flip(message, at)[:-32])

    def is_for_us(self, message):
        return message[-32:-16] == mac(hash_of(b"mac1----", self.public), message[:-32])

    def initiation(self, stamp=None, cookie=None, low_order=False):
        """Begin a handshake. stamp: seconds since 1970, instead of now"""
        private = os.urandom(32)
        public = ZERO if low_order else public_of(private)
        index = os.urandom(4)
        n = Noise(self.remote)
        n.mix_ephemeral(public)
        key = n.mix_key(ZERO if low_order else dh(private, self.remote))
        static = n.seal(key, self.public)
        key = n.mix_key(dh(self.private, self.remote))
        sealed = n.seal(key, tai64n(time.time() if stamp is None else stamp))
        self.noise, self.ephemeral, self.index = n, private, struct.unpack("<I", index)[0]
        return self.macs(struct.pack("<I", INITIATION) + index + public + static + sealed, cookie)

    def begin(self, response):
        """The session that the response to our last initiation begins."""
        kind, theirs, ours = struct.unpack("<III", response[:12])
        assert (kind, len(response), ours) == (RESPONSE, RESPONSE_SIZE, self.index)
        assert self.is_for_us(response)
        n, public = self.noise, response[12:44]
        n.mix_ephemeral(public)
        n.mix_key(dh(self.ephemeral, public))
        n.mix_key(dh(self.private, public))
        n.unseal(n.mix_psk(self.psk), response[44:60])
        return Session(kdf(n.chain, b"", 2), ours, theirs)

    def shake(self):
        """A whole handshake as its initiator."""
        self.send(self.initiation())
        kind, datagram = self.receive()
        assert kind == RESPONSE
        return self.begin(datagram)

    def read_initiation(self, message):
        """Returns the state of the handshake that the other side has begun, and its stamp."""
        assert len(message) == INITIATION_SIZE and self.is_for_us(message)
        n, public = Noise(self.public), message[8:40]
        n.mix_ephemeral(public)
        static = n.unseal(n.mix_key(dh(self.private, public)), message[40:88])
        assert static == self.remote
        stamp = n.unseal(n.mix_key(dh(self.private, static)), message[88:116])
        return (n.chain, n.hash, public, struct.unpack("<I", message[4:8])[0]), stamp

    def response(self, begun, psk=None, low_order=False):
        """Answer an initiation. Returns the message and the session."""
        n = Noise(self.public)
        n.chain, n.hash, remote_public, theirs = begun
        private, index = os.urandom(32), os.urandom(4)
        public = ZERO if low_order else public_of(private)
        n.mix_ephemeral(public)
        n.mix_key(ZERO if low_order else dh(private, remote_public))
        n.mix_key(ZERO if low_order else dh(private, self.remote))
        nothing = n.seal(n.mix_psk(psk or self.psk), b"")
        message = struct.pack("<I", RESPONSE) + index + struct.pack("<I", theirs) + public
        keys = reversed(kdf(n.chain, b"", 2))
        return self.macs(message + nothing), Session(keys, struct.unpack("<I", index)[0], theirs)

    def open_cookie(self, reply, message):
        """The cookie in the answer to an initiation or response of ours."""
        assert len(reply) == COOKIE_REPLY_SIZE and reply[4:8] == message[4:8]
        cipher, nonce = xaead(hash_of(b"cookie--", self.remote), reply[8:32])
        return cipher.decrypt(nonce, reply[32:], message[-32:-16])

    def cookie_reply(self, message, cookie):
        """Answer an initiation or response of the other side by a cookie."""
        random = os.urandom(24)
        cipher, nonce = xaead(hash_of(b"cookie--", self.public), random)
        return (struct.pack("<I", COOKIE_REPLY) + message[4:8] + random
                + cipher.encrypt(nonce, cookie, message[-32:-16]))

#!/usr/bin/python3
"""Makes tests/wireguard/vectors.h: known answers of another implementation.

Written from the protocol's paper, on python3-cryptography and hashlib alone: nothing of it is
Sluice's. usage: vectors.py >tests/wireguard/vectors.h
"""

import hashlib
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
TAI64_EPOCH = 0x400000000000000A


def blake2s(data):
    return hashlib.blake2s(data).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def hmac(key, data):
    """RFC 2104, by hand: hmac.new() would do the same."""
    key = key.ljust(64, b"\0")
    inner = blake2s(bytes(b ^ 0x36 for b in key) + data)
    return blake2s(bytes(b ^ 0x5C for b in key) + inner)


def kdf(n, key, data):
    secret, out, last = hmac(key, data), [], b""
    for i in range(1, n + 1):
        last = hmac(secret, last + bytes([i]))
        out.append(last)
    return out


def public(private):
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(*raw)


def dh(private, other):
    key = X25519PrivateKey.from_private_bytes(private)
    return key.exchange(X25519PublicKey.from_public_bytes(other))


def aead(key, counter, plain, ad=b""):
    return ChaCha20Poly1305(key).encrypt(struct.pack("<IQ", 0, counter), plain, ad)


def secret(name):
    return blake2s(b"sluice test " + name.encode())


def private(name):
    key = bytearray(secret(name))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)


def tai64n(wall_ns):
    return struct.pack(">QI", TAI64_EPOCH + wall_ns // 10**9, wall_ns % 10**9)


class Chain:
    def __init__(self, responder):
        self.chain = blake2s(CONSTRUCTION)
        self.hash = blake2s(blake2s(self.chain + IDENTIFIER) + responder)

    def mix(self, data):
        self.hash = blake2s(self.hash + data)

    def key(self, data, n=2):
        self.chain, *rest = kdf(n, self.chain, data)
        return rest

    def seal(self, key, plain):
        out = aead(key, 0, plain, self.hash)
        self.mix(out)
        return out


def macs(message, to, cookie=None):
    message += mac(blake2s(b"mac1----" + to), message)
    return message + (mac(cookie, message) if cookie else bytes(16))


def handshake(name, psk, wall_ns, index_i, index_r, plain):
    si, sr = private(name + " initiator"), private(name + " responder")
    ei, er = private(name + " ephemeral initiator"), private(name + " ephemeral responder")
    c = Chain(public(sr))

    c.mix(public(ei))
    c.key(public(ei), 1)
    (k,) = c.key(dh(ei, public(sr)))
    sealed_static = c.seal(k, public(si))
    (k,) = c.key(dh(si, public(sr)))
    sealed_stamp = c.seal(k, tai64n(wall_ns))
    initiation = struct.pack("<II", 1, index_i) + public(ei) + sealed_static + sealed_stamp
    initiation = macs(initiation, public(sr))

    c.mix(public(er))
    c.key(public(er), 1)
    c.key(dh(er, public(ei)), 1)
    c.key(dh(er, public(si)), 1)
    temporary, k = c.key(psk, 3)
    c.mix(temporary)
    sealed_nothing = c.seal(k, b"")
    response = struct.pack("<III", 2, index_r, index_i) + public(er) + sealed_nothing
    response = macs(response, public(si))

    key_ir, key_ri = kdf(2, c.chain, b"")
    padded = plain + bytes(-len(plain) % 16)
    return [
        ("name", name), ("initiator", si), ("responder", sr), ("ephemeral_initiator", ei),
        ("ephemeral_responder", er), ("preshared_key", psk), ("wall_ns", wall_ns),
        ("index_initiator", index_i), ("index_responder", index_r), ("initiation", initiation),
        ("response", response), ("key_there", key_ir), ("key_back", key_ri), ("plain", padded),
        ("data_there", struct.pack("<IIQ", 4, index_r, 0) + aead(key_ir, 0, padded)),
        ("data_back", struct.pack("<IIQ", 4, index_i, 2**40) + aead(key_ri, 2**40, padded)),
    ]


def rounded(wall_ns):
    return wall_ns - wall_ns % 10**9 % 2**24


def c_value(value):
    if isinstance(value, int):
        return f"UINT64_C({value})" if value > 0xFFFFFFFF else f"{value}u"
    if isinstance(value, bytes):
        lines = [value.hex()[i:i + 72] for i in range(0, len(value) * 2, 72)] or [""]
        return "\n\t\t\t".join(f'"{line}"' for line in lines)
    return f'"{value}"'


def table(declaration, rows):
    print(f"static const struct {declaration}[] = {{")
    for row in rows:
        print("\t{")
        for name, value in row:
            print(f"\t\t.{name} = {c_value(value)},")
        print("\t},")
    print("};\n")


def main():
    print("/* Made by tests/wireguard/vectors.py. Hexadecimal, but for numbers. */")
    print("#ifndef SLUICE_TESTS_WIREGUARD_VECTORS_H")
    print("#define SLUICE_TESTS_WIREGUARD_VECTORS_H\n")
    print("#include <stdint.h>\n")
    structs = {
        "kdf_vector": "const char *key, *data, *out;",
        "mac_vector": "const char *key, *data, *out;",
        "aead_vector": "const char *key, *plain, *sealed; uint64_t counter;",
        "handshake_vector": "const char *name, *initiator, *responder, *ephemeral_initiator, "
                            "*ephemeral_responder, *preshared_key; uint64_t wall_ns; "
                            "uint32_t index_initiator, index_responder; const char *initiation, "
                            "*response, *key_there, *key_back, *plain, *data_there, *data_back;",
    }
    for name, fields in structs.items():
        print(f"struct {name} {{ {fields} }};\n")
    print(f"#define VECTOR_CHAIN_SEED {c_value(blake2s(CONSTRUCTION))}")
    seed = blake2s(blake2s(CONSTRUCTION) + IDENTIFIER)
    print(f"#define VECTOR_HASH_SEED {c_value(seed)}\n")

    # The keys and texts of the first three are those that other implementations test, too.
    pairs = [(b"test-key", b"test-input"), (b"wireguard", b"wireguard"), (b"", b""),
             (secret("kdf"), b""), (secret("kdf"), secret("kdf data") * 2)]
    table("kdf_vector kdf_vectors", [
        [("key", key), ("data", data), ("out", b"".join(kdf(3, key, data)))]
        for key, data in pairs])
    table("mac_vector mac_vectors", [
        [("key", secret("mac")[:size]), ("data", secret("mac data") * n),
         ("out", mac(secret("mac")[:size], secret("mac data") * n))]
        for size in (16, 32) for n in (0, 1, 2, 4)])
    table("aead_vector aead_vectors", [
        [("key", secret("aead")), ("plain", (secret("aead plain") * 4)[:n]),
         ("sealed", aead(secret("aead"), counter, (secret("aead plain") * 4)[:n])),
         ("counter", counter)]
        for n, counter in ((0, 0), (1, 1), (16, 2**32), (63, 2**63 + 5), (64, 7),
                           (65, 2**64 - 8194), (128, 2**40))])
    wall_ns = 1700000000 * 10**9 + 987654321
    table("handshake_vector handshake_vectors", [
        handshake("plain", bytes(32), rounded(wall_ns), 0x12345678, 0x9ABCDEF0, b"hello"),
        handshake("psk", secret("psk"), rounded(wall_ns + 10**12), 1, 0xFFFFFFFF, b""),
    ])
    print("#endif")


if __name__ == "__main__":
    main()

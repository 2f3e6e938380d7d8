#!/usr/bin/python3
"""Makes tests/wireguard/vectors.h: known answers of another implementation.

That is tests/netns/wireguard_peer.py, written from the protocol's paper on python3-cryptography and
hashlib alone: nothing of it is Sluice's. usage: vectors.py >tests/wireguard/vectors.h
"""

import os
import struct
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))

from wireguard_peer import (CONSTRUCTION, DATA, IDENTIFIER, INITIATION, RESPONSE, TAI_1970, Noise,
                            dh, hash_of, kdf, mac, public_of, seal)


def secret(name):
    return hash_of(b"sluice test ", name.encode())


def private(name):
    key = bytearray(secret(name))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return bytes(key)


def tai64n(wall_ns):
    return struct.pack(">QI", TAI_1970 + wall_ns // 10**9, wall_ns % 10**9)


def macs(message, to, cookie=None):
    message += mac(hash_of(b"mac1----", to), message)
    return message + (mac(cookie, message) if cookie else bytes(16))


def handshake(name, psk, wall_ns, index_i, index_r, plain):
    si, sr = private(name + " initiator"), private(name + " responder")
    ei, er = private(name + " ephemeral initiator"), private(name + " ephemeral responder")
    n = Noise(public_of(sr))
    n.mix_ephemeral(public_of(ei))
    sealed_static = n.seal(n.mix_key(dh(ei, public_of(sr))), public_of(si))
    sealed_stamp = n.seal(n.mix_key(dh(si, public_of(sr))), tai64n(wall_ns))
    initiation = (struct.pack("<II", INITIATION, index_i) + public_of(ei) + sealed_static
                  + sealed_stamp)
    initiation = macs(initiation, public_of(sr))

    n.mix_ephemeral(public_of(er))
    n.mix_key(dh(er, public_of(ei)))
    n.mix_key(dh(er, public_of(si)))
    sealed_nothing = n.seal(n.mix_psk(psk), b"")
    response = struct.pack("<III", RESPONSE, index_r, index_i) + public_of(er) + sealed_nothing
    response = macs(response, public_of(si))

    key_ir, key_ri = kdf(n.chain, b"", 2)
    padded = plain + bytes(-len(plain) % 16)
    return [
        ("name", name), ("initiator", si), ("responder", sr), ("ephemeral_initiator", ei),
        ("ephemeral_responder", er), ("preshared_key", psk), ("wall_ns", wall_ns),
        ("index_initiator", index_i), ("index_responder", index_r), ("initiation", initiation),
        ("response", response), ("key_there", key_ir), ("key_back", key_ri), ("plain", padded),
        ("data_there", struct.pack("<IIQ", DATA, index_r, 0) + seal(key_ir, 0, padded)),
        ("data_back", struct.pack("<IIQ", DATA, index_i, 2**40) + seal(key_ri, 2**40, padded)),
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
    print(f"#define VECTOR_CHAIN_SEED {c_value(hash_of(CONSTRUCTION))}")
    seed = hash_of(hash_of(CONSTRUCTION), IDENTIFIER)
    print(f"#define VECTOR_HASH_SEED {c_value(seed)}\n")

    # The keys and texts of the first three are those that other implementations test, too.
    pairs = [(b"test-key", b"test-input"), (b"wireguard", b"wireguard"), (b"", b""),
             (secret("kdf"), b""), (secret("kdf"), secret("kdf data") * 2)]
    table("kdf_vector kdf_vectors", [
        [("key", key), ("data", data), ("out", b"".join(kdf(key, data, 3)))]
        for key, data in pairs])
    table("mac_vector mac_vectors", [
        [("key", secret("mac")[:size]), ("data", secret("mac data") * n),
         ("out", mac(secret("mac")[:size], secret("mac data") * n))]
        for size in (16, 32) for n in (0, 1, 2, 4)])
    table("aead_vector aead_vectors", [
        [("key", secret("aead")), ("plain", (secret("aead plain") * 4)[:n]),
         ("sealed", seal(secret("aead"), counter, (secret("aead plain") * 4)[:n])),
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

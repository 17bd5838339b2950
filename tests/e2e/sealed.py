"""An independent reader of encrypted objects, from docs/formats/sealed.md alone: libsodium through
ctypes. What it decrypts, real Litestream must be able to restore."""
import base64
import ctypes
import ctypes.util
import hashlib
import os
import struct

CHUNK, EXTRA, FINAL = 16384, 17, 3


def library():
    name = ctypes.util.find_library("sodium")
    assert name, "libsodium is a dependency of the build"
    lib = ctypes.CDLL(name)
    assert lib.sodium_init() >= 0
    return lib


def key_of(path):
    with open(path) as f:
        return base64.b64decode(next(line for line in f if line.strip() and not line.startswith("#")))


def key_id(key):
    return hashlib.blake2b(b"holdfast key id", key=key, digest_size=32).digest()[:8]


def bound(header, name, path):
    text = b"".join(struct.pack(">I", len(t)) + t for t in (name.encode(), path.encode()))
    return hashlib.blake2b(header[:24] + text, digest_size=32).digest()


def decrypt(data, key, name, path=""):
    lib = library()
    assert data[:9] == b"HFSEALED\x01" and data[10:16] == bytes(6)
    assert data[16:24] == key_id(key)
    state = ctypes.create_string_buffer(lib.crypto_secretstream_xchacha20poly1305_statebytes())
    assert lib.crypto_secretstream_xchacha20poly1305_init_pull(state, data[24:48], key) == 0
    ad, out, at, tag = bound(data, name, path if data[9] & 1 else ""), [], 48, ctypes.c_ubyte(0)
    while tag.value != FINAL:
        sealed = data[at:at + CHUNK + EXTRA]
        plain = ctypes.create_string_buffer(CHUNK + EXTRA)
        rc = lib.crypto_secretstream_xchacha20poly1305_pull(
            state, plain, None, ctypes.byref(tag), sealed, ctypes.c_ulonglong(len(sealed)), ad,
            ctypes.c_ulonglong(len(ad)))
        assert rc == 0, "%s does not decrypt at %d" % (name, at)
        out.append(plain.raw[:len(sealed) - EXTRA])
        at, ad = at + len(sealed), b""
    assert at == len(data), "bytes behind the end of %s" % name
    return b"".join(out)


def decrypt_tree(source, target, key, path=""):
    """Every object of a replica on files, into a replica in the clear; returns how many."""
    n = 0
    for top, _, files in os.walk(source):
        for f in files:
            name = os.path.relpath(os.path.join(top, f), source)
            out = os.path.join(target, name)
            os.makedirs(os.path.dirname(out), exist_ok=True)
            with open(os.path.join(top, f), "rb") as sealed, open(out, "wb") as plain:
                data = sealed.read()
                body = decrypt(data, key, name, path)
                assert len(data) == 48 + len(body) + EXTRA * max(1, -(-len(body) // CHUNK))
                plain.write(body)
            os.utime(out, ns=(os.stat(os.path.join(top, f)).st_mtime_ns,) * 2)
            n += 1
    return n

"""Replicas of a test: configurations, what a replica directory holds, comparison page by page.

The raw comparison is the strict one: a restored file must be, byte for byte, what SQLite makes of
the source's main file and log when it checkpoints a copy of them. Copies are made by `cp` in a
process of its own: a descriptor of the database that this process closed would drop the locks of
every SQLite connection it has.
"""
import os
import re
import shutil
import sqlite3
import subprocess
import sys

NAME = re.compile(r"^([0-9a-f]{16})-([0-9a-f]{16})\.ltx$")
SHORT_LEVELS = {"levels": [{"interval": "1s"}, {"interval": "2s"}]}


def yaml_of(value, indent=0):
    """As much YAML as configurations need."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join("%s%s:%s" % (pad, k, _tail(v, indent)) for k, v in value.items())
    return "".join("%s-%s" % (pad, _item(v, indent)) for v in value)


def _tail(v, indent):
    if isinstance(v, (dict, list)):
        return "\n" + yaml_of(v, indent + 1)
    return " %s\n" % ("true" if v is True else "false" if v is False else v)


def _item(v, indent):
    if isinstance(v, dict):
        return " " + yaml_of(v, indent + 1).lstrip()
    return _tail(v, indent)


def config(path, dbs, **top):
    """Writes a configuration both programs read; dbs is {db path: replica directory or dict}, or a
    list of dicts for several."""
    entries = []
    for db, rep in dbs.items():
        entry = {"path": db, "monitor-interval": "50ms"}
        if isinstance(rep, list):
            entry["replicas"] = rep
        else:
            entry["replica"] = rep if isinstance(rep, dict) else {"type": "file", "path": rep}
        entries.append(entry)
    with open(path, "w") as f:
        f.write(yaml_of(dict(top, dbs=entries)))
    return str(path)


def url(replica):
    return "file://" + str(replica)


def ltx_dir(replica, level):
    return os.path.join(str(replica), "ltx", str(level))


def files(replica, level=0):
    """[(min, max, path)] of one level, in order."""
    d = ltx_dir(replica, level)
    try:
        names = sorted(os.listdir(d))
    except OSError:
        return []
    found = [(NAME.match(n), os.path.join(d, n)) for n in names]
    return [(int(m.group(1), 16), int(m.group(2), 16), p) for m, p in found if m]


MARKER = re.compile(r"^packs-([0-9a-f]{1,2})-([0-9a-f]{16})$")


def parse_pack(data):
    """[(path, min, max, bytes)] of a pack, see docs/formats/pack.md."""
    assert data[:8] == b"HFPACK01"
    found, at = [], 64
    for _ in range(int.from_bytes(data[12:16], "big")):
        f = [int.from_bytes(data[at + i:at + i + 8], "big") for i in range(0, 48, 8)]
        n = int.from_bytes(data[at + 50:at + 52], "big")
        found.append((data[at + 52:at + 52 + n].decode(), f[0], f[1], data[f[3]:f[3] + f[4]]))
        at += 52 + n
    return found


def packed(replica):
    """[(min, max)] of the L0 files of a replica that are in packs."""
    d = ltx_dir(replica, 0)
    ups = [MARKER.match(n) for n in os.listdir(d)] if os.path.isdir(d) else []
    found = []
    for up, first in {(int(m.group(1), 16), int(m.group(2), 16)) for m in ups if m}:
        root = os.path.normpath(os.path.join(str(replica), *[".."] * up))
        packs = os.path.join(root, "packs")
        for name in sorted(os.listdir(packs)) if os.path.isdir(packs) else []:
            if not name.endswith(".pack") or int(name[:16], 16) < first:
                continue
            try:
                with open(os.path.join(packs, name), "rb") as f:
                    entries = parse_pack(f.read())
            except FileNotFoundError:
                continue
            found += [e[1:3] for e in entries if e[3] and e[0] == os.path.relpath(str(replica), root)]
    return found


def top_txid(replica):
    found = packed(replica) + [f[:2] for level in range(10) for f in files(replica, level)]
    return max([f[1] for f in found], default=0)


def sizes(replica):
    """{path: bytes} of every LTX file."""
    r = {}
    for level in range(10):
        for _, _, p in files(replica, level):
            try:
                r[p] = os.path.getsize(p)
            except OSError:
                pass
    return r


def cut_log(wal, shm):
    """A writer killed between its last frame and the header of the wal-index has committed nothing
    that anybody saw; recovery of a copy would bring it back."""
    with open(shm, "rb") as f:
        one, two = f.read(48), f.read(48)
    size, frames = (int.from_bytes(one[a:b], sys.byteorder) for a, b in ((14, 16), (16, 20)))
    with open(wal, "r+b") as f:
        is_its_log = frames == 0 or one[32:40] == f.read(24)[16:]
        if len(two) == 48 and one == two and one[12] and is_its_log:
            f.truncate(32 + frames * (24 + (65536 if size == 1 else size)))


def image(db, work):
    """What SQLite makes of main file and log of db: the bytes of a checkpointed copy."""
    base = os.path.join(str(work), "image.db")
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(base + suffix):
            os.unlink(base + suffix)
        if os.path.exists(db + suffix):
            subprocess.run(["cp", db + suffix, base + suffix], check=True)
    if os.path.exists(base + "-shm"):
        if os.path.exists(base + "-wal"):
            cut_log(base + "-wal", base + "-shm")
        os.unlink(base + "-shm")
    if os.path.exists(base + "-wal") or os.path.exists(base + "-journal"):
        c = sqlite3.connect(base, isolation_level=None)
        c.execute("SELECT count(*) FROM sqlite_master").fetchone()
        c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        c.close()
    with open(base, "rb") as f:
        return f.read()


def page_size(b):
    n = int.from_bytes(b[16:18], "big")
    return 65536 if n == 1 else n


def differing_pages(a, b):
    """Page numbers at which two images differ; the lock page holds nothing."""
    if not a or not b:
        return [] if a == b else [0]
    ps = page_size(a)
    if ps != page_size(b):
        return [0]
    lock = 0x40000000 // ps + 1
    n = max(len(a), len(b)) // ps
    return [p + 1 for p in range(n)
            if a[p * ps:(p + 1) * ps] != b[p * ps:(p + 1) * ps] and p + 1 != lock]


def assert_same_pages(db, copy, work, **why):
    with open(copy, "rb") as f:
        got = f.read()
    want = image(db, work)
    bad = differing_pages(want, got)
    assert not bad, "%s: pages %s differ from %s (%d and %d bytes) %s" % (
        copy, bad[:20], db, len(got), len(want), why)


def remove_db(path):
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)


def remove_state(db):
    d, n = os.path.split(db)
    shutil.rmtree(os.path.join(d, ".%s-holdfast" % n), ignore_errors=True)

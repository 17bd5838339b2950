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


def top_txid(replica):
    return max([f[1] for level in range(10) for f in files(replica, level)], default=0)


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

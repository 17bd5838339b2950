"""Damaged replicas and local state, and stores that go away: restore says which file and where,
replicate heals, and nothing is lost."""
import os
import re
import shutil
import struct
import subprocess
import time

import pytest

import dbtool
import procs
import replicas
from test_life import Kept

FILE_AND_PLACE = re.compile(r"\.ltx: .*byte \d+")


@pytest.fixture
def kept(holdfast, tmp_path):
    return Kept(holdfast, tmp_path)


def once(k):
    return k.holdfast("replicate", "-once", "-config", k.config)


def places(path):
    """{what: offset} over every class of bytes of a block-form LTX file."""
    with open(path, "rb") as f:
        b = f.read()
    first = struct.unpack(">IHI", b[100:110])
    index_len = struct.unpack(">Q", b[-24:-16])[0]
    index = len(b) - 24 - index_len
    return {"magic": 0, "flags": 4, "page-size": 9, "commit": 13, "min-txid": 22, "max-txid": 30,
            "time": 35, "wal-offset": 55, "reserved": 90, "pgno": 103, "page-flags": 104,
            "payload-size": 108, "payload": 110 + first[2] // 2, "last-payload": index - 8,
            "end-of-pages": index - 3, "index": index + 1, "index-length": len(b) - 20,
            "post-apply": len(b) - 14, "checksum": len(b) - 3}, len(b)


WHERE = ("magic flags page-size commit min-txid max-txid time wal-offset reserved pgno page-flags "
         "payload-size payload last-payload end-of-pages index index-length post-apply checksum").split()


@pytest.fixture
def replicated(kept):
    dbtool.create(kept.db, rows=60)
    once(kept).ok()
    dbtool.commit(kept.db, 5)
    once(kept).ok()
    return kept


@pytest.mark.parametrize("where", WHERE)
def test_flipped_byte_is_found(replicated, where):
    """Restore names the file and the offset and leaves nothing; replicate then makes it whole."""
    k = replicated
    path = replicas.files(k.replica)[-1][2]
    at, _ = places(path)
    with open(path, "r+b") as f:
        f.seek(at[where])
        old = f.read(1)[0]
        f.seek(at[where])
        f.write(bytes([old ^ 0x10]))
    out = str(k.dir / "out.db")
    r = k.holdfast("restore", "-o", out, replicas.url(k.replica))
    if where == "payload" and r.code == 0:
        replicas.assert_same_pages(k.db, out, k.dir)  # LZ4 made the same of it
    else:
        r.failed(5, os.path.basename(path))
        assert FILE_AND_PLACE.search(r.err), r.err
        assert len(r.err.strip().splitlines()) <= 2, r.err
        assert os.listdir(k.dir).count("out.db") == 0
    heal(k)


def heal(k):
    """We lost our position as well; the replica can't be read as it is: a full image follows."""
    replicas.remove_state(k.db)
    dbtool.commit(k.db, 2)
    once(k).ok()
    k.same()


def test_truncated_file_is_found(replicated, rng):
    k = replicated
    path = replicas.files(k.replica)[-1][2]
    at, size = places(path)
    with open(path, "rb") as f:
        whole = f.read()
    for cut in sorted({0, 50, 99, 100, 105, 110, at["payload"], at["index"], size - 24, size - 16,
                       size - 1, rng.randrange(size)}):
        with open(path, "wb") as f:
            f.write(whole[:cut])
        r = k.holdfast("restore", "-o", str(k.dir / "out.db"), replicas.url(k.replica))
        r.failed(5, os.path.basename(path))
        assert not os.path.exists(str(k.dir / "out.db"))
    heal(k)


def test_missing_file_is_found(replicated):
    k = replicated
    dbtool.commit(k.db, 1)
    once(k).ok()
    os.unlink(replicas.files(k.replica)[1][2])
    r = k.holdfast("restore", "-o", str(k.dir / "out.db"), replicas.url(k.replica))
    assert r.code in (5, 10) and len(r.err.strip().splitlines()) <= 2, r.err
    heal(k)


@pytest.mark.parametrize("name", ["position", "pages.sum"])
def test_damaged_local_state(replicated, name, rng):
    """Torn, flipped, gone, or of an older time: never wrong, at worst shipped again."""
    k = replicated
    state = os.path.join(os.path.dirname(k.db), ".app.db-holdfast")
    names = [n for n in os.listdir(state) if n.startswith(name)]
    assert names, os.listdir(state)
    path = os.path.join(state, names[0])
    with open(path, "rb") as f:
        old = f.read()
    harms = [b"", old[:10], old[:-1], old + b"x"]
    for _ in range(8):
        i = rng.randrange(len(old))
        harms.append(old[:i] + bytes([old[i] ^ (1 << rng.randrange(8))]) + old[i + 1:])
    for harm in harms + [None]:
        dbtool.commit(k.db, 1)
        if harm is None:
            os.unlink(path)
        else:
            with open(path, "wb") as f:
                f.write(harm)
        once(k).ok()
        k.same()
        with open(path, "wb") as f:  # of an older time
            f.write(old)
        dbtool.commit(k.db, 1)
        once(k).ok()
        k.same()


def test_old_copy_of_everything_local(replicated):
    """A machine restored from its backup: database and our state are older than the replica."""
    k = replicated
    back = str(k.dir / "back")
    os.makedirs(back)
    state = ".app.db-holdfast"
    shutil.copy(k.db, back)
    shutil.copytree(str(k.dir / state), os.path.join(back, state))
    for _ in range(3):
        dbtool.commit(k.db, 2)
        once(k).ok()
    top = replicas.top_txid(k.replica)
    replicas.remove_db(k.db)
    replicas.remove_state(k.db)
    shutil.copy(os.path.join(back, "app.db"), k.db)
    shutil.copytree(os.path.join(back, state), str(k.dir / state))
    once(k).ok()
    k.same()
    assert replicas.top_txid(k.replica) == top + 1
    dbtool.commit(k.db, 2)
    once(k).ok()
    k.same()


def test_replica_deleted_while_running(kept, writer):
    """And the database never goes quiet: compaction finds that there is no base any more."""
    k = kept
    k.config = replicas.config(str(k.dir / "levels.yml"), {k.db: dict(k.settings)},
                               **replicas.SHORT_LEVELS)
    dbtool.create(k.db, rows=200)
    k.start().shipped()
    dbtool.commit(k.db, 2)
    k.same_soon()
    w = writer(k.db, seconds=4, rate=50)
    shutil.rmtree(k.replica)
    procs.wait_until(lambda: replicas.files(k.replica, 9), why=k.p.text)
    w.wait()
    k.same_soon()
    # one because of the loss; a database that was cold in between may be re-based, too
    assert len(k.said("level=warn msg=rebase")) == 1, k.p.text()
    k.stop().same()


def test_file_damaged_while_running(kept, writer):
    k = kept
    k.config = replicas.config(str(k.dir / "levels.yml"), {k.db: dict(k.settings)},
                               **dict(replicas.SHORT_LEVELS, snapshot={"interval": "2s"}))
    dbtool.create(k.db, rows=200)
    k.start().shipped()
    w = writer(k.db, seconds=5, rate=50)
    procs.wait_until(lambda: len(replicas.files(k.replica)) > 3, why=k.p.text)
    with open(replicas.files(k.replica)[-2][2], "r+b") as f:
        f.seek(120)
        f.write(b"damaged")
    w.wait()
    k.same_soon()
    k.stop().same()
    assert len(k.said("upkeep failed")) <= 3, k.p.text()


def leave_newest_l1(k):
    """Without what it goes on from; L0 goes on from it."""
    for level in (0, 1, 2, 9):
        for _, top, path in replicas.files(k.replica, level):
            newest = replicas.files(k.replica, 1)[-1]
            if path != newest[2] and (level > 0 or top <= newest[1]):
                os.unlink(path)


def test_one_level_fails_and_another_works(kept, writer):
    """It is said once, and nothing has recovered: that L1 worked used to be taken for L2, line by line for ever."""
    k = kept
    k.config = replicas.config(str(k.dir / "levels.yml"), {k.db: dict(k.settings)}, **replicas.SHORT_LEVELS)
    dbtool.create(k.db, rows=200)
    k.start().shipped()
    w = writer(k.db, seconds=60, rate=20)

    def break_it(times):
        procs.wait_until(lambda: replicas.files(k.replica, 1) and replicas.files(k.replica, 1)[-1][0] > 1, why=k.p.text)
        procs.wait_until(lambda: len(k.said("upkeep failed")) >= times or leave_newest_l1(k), every=1.5, why=k.p.text)
    break_it(1)
    procs.wait_until(lambda: k.said("upkeep recovered"), why=k.p.text)  # by an image, the only one in an hour
    break_it(2)
    at = replicas.files(k.replica, 1)[-1][1]
    procs.wait_until(lambda: len([f for f in replicas.files(k.replica, 1) if f[1] > at]) >= 4, why=k.p.text)
    assert not replicas.files(k.replica, 2)
    assert len(k.said("upkeep failed")) == 2 and len(k.said("upkeep recovered")) == 1, k.p.text()
    w.kill()
    k.stop()


def test_replica_deleted_while_stopped(replicated):
    k = replicated
    shutil.rmtree(k.replica)
    once(k).ok()
    k.same()


def test_two_on_one_path(kept, tmp_path):
    """Another writer in the same replica path: one wins each name, both notice, no silent mixture."""
    k = kept
    dbtool.create(k.db, rows=100)
    other = str(tmp_path / "other" / "app.db")
    os.makedirs(os.path.dirname(other))
    shutil.copy(k.db, other)
    k.start().shipped()
    c = replicas.config(str(tmp_path / "two.yml"), {other: {"type": "file", "path": k.replica,
                                                            "sync-interval": "20ms"}})
    p = k.holdfast.start("replicate", "-config", c)
    for _ in range(4):
        dbtool.commit(k.db, 1)
        dbtool.commit(other, 1)
        time.sleep(0.1)
    procs.wait_until(lambda: "another writer" in k.p.text() + p.text(), why=k.p.text)
    p.stop()
    out = k.restore()
    assert dbtool.integrity(out) == "ok"
    dbtool.commit(k.db, 1)
    k.same_soon()
    k.stop().same()


def outage(k, writer, break_it, mend_it, seconds=3):
    """The store goes while a program writes, and comes back: one report, a small log, catch-up."""
    dbtool.create(k.db, rows=200)
    k.start().shipped()
    dbtool.commit(k.db, 2)
    k.same_soon()
    break_it()
    w = writer(k.db, seconds=seconds, rate=300, body=3000)
    peak = 0
    while w.proc.alive:
        if os.path.exists(k.db + "-wal"):
            peak = max(peak, os.path.getsize(k.db + "-wal"))
        time.sleep(0.05)
    w.wait()
    assert k.p.alive, k.p.text()
    errors = k.said("level=error")
    assert 1 <= len(errors) <= 4, "\n".join(errors)
    mend_it()
    dbtool.commit(k.db, 1)
    procs.wait_until(lambda: k.said("recovered"), timeout=40, why=k.p.text)
    k.same_soon()
    k.stop().same()
    assert peak < 48 << 20, peak


def test_store_goes_away(kept, writer):
    away = kept.replica + ".away"

    def break_it():
        os.rename(kept.replica, away)
        with open(kept.replica, "w") as f:
            f.write("not a directory")

    def mend_it():
        os.unlink(kept.replica)
        os.rename(away, kept.replica)
    outage(kept, writer, break_it, mend_it)


def test_store_is_full(kept, writer):
    """A file system of 2 MB fills up, and is enlarged."""
    os.makedirs(kept.replica)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none",
                                            kept.replica], capture_output=True).returncode:
        pytest.skip("needs a file system that can be filled")
    try:
        outage(kept, writer, lambda: None, lambda: subprocess.run(
            ["mount", "-o", "remount,size=200m", kept.replica], check=True), seconds=4)
    finally:
        kept.p.kill()
        subprocess.run(["umount", kept.replica], check=True)


def test_store_is_read_only(kept, writer):
    os.makedirs(kept.replica)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "none",
                                            kept.replica], capture_output=True).returncode:
        pytest.skip("needs a file system that can be remounted")

    def remount(how):
        subprocess.run(["mount", "-o", "remount," + how, kept.replica], check=True)
    try:
        outage(kept, writer, lambda: remount("ro"), lambda: remount("rw"))
    finally:
        kept.p.kill()
        subprocess.run(["umount", kept.replica], check=True)

"""Both ways with the real Litestream 0.5.17: it reads what we write, we read what it writes, and
either takes over a path the other has written to."""
import datetime
import os
import shutil
import time

import pytest

import dbtool
import procs
import replicas

SYNC = {"sync-interval": "50ms"}


def conf(tmp_path, db, replica, name="both.yml", **top):
    """A file both programs read: 1 s levels, short retention."""
    settings = dict(replicas.SHORT_LEVELS, **{
        "l0-retention": "1s", "l0-retention-check-interval": "500ms",
        "snapshot": {"interval": "2s", "retention": "3s"}})
    settings.update(top)
    where = {"type": "file", "path": replica, "sync-interval": "50ms"}
    return replicas.config(str(tmp_path / name), {db: where}, **settings)


def until_restored(program, replica, db, tmp_path, why):
    """Restores until the copy holds what the source holds: a running replicator needs a moment."""
    out = str(tmp_path / "until.db")

    def same():
        replicas.remove_db(out)
        r = program("restore", "-o", out, replicas.url(replica))
        return r.code == 0 and dbtool.digest(out) == dbtool.digest(db)
    procs.wait_until(same, every=0.2, why=why)


def settled_txid(replica, before, pause, why):
    """The newest TXID behind before, once no other has come for a while: under load the files of one
    transaction and of a replicator's own may come one after the other."""
    top = procs.wait_until(lambda: max(replicas.top_txid(replica), before) - before, why=why) + before
    while True:
        time.sleep(pause)
        if replicas.top_txid(replica) == top:
            return top
        top = replicas.top_txid(replica)


def grow(db, replica, transactions, pause=0.15, why="nothing shipped"):
    """Commits that reach the replica one by one: {txid: digest of the database there}."""
    states = {}
    for _ in range(transactions):
        before = replicas.top_txid(replica)
        dbtool.commit(db)  # one: two may be two uploads
        states[settled_txid(replica, before, pause, why)] = dbtool.digest(db)
    return states


def check_txids(program, replica, states, tmp_path, at_least):
    """Every TXID that restores is the state it was; those that are not kept say so."""
    hit = 0
    for txid, want in states.items():
        out = str(tmp_path / ("at%x.db" % txid))
        r = program("restore", "-o", out, "-txid", "%016x" % txid, replicas.url(replica))
        if r.code != 0:
            continue
        hit += 1
        assert dbtool.integrity(out) == "ok"
        assert dbtool.digest(out) == want, "txid %x" % txid
        os.unlink(out)
    assert hit >= at_least, "only %d of %d restored" % (hit, len(states))


@pytest.mark.parametrize("form", ["block", "frame"])
@pytest.mark.parametrize("who", ["litestream", "holdfast"])
def test_restores_what_we_wrote(who, form, litestream, holdfast, make_db, tmp_path):
    """Latest and each TXID, before and after compaction, snapshots and retention."""
    db, replica = make_db(rows=400), str(tmp_path / "replica")
    how = dict(SYNC, type="file", path=replica, **{"page-format": form})

    def us(l0_retention):
        return replicas.config(str(tmp_path / "us.yml"), {db: how}, **replicas.SHORT_LEVELS, **{
            "l0-retention": l0_retention, "snapshot": {"interval": "3s", "retention": "1h"}})

    p = holdfast.start("replicate", "-config", us("1h"))  # for as long as the first look takes
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    states = {replicas.top_txid(replica): dbtool.digest(db)}
    states.update(grow(db, replica, 8, pause=0.06, why=p.text))
    program = litestream if who == "litestream" else holdfast
    check_txids(program, replica, states, tmp_path, at_least=len(states))
    procs.wait_until(lambda: replicas.files(replica, 9), why=p.text)
    assert p.stop() == 0
    p = holdfast.start("replicate", "-config", us("4s"))

    # an empty level begins behind the newest snapshot, which may have all there is: commit on
    def has_level():
        grow(db, replica, 1, why=p.text)
        return replicas.files(replica, 2)
    procs.wait_until(has_level, timeout=40, why=p.text)
    states.update(grow(db, replica, 2, why=p.text))
    procs.wait_until(lambda: replicas.files(replica)[0][0] > 2, why=p.text)
    assert p.stop() == 0
    check_txids(program, replica, states, tmp_path, at_least=2)
    out = str(tmp_path / "latest.db")
    program("restore", "-o", out, "-integrity-check", "full", replicas.url(replica)).ok()
    replicas.assert_same_pages(db, out, tmp_path)


def test_restores_what_litestream_wrote(litestream, holdfast, make_db, tmp_path):
    """Latest, each TXID and times, while it compacts."""
    db, replica = make_db(rows=400), str(tmp_path / "replica")
    p = litestream.start("replicate", "-config", conf(tmp_path, db, replica, **{"l0-retention": "1h"}))
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    states = grow(db, replica, 4)
    middle = datetime.datetime.now(datetime.timezone.utc)
    at_middle = dbtool.digest(db)
    time.sleep(0.3)
    states.update(grow(db, replica, 4))
    assert p.stop() == 0
    assert replicas.files(replica, 1)
    states[replicas.top_txid(replica)] = dbtool.digest(db)
    check_txids(holdfast, replica, states, tmp_path, at_least=len(states))
    out = str(tmp_path / "time.db")
    holdfast("restore", "-o", out, "-timestamp", middle.isoformat().replace("+00:00", "Z"),
             replicas.url(replica)).ok()
    assert dbtool.digest(out) == at_middle
    out = str(tmp_path / "latest.db")
    holdfast("restore", "-o", out, "-integrity-check", "full", replicas.url(replica)).ok()
    dbtool.assert_same(db, out)
    replicas.assert_same_pages(db, out, tmp_path)


def test_restores_litestream_after_retention(litestream, holdfast, make_db, writer, tmp_path):
    db, replica = make_db(rows=400), str(tmp_path / "replica")
    p = litestream.start("replicate", "-config", conf(tmp_path, db, replica))
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    writer(db, rate=50, seconds=5).wait()
    assert p.stop() == 0
    assert replicas.files(replica, 9) and replicas.files(replica)[0][0] > 2
    out = str(tmp_path / "latest.db")
    holdfast("restore", "-o", out, replicas.url(replica)).ok()
    replicas.assert_same_pages(db, out, tmp_path)


@pytest.mark.parametrize("who", ["litestream", "holdfast"])
def test_follows(who, litestream, holdfast, make_db, writer, tmp_path):
    """restore -f keeps up with either program, is stopped, falls behind compaction and resumes."""
    db, replica = make_db(rows=200), str(tmp_path / "replica")
    copy = str(tmp_path / "standby.db")
    program = litestream if who == "litestream" else holdfast
    p = program.start("replicate", "-config", conf(tmp_path, db, replica))
    procs.wait_until(lambda: replicas.files(replica), why=p.text)

    def caught_up():
        try:
            return dbtool.digest(copy) == dbtool.digest(db)
        except Exception:  # not there yet
            return False

    for part in range(2):
        f = holdfast.start("restore", "-f", "-follow-interval", "100ms", "-o", copy,
                           replicas.url(replica))
        writer(db, rate=100, seconds=1, seed=part, vacuum_every=40).wait()
        procs.wait_until(caught_up, every=0.1, why=lambda: f.text() + p.text())
        assert f.stop() == 0, f.text()
        assert dbtool.integrity(copy) == "ok"
        writer(db, rate=50, seconds=1.5, seed=part + 10).wait()
    assert p.stop() == 0


def test_litestream_takes_over_our_path(litestream, holdfast, make_db, tmp_path):
    db, replica = make_db(rows=400), str(tmp_path / "replica")
    c = conf(tmp_path, db, replica)
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    grow(db, replica, 8)
    assert p.stop() == 0
    top = replicas.top_txid(replica)
    dbtool.commit(db, 3)
    p = litestream.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.top_txid(replica) > top, why=p.text)
    dbtool.commit(db, 3)
    time.sleep(3)
    dbtool.commit(db, 3)
    assert p.stop() == 0
    for name, program in (("theirs", litestream), ("ours", holdfast)):
        out = str(tmp_path / (name + ".db"))
        program("restore", "-o", out, replicas.url(replica)).ok()
        replicas.assert_same_pages(db, out, tmp_path)


def test_we_take_over_its_path(litestream, holdfast, make_db, tmp_path):
    """The position comes from the highest TXID of all levels; only what differs is shipped."""
    db, replica = make_db(rows=5000, body=1000), str(tmp_path / "replica")
    size = os.path.getsize(db)
    assert size > 4 << 20
    c = conf(tmp_path, db, replica)
    p = litestream.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.files(replica), why=p.text)
    states = grow(db, replica, 8)
    time.sleep(2)
    assert p.stop() == 0
    top, before = replicas.top_txid(replica), replicas.sizes(replica)
    assert top >= max(states)
    # an L0 level that retention emptied must not start the count anew
    for _, _, path in replicas.files(replica)[:-1]:
        os.unlink(path)
    dbtool.commit(db, 3)
    quiet = replicas.config(str(tmp_path / "us.yml"), {db: dict(SYNC, type="file", path=replica)})
    p = holdfast.start("replicate", "-config", quiet)
    procs.wait_until(lambda: replicas.top_txid(replica) > top, why=p.text)
    assert replicas.top_txid(replica) == top + 1
    dbtool.commit(db, 3)
    assert p.stop() == 0
    new = {f: n for f, n in replicas.sizes(replica).items() if f not in before}
    assert new and sum(new.values()) < size / 20, "a full image: %s" % new
    for name, program in (("theirs", litestream), ("ours", holdfast)):
        out = str(tmp_path / (name + ".db"))
        program("restore", "-o", out, replicas.url(replica)).ok()
        replicas.assert_same_pages(db, out, tmp_path)


def test_back_and_forth(litestream, holdfast, make_db, writer, tmp_path):
    """Four changes of hands with writers running throughout; both can restore at each."""
    db, replica = make_db(rows=100), str(tmp_path / "replica")
    c = conf(tmp_path, db, replica)
    for turn, program in enumerate((holdfast, litestream, holdfast, litestream)):
        w = writer(db, rate=100, seconds=1.5, seed=turn)
        top = replicas.top_txid(replica)
        p = program.start("replicate", "-config", c)
        procs.wait_until(lambda t=top: replicas.top_txid(replica) > t, why=p.text)
        w.wait()
        assert p.stop() == 0, p.text()
        for name, reader in (("theirs", litestream), ("ours", holdfast)):
            out = str(tmp_path / ("%s%d.db" % (name, turn)))
            reader("restore", "-o", out, replicas.url(replica)).ok()
            replicas.assert_same_pages(db, out, tmp_path, turn=turn, reader=name)


def test_form_of_the_replica_is_kept(litestream, holdfast, make_db, clone, tmp_path):
    """A replica in frame form (Litestream up to 0.5.15) stays readable for it."""
    db, replica = make_db(rows=10), str(tmp_path / "replica")
    frame = replicas.config(str(tmp_path / "frame.yml"),
                            {db: dict(SYNC, type="file", path=replica, **{"page-format": "frame"})})
    holdfast("replicate", "-once", "-config", frame).ok()
    dbtool.commit(db, 2)
    auto = replicas.config(str(tmp_path / "auto.yml"), {db: dict(SYNC, type="file", path=replica)})
    holdfast("replicate", "-once", "-config", auto).ok()
    assert len(replicas.files(replica)) == 2
    for _, _, path in replicas.files(replica):
        with open(path, "rb") as f:
            assert f.read(106)[104:106] == b"\0\0", path
    shutil.rmtree(replica)
    replicas.remove_state(db)
    holdfast("replicate", "-once", "-config", auto).ok()
    with open(replicas.files(replica)[-1][2], "rb") as f:
        assert f.read(106)[104:106] == b"\0\1"

"""status and reset: what local files say, and forgetting it."""
import os
import sqlite3

import pytest

import dbtool
import procs


def config(tmp_path, *dbs):
    path = tmp_path / "holdfast.yml"
    path.write_text("dbs:\n" + "".join(
        "  - {path: %s, replica: {path: %s-replica, sync-interval: 20ms}}\n" % (d, d) for d in dbs))
    return str(path)


def rows(result):
    return {os.path.basename(r["path"]): r for r in result.ok().json()["databases"]}


def state_of(db):
    return os.path.join(os.path.dirname(db), ".%s-holdfast" % os.path.basename(db))


def once(holdfast, db):
    holdfast("replicate", "-once", db, "file://%s-replica" % db).ok()


def test_every_kind(holdfast, make_db, tmp_path):
    good, fresh, bad = make_db("good.db"), make_db("fresh.db"), make_db("bad.db")
    missing = str(tmp_path / "missing.db")
    conf = config(tmp_path, good, fresh, bad, missing)
    for db in good, bad:
        once(holdfast, db)
    with open(os.path.join(state_of(bad), "position"), "r+b") as f:
        f.seek(12)
        f.write(b"\xff")
    r = holdfast("status", "-config", conf, "--json")
    got = rows(r)
    assert r.json()["schema"] == "holdfast.status/1"
    assert {k: v["status"] for k, v in got.items()} == {
        "good.db": "ok", "fresh.db": "not initialized", "bad.db": "error", "missing.db": "no database"}
    assert int(got["good.db"]["local_txid"], 16) >= 1
    assert got["fresh.db"]["local_txid"] is None and got["missing.db"]["wal_bytes"] is None
    assert "position is damaged" in got["bad.db"]["error"]
    version = tuple(int(x) for x in r.json()["sqlite"]["version"].split("."))
    assert r.json()["sqlite"]["has_wal_reset_race"] == ((3, 7, 0) <= version <= (3, 51, 2))
    text = holdfast("status", "-config", conf).ok()
    assert text.out.splitlines()[0].split("  ")[0] == "database"
    assert [l.split()[1] for l in text.out.splitlines()[1:]] == ["ok", "not", "error", "no"]
    assert ("warning: SQLite %s can" % r.json()["sqlite"]["version"] in text.err) == \
        r.json()["sqlite"]["has_wal_reset_race"]


def test_columns_are_litestreams(holdfast, litestream, make_db, tmp_path):
    db = make_db()
    conf = config(tmp_path, db)
    ours, theirs = (p("status", "-config", conf).ok().out.splitlines()[0].split()
                    for p in (holdfast, litestream))
    assert ours == theirs


def test_one_dash_json_is_litestreams(holdfast, litestream, make_db, tmp_path):
    """-json is what scripts around Litestream read; --json is an object with a schema."""
    db = make_db()
    conf = config(tmp_path, db)
    once(holdfast, db)
    for words in (("ltx", "-config", conf, db), ("databases", "-config", conf), ("status", "-config", conf)):
        ours, theirs = (p(words[0], "-json", *words[1:]).ok().json() for p in (holdfast, litestream))
        assert len(ours) == len(theirs) == 1 and set(theirs[0]) <= set(ours[0]), words
        if words[0] == "ltx":
            assert all(ours[0][k] == theirs[0][k] for k in ("level", "min_txid", "max_txid", "size"))
        assert holdfast(words[0], "--json", *words[1:]).ok().json()["schema"] == "holdfast.%s/1" % words[0]


@pytest.mark.parametrize("old", ["snapshots", "generations"])
def test_commands_of_03_name_their_heir(holdfast, old, tmp_path):
    r = holdfast(old, "file://%s" % tmp_path)
    assert r.code == 2 and "holdfast ltx -level" in r.err


def test_txid_follows_commits_and_needs_no_configuration(holdfast, make_db, tmp_path):
    db = make_db()
    p = holdfast.start("replicate", "--sync-interval", "20ms", db, "file://%s-replica" % db)

    def txid():
        return int(rows(holdfast("status", db, "--json"))["app.db"]["local_txid"] or "0", 16)

    first = procs.wait_until(txid, why=p.text)
    c = sqlite3.connect(db)  # the last connection that closes takes the log away
    c.execute("PRAGMA user_version = 7")
    procs.wait_until(lambda: txid() > first, why=p.text)
    assert rows(holdfast("status", db, "--json"))["app.db"]["wal_bytes"] > 0
    c.close()
    assert p.stop() == 0


def test_standby(holdfast, make_db, tmp_path):
    db, copy = make_db(), str(tmp_path / "copy.db")
    once(holdfast, db)
    p = holdfast.start("restore", "-f", "-o", copy, "file://%s-replica" % db)
    procs.wait_until(lambda: os.path.exists(copy), why=p.text)
    procs.wait_until(lambda: rows(holdfast("status", copy, "--json"))["copy.db"]["status"] == "standby",
                     why=p.text)
    holdfast("reset", copy).failed(2, "copy that `restore -f` keeps", "-force")
    assert p.stop() == 0


def test_unknown_database(holdfast, tmp_path):
    assert rows(holdfast("status", tmp_path / "nope.db", "--json"))["nope.db"]["status"] == "no database"
    holdfast("reset", tmp_path / "nope.db").failed(3, "database does not exist", "nope.db")
    holdfast("reset").failed(2, "database path required")
    holdfast("status", "-config", tmp_path / "nope.yml").failed(3, "nope.yml")


@pytest.mark.parametrize("flags", [[], ["-dry-run"]])
def test_reset(holdfast, make_db, tmp_path, flags):
    db = make_db()
    once(holdfast, db)
    keep = os.path.join(state_of(db), "somebody-elses")
    with open(keep, "w") as f:
        f.write("x")
    before = dbtool.digest(db)
    r = holdfast("reset", *flags, db).ok()
    assert "position" in r.out
    left = sorted(os.listdir(state_of(db)))
    if flags:
        assert "position" in left and "Would remove" in r.out
        return
    assert left == ["somebody-elses"]
    assert dbtool.digest(db) == before
    assert rows(holdfast("status", db, "--json"))["app.db"]["status"] == "not initialized"
    # What was committed meanwhile arrives with the next start, and the replica goes on.
    n = len(os.listdir(db + "-replica/ltx/0"))
    top = dbtool.commit(db, 3)
    once(holdfast, db)
    assert len(os.listdir(db + "-replica/ltx/0")) > n
    out = str(tmp_path / "out.db")
    holdfast("restore", "-o", out, "file://%s-replica" % db).ok()
    assert dbtool.last_seq(out) == top
    dbtool.assert_same(db, out)


def test_reset_twice(holdfast, make_db):
    db = make_db()
    once(holdfast, db)
    holdfast("reset", db).ok()
    assert not os.path.exists(state_of(db))
    assert "no local state" in holdfast("reset", db).ok().out
    assert holdfast("reset", db, "--json").ok().json()["removed"] == []

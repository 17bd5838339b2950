"""restore -all: every database of a configuration, once and following, out of its replicas alone."""
import glob
import json
import os
import shutil

import dbtool
import procs


def fleet(tmp_path, make_db):
    """Three databases in two tiers, and a directory of three more; the configuration and their paths."""
    listed = [make_db("src/%s.db" % n) for n in ("a", "b", "c")]
    in_dir = [make_db("src/many/%s" % n) for n in ("x.db", "y.db", "deep/z.db")]
    make_db("src/many/other.sqlite")
    conf = tmp_path / "fleet.yml"
    text = "tiers:\n  p0: {sync-interval: 20ms}\n  p1: {sync-interval: 50ms}\ndbs:\n"
    for db, tier in zip(listed, ("p0", "p1", "p1")):
        text += "  - {path: %s, tier: %s, replica: {path: %s}}\n" % (
            db, tier, tmp_path / "rep" / os.path.basename(db))
    text += "  - {dir: %s, pattern: '*.db', recursive: true, watch: true, tier: p0, replica: {path: %s}}\n" % (
        tmp_path / "src" / "many", tmp_path / "rep" / "many")
    conf.write_text(text)
    return str(conf), listed + in_dir


def rows(text):
    """{source: row} of the newest object in JSON lines, or of one object; {} before the first."""
    lines = [l for l in text.splitlines() if l.startswith('{"schema"')]
    return {r["db_path"]: r for r in json.loads(lines[-1])["databases"]} if lines else {}


def mapped(tmp_path, db):
    return db.replace(str(tmp_path / "src"), str(tmp_path / "copy"))


def remove(db):
    for path in glob.glob(db + "*"):
        os.remove(path)


def map_flag(tmp_path):
    return "-map=%s=%s" % (tmp_path / "src", tmp_path / "copy")


def test_all_without_the_source(holdfast, make_db, tmp_path):
    conf, dbs = fleet(tmp_path, make_db)
    holdfast("replicate", "-once", "-config", conf).ok()
    os.rename(tmp_path / "src", tmp_path / "kept")  # the machine is gone
    r = holdfast("restore", "-all", "-config", conf, map_flag(tmp_path), "-parallelism", "3").ok()
    assert "6 databases: 6 restored" in r.out
    for db in dbs:
        dbtool.assert_same(db.replace("/src/", "/kept/"), mapped(tmp_path, db))
    assert not os.path.exists(tmp_path / "copy/many/other.sqlite")
    # Again: what is there is not touched, and each one is named.
    r = holdfast("restore", "-all", "-config", conf, map_flag(tmp_path)).failed(
        4, "6 of 6 databases failed", "copy/a.db (exists)")
    assert "6 failed" in r.out
    r = holdfast("restore", "-all", "-config", conf, map_flag(tmp_path), "-if-db-not-exists").ok()
    assert "6 skipped" in r.out
    # Without a map they go where they came from.
    holdfast("restore", "-all", "-config", conf).ok()
    for db in dbs:
        dbtool.assert_same(db.replace("/src/", "/kept/"), db)


def test_tiers_dry_run_and_json(holdfast, make_db, tmp_path):
    conf, dbs = fleet(tmp_path, make_db)
    holdfast("replicate", "-once", "-config", conf).ok()
    r = holdfast("restore", "-all", "-config", conf, "-tier", "p1,p0", map_flag(tmp_path), "-dry-run", "-json").ok()
    got = r.json()
    assert got["schema"] == "holdfast.restore-all/1"
    names = [d["db_path"] for d in got["databases"]]
    assert names[:2] == dbs[1:3] and sorted(names) == sorted(dbs)  # p1 first, as asked for
    assert all(d["state"] == "planned" and d["bytes"] > 0 and int(d["txid"], 16) >= 1 for d in got["databases"])
    assert not os.path.exists(tmp_path / "copy")
    r = holdfast("restore", "-all", "-config", conf, "-tier", "p1", map_flag(tmp_path), "-json").ok()
    assert [d["db_path"] for d in r.json()["databases"]] == dbs[1:3]
    assert sorted(os.listdir(tmp_path / "copy")) == ["b.db", "c.db"]
    holdfast("restore", "-all", "-config", conf, "-tier", "p7").failed(2, "no database has tier: p7")


def test_one_damaged_replica_fails_alone(holdfast, make_db, tmp_path):
    conf, dbs = fleet(tmp_path, make_db)
    holdfast("replicate", "-once", "-config", conf).ok()
    bad = glob.glob(str(tmp_path / "rep/b.db/ltx/*/*.ltx"))
    for path in bad:
        with open(path, "r+b") as f:
            f.seek(150)
            f.write(b"\xff" * 20)
    shutil.rmtree(tmp_path / "rep/c.db")
    r = holdfast("restore", "-all", "-config", conf, map_flag(tmp_path), "-json").failed(
        5, "2 of 6 databases failed", "b.db (corrupt)", "c.db (not-found)")
    state = {os.path.basename(d["db_path"]): d["state"] for d in r.json()["databases"]}
    assert state == {"a.db": "restored", "b.db": "failed", "c.db": "failed", "x.db": "restored",
                     "y.db": "restored", "z.db": "restored"}
    assert not os.path.exists(mapped(tmp_path, dbs[1]))
    assert not glob.glob(str(tmp_path / "copy/*.tmp-*"))
    # With a second replica that is whole it is taken from there.
    remove(mapped(tmp_path, dbs[0]))
    shutil.copytree(tmp_path / "rep/a.db", tmp_path / "second")
    text = open(conf).read().replace("tier: p0, replica: {path: %s}" % (tmp_path / "rep/a.db"),
                                     "tier: p0, replicas: [{path: %s, name: near}, {path: %s, name: far}]" %
                                     (tmp_path / "rep/a.db", tmp_path / "second"))
    for path in glob.glob(str(tmp_path / "rep/a.db/ltx/*/*.ltx")):
        os.truncate(path, 120)
    open(conf, "w").write(text)
    holdfast("restore", "-all", "-config", conf, map_flag(tmp_path), "-if-db-not-exists", "-if-replica-exists",
             "-tier", "p0").ok()
    dbtool.assert_same(dbs[0], mapped(tmp_path, dbs[0]))
    remove(mapped(tmp_path, dbs[0]))
    holdfast("restore", "-all", "-config", conf, map_flag(tmp_path), "-if-db-not-exists", "-tier", "p0",
             "-replica", "near").failed(5, "a.db (corrupt)")


def test_follow_all(holdfast, make_db, tmp_path):
    conf, dbs = fleet(tmp_path, make_db)
    late = dbs[1]
    os.rename(late, late + ".later")
    args = ("restore", "-all", "-f", "-config", conf, map_flag(tmp_path), "-follow-interval", "100ms", "-json")
    p = holdfast.start(*args)
    procs.wait_until(lambda: {r["state"] for r in rows(p.text()).values()} == {"waiting"}, why=p.text)
    primary = holdfast.start("replicate", "-config", conf)
    there = set(dbs) - {late}

    def following(names):
        got = rows(p.text())
        return all(got.get(n, {}).get("state") == "following" for n in names)
    # Those of the directory are found in the replica, once they are there.
    procs.wait_until(lambda: following(there), timeout=60, why=lambda: p.text() + primary.text())
    assert rows(p.text())[late]["state"] == "waiting"
    os.rename(late + ".later", late)
    newer = make_db("src/many/new.db")
    procs.wait_until(lambda: following([late, newer]), timeout=60, why=lambda: p.text() + primary.text())
    everyone = dbs + [newer]
    tops = {db: dbtool.commit(db, 3) for db in everyone}

    def has_all():
        return all(dbtool.last_seq(mapped(tmp_path, db)) == tops[db] for db in everyone)
    procs.wait_until(has_all, timeout=60, why=lambda: p.text()[-2000:])
    got = rows(p.text())
    assert all(r["lag_ms"] >= 0 and r["checked_ms"] >= 0 for r in got.values() if r["files"] > 0), got
    # Killed and started again it goes on with the copies it has.
    before = {db: os.stat(mapped(tmp_path, db)).st_ino for db in everyone}
    p.kill()
    tops = {db: dbtool.commit(db, 2) for db in everyone}
    p = holdfast.start(*args)
    procs.wait_until(has_all, timeout=60, why=lambda: p.text()[-2000:])
    assert before == {db: os.stat(mapped(tmp_path, db)).st_ino for db in everyone}
    assert p.stop() == 0
    assert primary.stop() == 0
    for db in everyone:
        dbtool.assert_same(db, mapped(tmp_path, db))


def test_follow_tells_what_failed(holdfast, make_db, tmp_path):
    conf, dbs = fleet(tmp_path, make_db)
    holdfast("replicate", "-once", "-config", conf).ok()
    make_db("copy/a.db")  # somebody else's
    p = holdfast.start("restore", "-all", "-f", "-config", conf, map_flag(tmp_path), "-follow-interval", "50ms",
                       "-tier", "p0,p1", "-json")
    procs.wait_until(lambda: sorted(r["state"] for r in rows(p.text()).values()) == ["failed"] + ["following"] * 5,
                     timeout=60, why=p.text)
    assert "not a copy that is followed" in rows(p.text())[dbs[0]]["error"]
    assert p.stop() == 4
    assert "1 of 6 databases failed: %s (exists)" % mapped(tmp_path, dbs[0]) in p.text()


def test_wrong_use(holdfast, make_db, tmp_path):
    conf, _ = fleet(tmp_path, make_db)
    holdfast("restore", "-all", "-config", conf, "a.db").failed(2, "takes no database or URL: a.db")
    holdfast("restore", "-all", "-config", conf, "-o", "/x").failed(2, "-o is for one database", "-map")
    holdfast("restore", "-all", "-config", conf, "-map", "/a").failed(2, "'/a' is not two absolute paths")
    holdfast("restore", "-all", "-config", conf, "-map", "/a=b").failed(2, "'/a=b' is not two absolute paths")
    holdfast("restore", "-tier", "p0", "a.db").failed(2, "-tier and -map go with -all")
    clash = "-map=%s=/x/s,%s=/x/s" % (tmp_path / "src/a.db", tmp_path / "src/b.db")
    holdfast("restore", "-all", "-config", conf, clash).failed(2, "would both become /x/s")
    holdfast("restore", "-all", "-config", conf, "-timestamp", "2001-01-01T00:00:00Z", "-json").failed(
        3, "databases failed", "not-found")

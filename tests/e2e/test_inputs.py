"""Bad input to the commands: the exit code of docs/exit-codes.md, one clear line on stderr (and at most
one hint), and nothing left behind."""
import os

import pytest

import dbtool
import procs
import replicas

GOOD_TXID = "0000000000000001"


@pytest.fixture
def place(holdfast, tmp_path):
    """A database, its replica, and things that are neither."""
    db = str(tmp_path / "app.db")
    dbtool.create(db)
    rep = str(tmp_path / "rep")
    holdfast("replicate", "-once", db, replicas.url(rep)).ok()
    dbtool.commit(db, 2)
    holdfast("replicate", "-once", db, replicas.url(rep)).ok()
    (tmp_path / "text.txt").write_text("this is no database, whatever its name says\n" * 40)
    (tmp_path / "dir.db").mkdir()
    (tmp_path / "out.db").write_text("something that is there already")
    (tmp_path / "bad.yml").write_text("dbs:\n  - path: /x.db\n    replica:\n      path: /x\n"
                                      "      sync-intervall: 1s\n")
    (tmp_path / "sync.yml").write_text("dbs:\n  - path: %s\n    replica:\n      url: file://%s\n"
                                       "      sync-interval: ten\n" % (db, rep))
    (tmp_path / "noyaml.yml").write_text("dbs: [\n")
    (tmp_path / "empty.yml").write_text("")
    (tmp_path / "good.yml").write_text("dbs:\n  - path: %s\n    replica:\n      url: file://%s\n"
                                       % (db, rep))
    (tmp_path / "emptyrep" / "ltx" / "0").mkdir(parents=True)
    (tmp_path / "garbage" / "ltx" / "0").mkdir(parents=True)
    (tmp_path / "garbage" / "ltx" / "0" / (GOOD_TXID + "-" + GOOD_TXID + ".ltx")).write_text("x" * 500)
    return tmp_path


# (why, arguments with {d} for the directory, exit code, words of the message)
CASES = [
    ("no command", "", 2, []),
    ("unknown command, near a known one", "restor", 2, ["restor", "did you mean restore"]),
    ("unknown flag", "restore -forse -o {d}/n.db file://{d}/rep", 2, ["forse"]),
    ("flag without its value", "restore file://{d}/rep -o", 2, ["-o"]),
    ("not a URL", "replicate {d}/app.db {d}/rep", 2, ["not a URL", "file://"]),
    ("a store that is not built in", "replicate -once {d}/app.db nats://host/bucket/x", 11, ["nats"]),
    ("an unknown scheme", "replicate -once {d}/app.db foo://host/x", 2, ["foo"]),
    ("no URL", "replicate {d}/app.db", 2, ["URL"]),
    ("no configuration of that name", "replicate -config {d}/none.yml", 3, ["none.yml"]),
    ("unknown key: said, and ignored as Litestream does", "databases -config {d}/bad.yml", 0, ["bad.yml:5:7", "sync-intervall", "sync-interval"]),
    ("no duration", "replicate -config {d}/sync.yml", 2, ["sync.yml:5", "sync-interval", "ten"]),
    ("no YAML", "replicate -config {d}/noyaml.yml", 2, ["noyaml.yml"]),
    ("no databases", "replicate -config {d}/empty.yml", 2, ["empty.yml", "no database"]),
    ("both a file and a database", "replicate -config {d}/good.yml {d}/app.db file://{d}/rep", 2,
     ["not both"]),
    ("flags that need -once", "replicate -force-snapshot {d}/app.db file://{d}/rep", 2, ["-once"]),
    ("once and exec", "replicate -once -exec true {d}/app.db file://{d}/rep", 2, ["-exec"]),
    ("target exists", "restore -o {d}/out.db file://{d}/rep", 4, ["out.db", "-force"]),
    ("no -o with a URL", "restore file://{d}/rep", 2, ["-o"]),
    ("no replica there", "restore -o {d}/n.db file://{d}/nowhere", 3, ["nowhere"]),
    ("an empty replica", "restore -o {d}/n.db file://{d}/emptyrep", 3, ["emptyrep"]),
    ("a damaged replica", "restore -o {d}/n.db file://{d}/garbage", 5, [GOOD_TXID, "byte 0"]),
    ("target's directory is missing", "restore -o {d}/no/such/n.db file://{d}/rep", 0, []),
    ("target is a directory", "restore -o {d}/dir.db file://{d}/rep", 2, ["dir.db"]),
    ("target below a file", "restore -o {d}/text.txt/n.db file://{d}/rep", 3, ["text.txt"]),
    ("not a TXID", "restore -o {d}/n.db -txid zzz file://{d}/rep", 2, ["-txid", "zzz"]),
    ("TXID not there yet", "restore -o {d}/n.db -txid 00000000000000ff file://{d}/rep", 10,
     ["00000000000000ff", "0000000000000002"]),
    ("not a time", "restore -o {d}/n.db -timestamp yesterday file://{d}/rep", 2, ["yesterday"]),
    ("time before all", "restore -o {d}/n.db -timestamp 2001-01-01T00:00:00Z file://{d}/rep", 10,
     ["2001"]),
    ("time after all", "restore -o {d}/n.db -timestamp 2101-01-01T00:00:00Z file://{d}/rep", 10,
     ["2101"]),
    ("TXID and time", "restore -o {d}/n.db -txid 0000000000000001 -timestamp 2101-01-01T00:00:00Z "
     "file://{d}/rep", 2, ["-txid", "-timestamp"]),
    ("an integrity check that is none", "restore -o {d}/n.db -integrity-check some file://{d}/rep", 2,
     ["integrity-check", "some"]),
    ("a database the file does not name", "restore -config {d}/good.yml {d}/other.db", 3,
     ["other.db"]),
    ("a URL and a file", "restore -config {d}/good.yml -o {d}/n.db file://{d}/rep", 2, ["-config"]),
    ("a level there is not", "ltx -level 12 file://{d}/rep", 2, ["12"]),
    ("ltx of nothing", "ltx file://{d}/nowhere", 3, ["nowhere"]),
    ("ltx without a name", "ltx", 2, []),
    ("config check of a bad file", "config check -config {d}/bad.yml", 2, ["sync-intervall"]),
    ("nothing to do: the database is there", "restore -if-db-not-exists -o {d}/out.db file://{d}/rep",
     0, []),
    ("nothing to do: no replica", "restore -if-replica-exists -o {d}/n.db file://{d}/nowhere", 0, []),
]


@pytest.mark.parametrize("why,args,code,words", CASES, ids=[c[0].replace(" ", "-") for c in CASES])
def test_bad_input(holdfast, place, why, args, code, words):
    before = sorted(os.listdir(place))
    r = holdfast(*[a.format(d=place) for a in args.split()])
    said = "%s: exit %d\n%s%s" % (why, r.code, r.out, r.err)
    assert r.code == code, said
    lines = [x for x in r.err.splitlines() if x.strip()]
    if code and args:
        assert 1 <= len(lines) <= (3 if "config check" in args else 2), said
        assert lines[0].startswith("holdfast"), said
    for w in words:
        assert w in r.err, "%r is not said\n%s" % (w, said)
    if code:
        assert sorted(os.listdir(place)) == before, said


@pytest.mark.parametrize("name,word", [("text.txt", "not a SQLite database"), ("dir.db", "dir.db")])
def test_replicating_what_is_no_database(holdfast, place, name, word):
    c = replicas.config(str(place / "x.yml"), {str(place / name): str(place / "rx")},
                        **{"shutdown-sync-timeout": "300ms"})
    r = holdfast("replicate", "-once", "-config", c)
    assert r.code not in (0, 70) and r.code < 128, r.out + r.err
    assert word in r.err, r.err
    assert not replicas.files(str(place / "rx"))


def test_one_bad_database_does_not_stop_the_others(holdfast, place):
    good, bad = str(place / "app.db"), str(place / "text.txt")
    c = replicas.config(str(place / "x.yml"), {bad: str(place / "r1"), good: str(place / "r2")},
                        **{"shutdown-sync-timeout": "300ms"})
    p = holdfast.start("replicate", "-config", c)
    procs.wait_until(lambda: replicas.files(str(place / "r2")), why=p.text)
    dbtool.commit(good, 2)
    assert p.stop() != 0
    out = str(place / "copy.db")
    holdfast("restore", "-o", out, replicas.url(place / "r2")).ok()
    replicas.assert_same_pages(good, out, place)

"""The source gets another page size while copies follow it: by VACUUM, or because another database takes
its place. Nothing can be applied across that, so the copy is made anew beside the old one, and readers
find one or the other, whole."""
import os
import sqlite3
import subprocess
import sys
import threading

import pytest

import dbtool
import procs
import replicas

LEVELS = dict(replicas.SHORT_LEVELS, **{"l0-retention": "1s"})


def change_page_size(db, size):
    subprocess.run([sys.executable, "-c",
                    "import sqlite3,sys; c=sqlite3.connect(sys.argv[1],timeout=20,isolation_level=None)\n"
                    "for s in ('journal_mode=delete', 'page_size='+sys.argv[2]): c.execute('PRAGMA '+s).fetchall()\n"
                    "c.execute('VACUUM'); c.execute('PRAGMA journal_mode=wal').fetchall(); c.close()",
                    db, str(size)], check=True)


def replace_by_another(db, size):
    replicas.remove_db(db)
    dbtool.create(db, rows=40, page_size=size)
    dbtool.commit(db, 3)


def replicated(holdfast, config, db, change):
    """The source moves on while nobody replicates it: we would keep it from leaving WAL mode."""
    change()
    dbtool.commit(db, 2)
    holdfast("replicate", "-once", "-config", config).ok()


def is_copy(db, copy):
    return os.path.exists(copy) and dbtool.digest(copy) == dbtool.digest(db)


def read_on(copy, stop, seen, bad):
    while not stop.is_set():
        try:
            seen.add(dbtool.last_seq(copy))
            assert dbtool.integrity(copy) == "ok"
        except sqlite3.OperationalError:
            pass    # locked for an instant
        except Exception as e:
            bad.append(e)


@pytest.mark.parametrize("how", ["vacuum", "replaced"])
@pytest.mark.parametrize("who", ["one", "all"])
def test_page_size_changes_under_a_follower(holdfast, make_db, tmp_path, how, who):
    db, replica = make_db(rows=200), str(tmp_path / "replica")
    config = replicas.config(str(tmp_path / "c.yml"), {db: replica}, **LEVELS)
    holdfast("replicate", "-once", "-config", config).ok()
    if who == "one":
        copy = str(tmp_path / "copy.db")
        argv = ["restore", "-f", "-follow-interval", "50ms", "-o", copy, replicas.url(replica)]
    else:
        copy = str(tmp_path / "standby") + db
        argv = ["restore", "-all", "-f", "-follow-interval", "50ms", "-config", config, "-map",
                "/=" + str(tmp_path / "standby") + "/"]
    f = holdfast.start(*argv)
    procs.wait_until(lambda: is_copy(db, copy), why=f.text)
    stop, seen, bad = threading.Event(), set(), []
    reader = threading.Thread(target=read_on, args=(copy, stop, seen, bad))
    reader.start()
    try:
        for size in (1024, 8192):
            change = change_page_size if how == "vacuum" else replace_by_another
            replicated(holdfast, config, db, lambda s=size, c=change: c(db, s))
            procs.wait_until(lambda: is_copy(db, copy), why=f.text, timeout=40)
            dbtool.commit(db, 2)
            holdfast("replicate", "-once", "-config", config).ok()
            procs.wait_until(lambda: is_copy(db, copy), why=f.text)
    finally:
        stop.set()
        reader.join()
    assert not bad and seen, bad
    assert "copy-made-anew" in f.text()
    assert f.stop() == 0, f.text()
    assert dbtool.integrity(copy) == "ok"
    assert not [n for n in os.listdir(os.path.dirname(copy)) if "anew" in n or ".tmp" in n]
    replicas.assert_same_pages(db, copy, tmp_path)

"""The store is away for a long time, then back: a small fleet that is written to all the while loses nothing,
holds its bounds of memory and disk, says so once each way, and needs nobody.

Seconds usually, an hour with --long. GONE_SECONDS and GONE_REPORT (a file for the figures) by hand:

    HOLDFAST_BIN=build/holdfast GONE_SECONDS=3600 GONE_REPORT=gone.json .venv/bin/python -m pytest \\
        tests/e2e/test_store_gone.py
"""
import json
import os
import re
import time

import pytest

import azure
import dbtool
import procs
import replicas

LEVELS = {"levels": [{"interval": "10s"}, {"interval": "1m"}]}
# (commits a second, bytes of a body): ten a second in all; in an hour the first goes beyond what is kept of one
# database, the last beyond its spool
LOADS = [(4, 20000), (2, 200), (1, 200)] + [(0.2, 200)] * 10 + [(1, 20000)]
SPOOLED = 4  # so many of the last have a second replica, on files
SPILL, SPOOL, RSS = 268, 4 * 64 + 32, 160    # MiB: HF_LIMIT_SPILL_BYTES, HF_LIMIT_SPOOL_BYTES of four, and some air


def memory(pid):
    """Resident MiB."""
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def below(path):
    """Bytes below a directory."""
    n = 0
    for d, _, files in os.walk(path):
        for f in files:
            try:
                n += os.lstat(os.path.join(d, f)).st_size
            except OSError:
                pass
    return n


class Fleet:
    def __init__(self, holdfast, writer, make_db, container, tmp_path, loads):
        self.holdfast, self.tmp, self.loads = holdfast, tmp_path, loads
        self.dbs = [make_db("live/%02d.db" % i, rows=200) for i in range(len(loads))]
        how = {"sync-interval": "1s", "name": "far"}
        entries = {}
        for i, db in enumerate(self.dbs):
            far = azure.replica(container, "fleet/%02d" % i, **how)
            near = {"type": "file", "name": "near", "path": str(tmp_path / "near" / str(i))}
            entries[db] = [far, near] if i >= len(loads) - SPOOLED else far
        self.config = replicas.config(str(tmp_path / "c.yml"), entries, **LEVELS)
        self.p = holdfast.start("replicate", "-config", self.config)
        self.samples = []
        self.t0 = time.monotonic()
        self.writer = writer
        self.writers = []

    def write(self, seconds):
        self.writers = [self.writer(db, rate=rate, seconds=seconds, seed=i, body=body)
                        for i, (db, (rate, body)) in enumerate(zip(self.dbs, self.loads))]

    def side(self):
        """What is beside the databases: state, spool, logs. And descriptors: spill files have no name."""
        live = str(self.tmp / "live")
        logs = sum(os.path.getsize(db + "-wal") for db in self.dbs if os.path.exists(db + "-wal"))
        fds = "/proc/%d/fd" % self.p.pid
        spilled = 0
        for fd in os.listdir(fds):
            try:
                if "(deleted)" in os.readlink(os.path.join(fds, fd)):
                    spilled += os.stat(os.path.join(fds, fd)).st_blocks * 512
            except OSError:
                pass
        state = sum(below(os.path.join(live, d)) for d in os.listdir(live) if d.endswith("-holdfast"))
        return {"logs": logs >> 20, "beside": state >> 20, "spilled": spilled >> 20}

    def sample(self, what):
        self.samples.append(dict(self.side(), t=round(time.monotonic() - self.t0, 1), what=what, rss=memory(self.p.pid)))

    def until(self, end, what, every):
        while time.monotonic() < end:
            assert self.p.alive, self.p.text()
            self.sample(what)
            time.sleep(max(0, min(every, end - time.monotonic())))

    def is_restored(self, i, seq):
        """Its replica on the store holds the last acknowledged transaction, and equals the source."""
        copy = str(self.tmp / "restored" / ("%02d.db" % i))
        replicas.remove_db(copy)
        r = self.holdfast("restore", "-config", self.config, "-replica", "far", "-o", copy, self.dbs[i], timeout=300)
        if r.code != 0 or dbtool.last_seq(copy) < seq:
            return False
        dbtool.assert_same(self.dbs[i], copy)
        return True

    def said(self, db, *events):
        """How many lines of the log are one of these, of this database."""
        return len([1 for line in self.p.text().splitlines() if "db=%s " % db in line and
                    re.search('msg="?(%s)"? ' % "|".join(events), line)])


@pytest.mark.timeout(6000)
def test_gone_for_long(azurite, container, holdfast, writer, make_db, tmp_path, is_long):
    gone = float(os.environ.get("GONE_SECONDS", 3600 if is_long else 8))
    os.makedirs(tmp_path / "live")
    loads = LOADS if gone > 60 else LOADS[:3] + LOADS[-2:]
    fleet = Fleet(holdfast, writer, make_db, container, tmp_path, loads)
    procs.wait_until(lambda: all(container.top("fleet/%02d" % i) for i in range(len(loads))), timeout=60,
                     why=fleet.p.text)
    before, after = min(60, gone), min(120, gone)
    fleet.write(before + gone + after)
    fleet.until(time.monotonic() + before, "before", 5)
    said = fleet.p.text()
    azurite.stop()
    begun = time.monotonic()
    fleet.until(begun + gone, "gone", gone / 120)
    while_gone = fleet.p.text()[len(said):]
    azurite.start()
    back = time.monotonic()
    fleet.until(back + after, "back", 2)
    acked = [w.wait(timeout=120 + gone) for w in fleet.writers]
    for i, seq in enumerate(acked):
        procs.wait_until(lambda i=i, seq=seq: fleet.is_restored(i, seq), timeout=300, every=1, why=fleet.p.text)
    fleet.sample("caught up")
    assert fleet.p.stop(timeout=120) == 0, fleet.p.text()
    report = {"gone_s": gone, "commits": sum(acked), "equal": len(acked), "samples": fleet.samples,
              "while_gone": while_gone, "log": fleet.p.text()}
    if "GONE_REPORT" in os.environ:
        with open(os.environ["GONE_REPORT"], "w") as f:
            json.dump(report, f, indent=1)
    for db in fleet.dbs:   # each way once; going on by a difference begins with a list, whose failure is one more
        failed = fleet.said(db, "upload failed", "replica unreachable")
        assert 1 <= failed <= 2 and fleet.said(db, "recovered", "replica recovered") == 1, fleet.p.text()
        assert fleet.said(db, "upkeep failed") <= 1, fleet.p.text()
    away = [x for x in fleet.samples if x["what"] == "gone"]
    assert max(x["spilled"] for x in away) <= SPILL and max(x["beside"] for x in away) <= SPOOL, away
    with open(holdfast.path, "rb") as f:
        is_sanitized = b"__asan_init" in f.read()
    if not is_sanitized:   # a sanitizer keeps what was freed
        assert max(x["rss"] for x in fleet.samples) <= RSS, fleet.samples

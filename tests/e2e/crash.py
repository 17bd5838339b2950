"""kill -9 of writers, of us, of both, at random points; after each the replica is what it must be.

A story is one database with one to three writers (mixer.py) through several rounds. A round lets them
run for a moment, kills somebody, and checks:

  always         we start again, sync and stop cleanly; what is restored is the source page by page,
                 sound, a committed state, and not behind what a writer saw acknowledged
  both killed    before that, the replica is restored as it stood: a committed state, at the newest
                 TXID that any file in it names, not behind what a restore before the kill gave
  standby        every second story has a copy that follows (restore -f), is killed now and then, shows
                 committed states only, and is the source once all is quiet

As a program: crash.py --rounds N --seed S [--jobs J]; one seed makes the same choices again (not the
same timing). It exits 1 and prints the seed of a story that fails; --keep leaves its files.
"""
import argparse
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time

import mixer
import procs
import replicas

MIXER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mixer.py")
REPORT = re.compile(r"Sanitizer|runtime error:|holdfast: bug: ")
KINDS = ("writer", "us", "both", "us-then-quiet", "stop", "once")


class Story:
    n_replicas = 1

    def __init__(self, binary, directory, seed, litestream=None):
        self.rng = random.Random(seed)
        self.seed, self.dir, self.litestream = seed, directory, litestream
        self.db = os.path.join(directory, "app.db")
        self.replicas = [os.path.join(directory, "replica%s" % (i or "")) for i in range(self.n_replicas)]
        self.replica = self.replicas[0]
        self.group = procs.Group(directory)
        self.holdfast = procs.Program(binary, self.group)
        self.writers, self.us, self.log = [], None, []
        self.has_standby = self.rng.random() < 0.5
        self.standby, self.follower = os.path.join(directory, "standby.db"), None
        mixer.create(self.db, self.rng)
        self.write_config()

    def write_config(self):
        r = self.rng
        where = [{"type": "file", "path": p, "sync-interval": r.choice(("10ms", "50ms", "300ms"))}
                 for p in self.replicas]
        self.config = replicas.config(os.path.join(self.dir, "crash.yml"), {self.db: where},
                                      levels=[{"interval": "1s"}, {"interval": "2s"}],
                                      snapshot={"interval": r.choice(("1s", "1h")), "retention": "2s"},
                                      **{"l0-retention": r.choice(("100ms", "1h"))})

    def note(self, what):
        self.log.append("%.3f %s" % (time.monotonic(), what))

    def start_us(self):
        if self.us is None:
            self.us = self.holdfast.start("replicate", "-config", self.config, "-log-level", "debug")

    def start_writers(self):
        while len(self.writers) < self.rng.choice((1, 1, 2, 3)):
            log = os.path.join(self.dir, "acks%d" % len(self.group.all))
            self.writers.append((self.group.start(
                [sys.executable, MIXER, self.db, log, self.rng.randrange(1 << 30)]), log))

    def stop_writers(self, sig):
        top = 0
        for p, log in self.writers:
            if sig == signal.SIGTERM:
                code = p.stop()
                assert code in (0, -15), "writer ended with %s: %s" % (code, p.text())
            else:
                p.kill()
            top = max(top, mixer.acked(log))
        self.writers = []
        self.acked = max(self.acked, top)

    def stop_us(self):
        procs.wait_until(lambda: "msg=replicating" in self.us.text(), why=self.us.text)
        code = self.us.stop(60)
        assert code == 0, "replicate ended with %s:\n%s" % (code, self.us.text()[-3000:])
        self.us = None

    def kill_us(self):
        if self.us is not None:
            assert self.us.alive, "replicate ended by itself:\n" + self.us.text()[-3000:]
            self.us.kill()
            self.us = None

    def restore(self, name, replica=None):
        out = os.path.join(self.dir, name)
        replica = replica or self.replica
        replicas.remove_db(out)
        is_empty = replicas.top_txid(replica) == 0
        r = self.holdfast("restore", "-json", "-o", out, replicas.url(replica))
        if r.code == 3 and is_empty:
            return None, 0
        assert r.code == 0, "restore ended with %d: %s" % (r.code, r.err)
        m = re.search(r'"txid": *"([0-9a-f]{16})"', r.out)
        return out, int(m.group(1), 16) if m else 0

    def look_at_standby(self):
        """A reader beside the follower: a committed state, or nothing yet."""
        try:
            return mixer.check(self.standby)
        except sqlite3.OperationalError as e:
            if "unable to open" in str(e) or "no such table" in str(e) or "locked" in str(e):
                return -1
            raise

    def disturb_standby(self):
        if not self.has_standby or not replicas.top_txid(self.replica):
            return
        if self.follower is None:
            self.follower = self.holdfast.start("restore", "-f", "-follow-interval", "100ms", "-o",
                                                self.standby, replicas.url(self.replica))
            return
        self.look_at_standby()
        if self.rng.random() < 0.4:
            assert self.follower.alive, "the follower ended: " + self.follower.text()
            self.follower.kill()
            self.follower = None

    def settle_standby(self, seq):
        if self.has_standby and self.follower is not None:
            procs.wait_until(lambda: self.look_at_standby() == seq, why=lambda: "standby at %d: %s" % (
                self.look_at_standby(), self.follower.text()))

    def as_it_stands(self, floor):
        """The replicas right after both were killed."""
        self.one_as_it_stands(self.replica, floor)
        for other in self.replicas[1:]:
            self.one_as_it_stands(other, 0)

    def one_as_it_stands(self, replica, floor):
        top = replicas.top_txid(replica)
        out, txid = self.restore("killed.db", replica)
        if out is None:
            assert floor == 0, "the replica is gone"
            return
        assert txid in (0, top), "restored %x of %x" % (txid, top)
        seq = mixer.check(out)
        self.note("killed: replica at %d, acknowledged %d" % (seq, self.acked))
        assert floor <= seq, "the replica went back from %d to %d" % (floor, seq)

    def middle(self):
        """A restore while everything runs: whatever it shows may not be lost again."""
        if self.rng.random() < 0.7:
            return 0
        out, _ = self.restore("middle.db")
        return mixer.check(out) if out else 0

    def round(self):
        r = self.rng
        kind = r.choice(KINDS)
        floor = 0
        self.start_us()
        self.start_writers()
        time.sleep(r.choice((0.02, 0.1, 0.1, 0.3)) + r.random() * r.choice((0.05, 0.4)))
        self.note(kind)
        self.disturb_standby()
        if kind == "writer":
            self.stop_writers(signal.SIGKILL)
        elif kind == "both":
            floor = self.middle()
            first, second = self.kill_us, lambda: self.stop_writers(signal.SIGKILL)
            if r.random() < 0.5:
                first, second = second, first
            first()
            second()
            self.as_it_stands(floor)
        elif kind == "us":
            self.kill_us()
            time.sleep(r.random() * 0.2)
        elif kind == "us-then-quiet":
            self.kill_us()
            time.sleep(r.random() * 0.1)
            self.stop_writers(r.choice((signal.SIGKILL, signal.SIGTERM)))
        elif kind == "stop":
            self.stop_us()
            time.sleep(r.random() * 0.1)
        elif kind == "once":
            self.kill_us()
        self.settle(kind)

    def settle(self, kind):
        """We run again, writers come to an end, we stop: the copy is the source."""
        if kind != "once":
            self.start_us()
            time.sleep(self.rng.choice((0, 0, 0.05, 0.2)))
        self.stop_writers(self.rng.choice((signal.SIGKILL, signal.SIGTERM)))
        if kind == "once":
            self.holdfast("replicate", "-once", "-config", self.config).ok()
        else:
            self.stop_us()
        for replica in self.replicas:
            out, _ = self.restore("out.db", replica)
            assert out is not None, "nothing to restore"
            replicas.assert_same_pages(self.db, out, self.dir, replica=replica)
            seq = mixer.check(out)
            assert seq >= self.acked, "restored %d, acknowledged %d" % (seq, self.acked)
            self.note("settled at %d, TXID %x" % (seq, replicas.top_txid(replica)))
        self.settle_standby(seq)
        if self.litestream and self.rng.random() < 0.1:
            self.ask_litestream()

    def ask_litestream(self):
        out = os.path.join(self.dir, "oracle.db")
        replicas.remove_db(out)
        procs.Program(self.litestream, self.group)("restore", "-o", out,
                                                   replicas.url(self.replica)).ok()
        replicas.assert_same_pages(self.db, out, self.dir, by="litestream")

    def run(self, rounds):
        self.acked = 0
        try:
            for _ in range(rounds):
                self.round()
                self.check_outputs()
        finally:
            self.group.stop_all()

    def check_outputs(self):
        for name, text in self.group.outputs():
            bad = [line for line in text.splitlines() if REPORT.search(line)]
            assert not bad, "%s: %s\n%s" % (name, bad[:3], text[-4000:])


def run_story(binary, seed, rounds, keep, litestream, kind=Story):
    directory = tempfile.mkdtemp(prefix="crash-")
    story = None
    try:
        story = kind(binary, directory, seed, litestream)
        story.run(rounds)
        shutil.rmtree(directory, ignore_errors=True)
        return None
    except Exception as e:
        notes = story.log if story else []
        text = "story %d: %s\n%s" % (seed, e, "\n".join(notes[-12:]))
        if keep:
            return text + "\nfiles: " + directory
        shutil.rmtree(directory, ignore_errors=True)
        return text


def run(binary, seed, rounds, per_story=8, jobs=2, keep=False, litestream=None, seconds=0,
        kind=Story):
    """Rounds over stories of their own seeds; texts of those that failed. seconds: ends early."""
    rng = random.Random(seed)
    seeds = [rng.randrange(1 << 30) for _ in range((rounds + per_story - 1) // per_story)]
    end = time.monotonic() + seconds
    failed, done = [], 0

    def one(s):
        if seconds and time.monotonic() > end:
            return None, 0
        return run_story(binary, s, per_story, keep, litestream, kind), per_story
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for text, n in pool.map(one, seeds):
            done += n
            if text:
                failed.append(text)
                print(text, flush=True)
    return failed, done


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--rounds", type=int, default=200)
    ap.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    ap.add_argument("--story", type=int, help="only the story of this seed")
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--keep", action="store_true")
    ap.add_argument("--litestream", default=os.environ.get("LITESTREAM05_BIN"))
    ap.add_argument("--binary", default=os.environ.get("HOLDFAST_BIN", "build/holdfast"))
    a = ap.parse_args()
    t0 = time.monotonic()
    if a.story is not None:
        failed, done = [run_story(a.binary, a.story, 8, a.keep, a.litestream)], 8
        print(failed[0] or "ok")
        failed = [f for f in failed if f]
    else:
        failed, done = run(a.binary, a.seed, a.rounds, jobs=a.jobs, keep=a.keep,
                           litestream=a.litestream)
    print(json.dumps({"seed": a.seed, "rounds": done, "failed": len(failed),
                      "seconds": round(time.monotonic() - t0, 1)}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

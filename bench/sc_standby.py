"""Scenario standby: see README.md."""
import os
import random
import shutil
import signal
import sqlite3
import threading
import time

from adapters import Db
from common import MB, mm
from measure import Proc, Writer, dist, last_reached, log, quiesce, read_log, wait_ready, write_spec


class Probe(threading.Thread):
    """Polls follower databases for their highest event; notes when each rose.
    A new connection per look: a follower may replace the file or write it
    without SQLite's locks."""

    def __init__(self, paths, period=0.005):
        super().__init__(daemon=True)
        self.paths, self.period = paths, period
        self.seen = {k: [] for k in paths}
        self.errors = {}
        self.looks = 0
        self.ev = threading.Event()

    def look(self, path):
        c = sqlite3.connect("file:%s?mode=ro" % path, uri=True, timeout=1)
        try:
            return c.execute("SELECT max(id) FROM events").fetchone()[0] or 0
        finally:
            c.close()

    def run(self):
        while not self.ev.is_set():
            t0 = time.monotonic()
            for k, p in self.paths.items():
                if not os.path.exists(p):
                    continue
                try:
                    m = self.look(p)
                    t = time.time()     # after the look: the latest moment it can have become visible
                    s = self.seen[k]
                    if not s or m > s[-1][1]:
                        s.append((t, m))
                except sqlite3.Error as e:
                    self.errors[str(e)[:80]] = self.errors.get(str(e)[:80], 0) + 1
            self.looks += 1
            self.ev.wait(max(self.period, 4 * (time.monotonic() - t0)))


class RestoreLoop(threading.Thread):
    """What an operator does when the tool has no follow mode: restore every
    database again and again into a new file and rename it into place."""

    def __init__(self, ctx, ad, cfg, dbs, paths, d, interval):
        super().__init__(daemon=True)
        self.__dict__.update(ctx=ctx, ad=ad, cfg=cfg, dbs=dbs, paths=paths, d=d, interval=interval)
        self.ev = threading.Event()
        self.cpu = self.rss = 0.0
        self.cycles = []
        self.errors = 0

    def once(self):
        t = time.monotonic()
        for x in self.dbs:
            o = self.paths[x.idx] + ".new"
            if os.path.exists(o):
                os.unlink(o)
            r = self.ctx.tool.timed(self.d, self.ad.restore_cmd(self.cfg, x.path, o), env=self.ad.env(),
                                    logfile=os.path.join(self.d, "follow.log"))
            self.cpu += r["cpu_user_s"] + r["cpu_sys_s"]
            self.rss = max(self.rss, r["maxrss_kb"] / 1024)
            if r["rc"] == 0 and os.path.exists(o):
                for s in ("-wal", "-shm"):
                    if os.path.exists(self.paths[x.idx] + s):
                        os.unlink(self.paths[x.idx] + s)
                os.rename(o, self.paths[x.idx])
            else:
                self.errors += 1
        self.cycles.append(time.monotonic() - t)

    def run(self):
        while not self.ev.is_set():
            self.once()
            self.ev.wait(self.interval)


def sc_standby(ctx, ad):
    a = ctx.a
    rounds = []
    ad.follow_interval = a.follow_interval
    for rnd in range(a.repeats):
        d = ctx.sub("stby")
        szs = [a.size_mb * MB] + [MB] * (a.dbs - 1)
        dbs, paths = [], {}
        fd = os.path.join(d, "follower")
        os.makedirs(fd)
        for i, s in enumerate(szs):
            x = Db(os.path.join(d, "p%d.db" % i), "p%d" % i, i, a.sync_interval or "1s")
            ctx.tool.run("gen", x.path, s, 50 + i)
            dbs.append(x)
            paths[i] = os.path.join(fd, "p%d.db" % i)
        os.sync()
        rep = ctx.replica()
        r = {"databases": len(dbs), "primary_bytes": sum(os.path.getsize(x.path) for x in dbs)}
        p = ctx.start(ad, dbs, rep, d)
        wait_ready(rep, dbs, ad, a.limit, p)
        quiesce(rep, a.quiet, a.limit)
        followers, loop = [], None
        native = ad.follow and not a.restore_loop
        t0 = time.monotonic()
        if native:
            seen = set()
            for x in dbs:
                cmd = ad.follow_cmd(p.cfg, x.path, paths[x.idx])
                if tuple(cmd) in seen:
                    continue
                seen.add(tuple(cmd))
                f = Proc(cmd, os.path.join(d, "follow%d.log" % x.idx), env=ad.env())
                ctx.procs.append(f)
                followers.append(f)
                if getattr(ad, "follow_all", False):
                    break
        else:
            loop = RestoreLoop(ctx, ad, p.cfg, dbs, paths, d, a.loop_interval)
            loop.start()
        while not all(os.path.exists(q) for q in paths.values()) and time.monotonic() - t0 < a.limit:
            time.sleep(0.05)
        r["mode"] = "follow" if native else "restore loop, %gs pause" % a.loop_interval
        r["follower_first_s"] = round(time.monotonic() - t0, 2)
        pr = Probe(paths, a.probe_ms / 1000)
        pr.start()
        tp = time.time()
        spec, logf = os.path.join(d, "spec"), os.path.join(d, "commits.log")
        write_spec(spec, dbs)
        fc0 = sum(f.cpu() for f in followers) if native else loop.cpu
        ts = time.time()
        w = Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", 3600, "--sync", a.sync, "--flush"], logf)
        time.sleep(a.seconds + random.Random(a.seed + rnd).random())
        # the primary "host" dies
        os.kill(w.p.pid, signal.SIGKILL)
        os.kill(p.pid, signal.SIGKILL)
        tk = time.time()
        w.kill9()
        p.kill9()
        r["probe_period_ms"] = round(1000 * (tk - tp) / max(1, pr.looks), 1)
        fc1 = sum(f.cpu() for f in followers) if native else loop.cpu
        r["follower_cpu_pct"] = round(100 * (fc1 - fc0) / (tk - ts), 1)
        r["follower_rss_mb"] = round((sum(f.hwm for f in followers) / 1024) if native else loop.rss, 1)
        commits = read_log(logf)
        time.sleep(0.05)
        if native:
            # promotion waits until the follower has all that the replica holds; the harness
            # learns what that is by decoding the objects, and does not charge that time
            rels = [o for o in rep.objects()]
            td = time.time()
            want = last_reached(ctx.tool, rep, d, rels)
            decode = time.time() - td
            have = {}
            while time.time() - tk < a.limit:
                have = {}
                for i, q in paths.items():
                    try:
                        have[i] = pr.look(q)
                    except sqlite3.Error:
                        have[i] = -1
                if all(have[i] >= want.get(i, 0) for i in paths):
                    break
                time.sleep(0.01)
            pr.ev.set()
            tcaught = 0.0
            for i in paths:
                h = [t for t, m in pr.seen[i] if m >= want.get(i, 0)]
                tcaught = max(tcaught, h[0] if h else time.time())
            tcaught = max(tcaught, tk)
            t1 = time.time()
            for f in followers:
                f.stop()
            r["caught_up_after_kill_s"] = round(tcaught - tk, 3)
            base = tcaught + (time.time() - t1)
        else:
            loop.ev.set()
            loop.join(a.limit)
            t1 = time.time()
            loop.once()             # the last restore, of everything the replica holds
            pr.ev.set()
            base = time.time()
            decode = 0
        t2 = time.time()
        got = {}
        okw = True
        for i, q in paths.items():
            try:
                c = sqlite3.connect(q, timeout=5)
                c.execute("PRAGMA journal_mode=WAL")
                got[i] = c.execute("SELECT max(id) FROM events").fetchone()[0] or 0
                c.execute("BEGIN IMMEDIATE")
                c.execute("UPDATE items SET priority=9 WHERE id=1")
                c.execute("COMMIT")
                c.close()
            except sqlite3.Error as e:
                okw = False
                r["open_error"] = str(e)
                got[i] = -1
        r["data_rto_s"] = round(base - tk + (time.time() - t2), 3)
        r["writable"] = okw
        r["harness_decode_s"] = round(decode, 3)
        lost = [c for c in commits if c[1] > got.get(c[0], 0)]
        r["acked"], r["lost_acked_tx"] = len(commits), len(lost)
        r["data_rpo_s"] = round(max([tk - c[2] / 1e9 for c in lost] or [0.0]), 3)
        lags = []
        for i in paths:
            s = pr.seen[i]
            k = 0
            for c in sorted((c for c in commits if c[0] == i), key=lambda c: c[1]):
                while k < len(s) and s[k][1] < c[1]:
                    k += 1
                if k < len(s) and s[k][0] < tk:
                    lags.append(s[k][0] - c[2] / 1e9)
        r["lag_visible_on_follower_s"] = dist([x for x in lags if x >= 0])
        r["visible_before_kill"] = len(lags)
        r["probe_errors"] = pr.errors or None
        if loop:
            r["loop_cycle_s"] = dist(loop.cycles)
            r["loop_errors"] = loop.errors
        bad = 0
        for i, q in paths.items():
            h = ctx.tool.hash(q, True)
            bad += h.get("integrity") != "ok"
        r["integrity_bad"] = bad
        rep.close()
        shutil.rmtree(d, ignore_errors=True)
        rounds.append(r)
        log("standby", rnd, {k: r[k] for k in ("data_rto_s", "data_rpo_s", "lost_acked_tx")})
    out = dict(rounds[-1])
    for k in ("data_rto_s", "data_rpo_s", "lost_acked_tx", "follower_cpu_pct", "follower_rss_mb", "caught_up_after_kill_s"):
        if k in rounds[0]:
            out[k] = mm([x[k] for x in rounds], 3)
    out["lag_p50_s"] = mm([(x["lag_visible_on_follower_s"] or {}).get("p50") for x in rounds], 3)
    out["integrity_bad"] = sum(x["integrity_bad"] for x in rounds)
    out["rounds"] = len(rounds)
    return out

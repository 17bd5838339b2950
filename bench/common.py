"""What the scenarios share: a run's work directory, the modelled fleet, restores, references."""
import os
import shutil
import statistics
import tempfile
import threading
import time

from adapters import Db
from azurite import AbsReplica, Azurite
from measure import HERE, FileReplica, Proc, Tool, dist, tree_bytes

MB = 1 << 20
WEIGHT = {"very-high": 40.0, "high": 10.0, "medium": 2.0, "low": 0.2}


def mm(xs, nd=4):
    xs = [x for x in xs if x is not None]
    if not xs:
        return None
    return {"min": round(min(xs), nd), "median": round(statistics.median(xs), nd), "max": round(max(xs), nd), "n": len(xs)}


class Ctx:
    """One scenario run: a work directory, maybe Azurite, and everything it starts."""

    def __init__(self, args):
        self.a = args
        self.tool = Tool()
        self.tool.autockpt = args.autockpt
        self.tool.busy_ms = args.busy_ms
        self.dir = tempfile.mkdtemp(prefix="hb.", dir=args.work)
        self.az = None
        self.n = 0
        self.procs = []
        if args.replica == "abs":
            if not args.azurite:
                raise SystemExit("--replica abs needs --azurite PATH (or AZURITE_BIN)")
            self.az = Azurite(args.azurite, self.dir, args.azurite_memory)

    def sub(self, name):
        self.n += 1
        d = os.path.join(self.dir, "%s%d" % (name, self.n))
        os.makedirs(d)
        return d

    def replica(self):
        self.n += 1
        if self.az:
            return AbsReplica(self.az, "bench%d" % self.n)
        return FileReplica(os.path.join(self.dir, "replica%d" % self.n))

    def start(self, ad, dbs, rep, d, cfgname="repl.yml"):
        cfg = os.path.join(d, cfgname)
        ad.config(cfg, dbs, rep)
        p = Proc(ad.replicate_cmd(cfg), os.path.join(d, "replicator.log"), env=ad.env())
        p.cfg = cfg
        self.procs.append(p)
        return p

    def close(self):
        for p in self.procs:
            if p.alive():
                p.kill9()
        if self.az:
            self.az.stop()
        if not self.a.keep:
            shutil.rmtree(self.dir, ignore_errors=True)


def fleet_dbs(ctx, scale, cache=None):
    """Build (or copy from the cache) the modelled fleet; [(Db, freq, tier)]"""
    rows = []
    with open(os.path.join(HERE, "fleet.tsv")) as f:
        for l in f:
            if not l.startswith("#") and l.strip():
                rows.append(l.rstrip("\n").split("\t"))
    base = os.path.join(ctx.dir, "fleet-src")
    if not os.path.isdir(base):
        os.makedirs(base)
        for i, r in enumerate(rows):
            ctx.tool.run("gen", os.path.join(base, r[0] + ".db"), max(28672, int(int(r[1]) * scale)), 1000 + i)
    d = ctx.sub("db")
    out = []
    for i, r in enumerate(rows):
        p = os.path.join(d, r[0] + ".db")
        shutil.copyfile(os.path.join(base, r[0] + ".db"), p)
        sync = r[4] if not ctx.a.sync_interval else ctx.a.sync_interval
        out.append((Db(p, r[0], i, sync, r[5]), r[2], r[3]))
    os.sync()
    return d, out


def restore_all(ctx, ad, dbs, cfg, d, integrity=True, par=1, compare=True):
    """Restore every database and compare it with the primary. -> figures"""
    out = os.path.join(d, "restored%d" % time.monotonic_ns())
    os.makedirs(out)
    walls, cpus, rss, bad = [], [], [], []
    t0 = time.monotonic()
    for db in dbs:
        o = os.path.join(out, db.name + ".db")
        r = ctx.tool.timed(d, ad.restore_cmd(cfg, db.path, o), env=ad.env(), logfile=os.path.join(d, "restore.log"))
        walls.append(r["wall_s"])
        cpus.append(r["cpu_user_s"] + r["cpu_sys_s"])
        rss.append(r["maxrss_kb"] / 1024)
        if r["rc"] != 0 or not os.path.exists(o):
            bad.append({"db": db.name, "why": "restore rc %s" % r["rc"]})
            continue
        if not compare:
            continue
        h, g = ctx.tool.hash(o, integrity), ctx.tool.hash(db.path)
        if h.get("hash") != g.get("hash") or (integrity and h.get("integrity") != "ok") or h.get("error"):
            bad.append({"db": db.name, "why": "differs", "restored": h, "primary": ctx.tool.hash(db.path, integrity)})
        for suf in ("", "-wal", "-shm"):
            try:
                os.unlink(o + suf)
            except OSError:
                pass
    shutil.rmtree(out, ignore_errors=True)
    return {"databases": len(dbs), "equal": len(dbs) - len(bad), "bad": bad[:5], "wall_s": dist(walls), "cpu_s_sum": round(sum(cpus), 3),
            "maxrss_mb": round(max(rss), 1) if rss else None}


def sizes(ad, objs):
    s = [o[1] for r, o in objs.items() if ad.is_snapshot(r)]
    i = [o[1] for r, o in objs.items() if not ad.is_snapshot(r)]
    return {"snapshot_objects": len(s), "snapshot_bytes": sum(s), "increment_objects": len(i), "increment_bytes": sum(i)}


def iodelta(a, b):
    return {k: b.get(k, 0) - a.get(k, 0) for k in ("rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes")}


class WalWatch(threading.Thread):
    """The peak size of one WAL (and now and then of everything beside the database), looked at every
    20 ms: a WAL that is reset between two looks of a second would never be seen at its height."""

    def __init__(self, db_path, folder=None, period=0.02):
        super().__init__(daemon=True)
        self.wal, self.db, self.folder, self.period = db_path + "-wal", db_path, folder, period
        self.peak = self.side = self.looks = 0
        self.ev = threading.Event()
        self.start()

    def run(self):
        while not self.ev.wait(self.period):
            try:
                self.peak = max(self.peak, os.stat(self.wal).st_size)
            except OSError:
                pass
            if self.folder and self.looks % 12 == 0:
                self.side = max(self.side, tree_bytes(self.folder)[1] - os.path.getsize(self.db))
            self.looks += 1

    def stop(self):
        self.ev.set()
        self.join(3)
        return self.peak


def put_ref(d, size=16384, seconds=2.0, limit=20000, fsync=True):
    """Objects a second that this directory takes: write, fsync, rename."""
    os.makedirs(d, exist_ok=True)
    data = os.urandom(size)
    t, n = time.monotonic(), 0
    while time.monotonic() - t < seconds and n < limit:
        q = os.path.join(d, "%s%d" % ("s" if fsync else "o", n))
        with open(q + ".tmp", "wb") as g:
            g.write(data)
            if fsync:
                os.fsync(g.fileno())
        os.rename(q + ".tmp", q)
        n += 1
    return n / (time.monotonic() - t)


def copy_ref(src, dst):
    t = time.monotonic()
    with open(src, "rb", buffering=0) as f, open(dst, "wb", buffering=0) as g:
        b = bytearray(MB)
        while True:
            n = f.readinto(b)
            if not n:
                break
            g.write(memoryview(b)[:n])
        os.fsync(g.fileno())
    t = time.monotonic() - t
    os.unlink(dst)
    return t

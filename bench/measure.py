"""Measuring: processes (/proc), replica object logs (files, Azurite), lag."""
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
REC = struct.Struct("<IIQQII")


def log(*a):
    print("[%s]" % time.strftime("%H:%M:%S"), *a, file=sys.stderr, flush=True)


def pct(xs, p):
    return xs[min(len(xs) - 1, int(len(xs) * p))] if xs else None


def dist(xs, nd=3):
    """min/p50/p90/p99/max of a list"""
    xs = sorted(xs)
    if not xs:
        return None
    return {"n": len(xs), "min": round(xs[0], nd), "p50": round(pct(xs, .5), nd), "p90": round(pct(xs, .9), nd),
            "p99": round(pct(xs, .99), nd), "max": round(xs[-1], nd)}


def tree_bytes(root):
    n = b = 0
    for dp, _, fs in os.walk(root):
        for f in fs:
            try:
                b += os.lstat(os.path.join(dp, f)).st_size
                n += 1
            except OSError:
                pass
    return n, b


# ---------------------------------------------------------------- processes
class Proc:
    """A child process with CPU/memory sampled from /proc. Stopped by its pid."""

    def __init__(self, argv, logfile, env=None, period=0.2, sample=True):
        self.argv = argv
        self.logfile = logfile
        self.f = open(logfile, "ab")
        self.log_from = self.f.tell()       # a restarted replicator appends to the same file
        self.t0 = time.time()
        self.p = subprocess.Popen(argv, stdout=self.f, stderr=self.f, stdin=subprocess.DEVNULL, env=env)
        self.pid = self.p.pid
        self.hwm = self.anon = self.threads = self.fds = 0
        self.last_cpu = 0.0
        self.last_io = {}
        self.stop_ev = threading.Event()
        self.th = None
        if sample:
            self.th = threading.Thread(target=self._loop, args=(period,), daemon=True)
            self.th.start()

    def alive(self):
        return self.p.poll() is None

    def children(self):
        """pids of the children that live now, theirs included"""
        out, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            try:
                for t in os.listdir("/proc/%d/task" % pid):
                    with open("/proc/%d/task/%s/children" % (pid, t)) as f:
                        todo += [int(x) for x in f.read().split()]
            except OSError:
                pass
            if pid != self.pid:
                out.append(pid)
        return out

    def _times(self):
        """user, system seconds: its own, of children it has waited for, of children that live"""
        user = system = 0
        for pid in [self.pid] + self.children():
            try:
                with open("/proc/%d/stat" % pid) as f:
                    s = f.read().rsplit(")", 1)[1].split()
            except OSError:
                if pid == self.pid:
                    raise
                continue
            user += int(s[11]) + int(s[13])
            system += int(s[12]) + int(s[14])
        return user / TICK, system / TICK

    def cpu(self):
        try:
            user, system = self._times()
            self.last_cpu = user + system
        except (OSError, IndexError):
            pass
        return self.last_cpu

    def cpu_split(self):
        try:
            return self._times()
        except (OSError, IndexError):
            return None, None

    def io(self):
        try:
            with open("/proc/%d/io" % self.pid) as f:
                self.last_io = {k: int(v) for k, v in (l.split(": ") for l in f.read().split("\n") if l)}
        except OSError:
            pass
        return dict(self.last_io)

    def mem(self):
        try:
            with open("/proc/%d/status" % self.pid) as f:
                d = dict(l.split(":\t", 1) for l in f.read().split("\n") if ":\t" in l)
            self.hwm = max(self.hwm, int(d["VmHWM"].split()[0]))
            self.anon = max(self.anon, int(d["RssAnon"].split()[0]))
            self.threads = max(self.threads, int(d["Threads"]))
            rss, anon = int(d["VmRSS"].split()[0]), int(d["RssAnon"].split()[0])
            kids = sum(map(self._rss, self.children()))
            self.hwm = max(self.hwm, rss + kids)    # a child's memory is ours, too
            return rss + kids, anon
        except (OSError, KeyError):
            return None, None

    @staticmethod
    def _rss(pid):
        try:
            with open("/proc/%d/statm" % pid) as f:
                return int(f.read().split()[1]) * PAGE_KB
        except (OSError, IndexError):
            return 0

    def count_fds(self):
        try:
            self.fds = len(os.listdir("/proc/%d/fd" % self.pid))
        except OSError:
            pass
        return self.fds

    def _loop(self, period):
        while not self.stop_ev.wait(period):
            if self.p.poll() is not None:
                return
            self.mem()
            self.cpu()
            self.io()

    def stop(self, sig=signal.SIGTERM, timeout=60):
        self.stop_ev.set()
        if self.th:
            self.th.join(2)
        self.mem(), self.cpu(), self.io()
        rc = self.p.poll()
        if rc is None:
            os.kill(self.pid, sig)
            try:
                rc = self.p.wait(timeout)
            except subprocess.TimeoutExpired:
                log("pid %d did not stop in %ss; SIGKILL" % (self.pid, timeout))
                os.kill(self.pid, signal.SIGKILL)
                rc = self.p.wait()
        self.f.close()
        return rc

    def kill9(self):
        return self.stop(signal.SIGKILL)

    def log_errors(self, n=3):
        try:
            with open(self.logfile, errors="replace") as f:
                f.seek(self.log_from)
                e = [l.strip()[:300] for l in f if re.search(r"level=(ERROR|error|WARN)|panic|fatal|cannot|failed", l)]
        except OSError:
            return {"count": 0}
        return {"count": len(e), "first": e[:n]}


class Tool:
    autockpt = 1000         # SQLite's default, as an unprepared application has it
    busy_ms = 1000          # what we ask of applications

    def __init__(self):
        self.bin = os.environ.get("HBTOOL")
        if not self.bin:
            out = os.path.join(os.environ.get("TMPDIR", "/tmp"), "hbtool.%d" % os.getuid(), "hbtool")
            os.makedirs(os.path.dirname(out), exist_ok=True)
            src = os.path.join(HERE, "hbtool.c")
            if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(src):
                subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", out + ".new", src, "-lsqlite3"], check=True)
                os.rename(out + ".new", out)
            self.bin = out

    def run(self, *a, **k):
        return subprocess.run([self.bin, *map(str, a)], check=True, capture_output=True, text=True, **k).stdout

    def hash(self, db, integrity=False):
        r = subprocess.run([self.bin, "hash", db] + (["i"] if integrity else []), capture_output=True, text=True)
        try:
            return json.loads(r.stdout)
        except ValueError:
            return {"error": "hash: rc %d %s" % (r.returncode, r.stderr[:200])}

    def timed(self, tmp, argv, env=None, logfile=None, timeout=600):
        """Run argv to its end; its rusage, with a true max RSS."""
        out = os.path.join(tmp, "rusage.%d.json" % threading.get_ident())
        with open(logfile or os.devnull, "ab") as f:
            try:
                subprocess.run([self.bin, "run", out, *argv], stdout=f, stderr=f, stdin=subprocess.DEVNULL,
                               env=env, timeout=timeout)
            except subprocess.TimeoutExpired:
                return {"rc": "timeout", "wall_s": timeout, "cpu_user_s": 0, "cpu_sys_s": 0, "maxrss_kb": 0}
        with open(out) as f:
            return json.load(f)


class Writer:
    """hbtool write: started, then started its clock when it prints ready."""

    def __init__(self, tool, spec, opts, logf=None):
        self.p = subprocess.Popen([tool.bin, "write", spec, *map(str, opts), "--autockpt", str(tool.autockpt),
                                   "--busy-ms", str(tool.busy_ms)] + (["--log", logf] if logf else []),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.first = self.p.stdout.readline()
        if "ready" not in self.first:
            raise RuntimeError("writer: " + self.p.stderr.read()[:500])

    def wait(self):
        out, err = self.p.communicate()
        try:
            r = json.loads(out.strip().split("\n")[-1])
        except ValueError:
            r = {"error": err[:300]}
        if err:
            r["stderr"] = err[:300]
        return r

    def term(self):
        if self.p.poll() is None:
            os.kill(self.p.pid, signal.SIGTERM)
        return self.wait()

    def kill9(self):
        if self.p.poll() is None:
            os.kill(self.p.pid, signal.SIGKILL)
        self.p.communicate()


def write_spec(path, dbs, weights=None):
    with open(path, "w") as f:
        for i, d in enumerate(dbs):
            f.write("%u %g %s\n" % (d.idx, weights[i] if weights else 1, d.path))


def read_log(path):
    """[(db, seq, commit_ns, lat_us, wal_frames)] of a writer's commit log"""
    try:
        with open(path, "rb") as f:
            b = f.read()
    except OSError:
        return []
    return [(r[0], r[2], r[3], r[4], r[1]) for r in REC.iter_unpack(b[:len(b) // REC.size * REC.size])]


# ---------------------------------------------------------------- replicas
class FileReplica:
    kind = "file"

    def __init__(self, root, period=0.25):
        self.root = root
        os.makedirs(root, exist_ok=True)
        self.seen = {}          # rel -> (visible time, size); kept after deletion
        self.live = set()
        self.req = {}
        self.ev = threading.Event()
        self.period = period
        self.lock = threading.Lock()
        self.th = threading.Thread(target=self._loop, daemon=True)
        self.th.start()

    def entry(self, name):
        return {"type": "file", "path": os.path.join(self.root, name)}

    def scan(self):
        live = set()
        st = [self.root]
        while st:
            d = st.pop()
            try:
                with os.scandir(d) as it:
                    for e in it:
                        if e.is_dir(follow_symlinks=False):
                            st.append(e.path)
                        elif not e.name.endswith((".tmp", ".lock")):
                            try:
                                s = e.stat(follow_symlinks=False)
                            except OSError:
                                continue
                            rel = e.path[len(self.root) + 1:]
                            live.add(rel)
                            old = self.seen.get(rel)
                            # ctime is set by the rename that makes the object visible
                            if old is None:
                                self.seen[rel] = (s.st_ctime_ns / 1e9, s.st_size)
                            elif old[1] != s.st_size:
                                self.seen[rel] = (s.st_ctime_ns / 1e9, s.st_size)
            except OSError:
                pass
        self.live = live

    def _loop(self):
        while not self.ev.is_set():
            t = time.monotonic()
            with self.lock:
                self.scan()
            # at most about 4 % of one core goes into looking
            self.ev.wait(max(self.period, 25 * (time.monotonic() - t)))

    def refresh(self):
        with self.lock:
            self.scan()
            return dict(self.seen)

    def objects(self):
        """{rel: (visible_time, size)}, deleted objects included when they were seen"""
        return self.refresh()

    def localize(self, rels, tmp):
        return {r: os.path.join(self.root, r) for r in rels}

    def requests(self):
        return {}

    def close(self):
        self.ev.set()
        self.th.join(5)

    def clear(self):
        with self.lock:
            shutil.rmtree(self.root, ignore_errors=True)
            os.makedirs(self.root, exist_ok=True)
            self.seen, self.live = {}, set()


# ---------------------------------------------------------------- lag
def unpack(path):
    """The LTX files of one of holdfast's packs, each in a file of its own (docs/formats/pack.md)."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:8] != b"HFPACK01":
        return [path]
    out, at = [], 64
    for i in range(int.from_bytes(data[12:16], "big")):
        start, size = (int.from_bytes(data[at + k:at + k + 8], "big") for k in (24, 32))
        at += 52 + int.from_bytes(data[at + 50:at + 52], "big")
        if size:
            out.append("%s.%d.ltx" % (path, i))
            with open(out[-1], "wb") as f:
                f.write(data[start:start + size])
    return out


def scan_objects(tool, replica, rels, tmp):
    """{rel: ({db: highest seq}, status)}: which commits an object reaches"""
    d = os.path.join(tmp, "scan%d" % time.monotonic_ns())
    os.makedirs(d)
    loc = replica.localize(rels, d)
    inv = {q: r for r, p in loc.items() for q in (unpack(p) if r.endswith(".pack") else [p])}
    out = subprocess.run([tool.bin, "scan", "auto"], input="".join(p + "\n" for p in inv), capture_output=True, text=True).stdout
    res = {}
    for line in out.split("\n"):
        if "\t" not in line:
            continue
        a, p = line.split("\t", 1)
        f = a.split()
        seqs, status = res.get(inv[p], ({}, 0))
        for db, seq in ((int(v) for v in x.split(":")) for x in f[1:]):
            seqs[db] = max(seq, seqs.get(db, 0))
        res[inv[p]] = (seqs, min(status, int(f[0])))
    shutil.rmtree(d, ignore_errors=True)
    return res


def lag(tool, replica, commits, adapter, tmp, since=0.0, only=None):
    """Commit -> visible in the replica, exactly: the first object whose decoded
    pages hold the commit's marker (or a later one of the same database). only:
    {(db, seq)} of the commits that count."""
    objs = {r: o for r, o in replica.objects().items() if o[0] >= since}
    inc = [r for r in objs if not adapter.is_snapshot(r) and "/packs-" not in r]
    res = scan_objects(tool, replica, inc, tmp)
    bad = sum(1 for r in inc if r not in res or res[r][1] < 0)
    reach = {}
    for r, (m, st) in res.items():
        for db, seq in m.items():
            reach.setdefault(db, []).append((objs[r][0], seq))
    per = {}
    for c in commits:
        if only is None or (c[0], c[1]) in only:
            per.setdefault(c[0], []).append((c[1], c[2] / 1e9))
    lags, missing = [], 0
    last_visible = 0.0
    missing_db = set()
    for db, cs in per.items():
        cs.sort()
        rs = sorted(reach.get(db, []))
        i = 0
        for t, seq in rs:
            while i < len(cs) and cs[i][0] <= seq:
                lags.append(max(0.0, t - cs[i][1]))
                i += 1
                last_visible = max(last_visible, t)
        if i < len(cs):
            missing += len(cs) - i
            missing_db.add(db)
    d = dist(lags) or {}
    d.update({"method": "decoded objects", "uncovered_commits": missing, "uncovered_dbs": len(missing_db),
              "undecodable_objects": bad})
    return d, last_visible


def last_reached(tool, replica, tmp, rels=None):
    """{db: highest seq in the replica} over increments and snapshots"""
    res = scan_objects(tool, replica, rels if rels is not None else list(replica.objects()), tmp)
    out = {}
    for m, _ in res.values():
        for db, s in m.items():
            out[db] = max(out.get(db, 0), s)
    return out


def last_commits(logf):
    out = {}
    for c in read_log(logf):
        out[c[0]] = max(out.get(c[0], 0), c[1])
    return out


def wait_covered(tool, replica, tmp, want, limit):
    """Wait until the replica's objects reach commit want[db] of every database:
    the wait in seconds, or None when the limit came first."""
    t0 = time.monotonic()
    fn = getattr(replica, "quick", None) or replica.refresh
    done, reach = {}, {}
    while True:
        cur = fn()
        new = [r for r, o in cur.items() if done.get(r) != o and "/packs-" not in r]  # markers hold no changes
        if new:
            # the size of a file may still grow: decode again when it changed
            for r, (m, st) in scan_objects(tool, replica, new, tmp).items():
                if st >= 0:
                    done[r] = cur[r]
                for db, s in m.items():
                    reach[db] = max(reach.get(db, 0), s)
        if all(reach.get(k, 0) >= v for k, v in want.items()):
            return round(time.monotonic() - t0, 3)
        if time.monotonic() - t0 > limit:
            return None
        time.sleep(0.2)


def quiesce(replica, quiet, limit):
    """Wait until no object has appeared for `quiet` seconds; the wait, or None."""
    t0 = time.monotonic()
    fn = getattr(replica, "quick", None) or replica.refresh
    n, since = -1, time.monotonic()
    while time.monotonic() - t0 < limit:
        t = time.monotonic()
        k = len(fn())
        if k != n:
            n, since = k, time.monotonic()
        elif time.monotonic() - since >= quiet:
            return round(since - t0, 3)
        time.sleep(max(0.1, 5 * (time.monotonic() - t)))
    return None


def settle(proc, replica, seconds, quiet, limit):
    """Until the process is `seconds` old and its replica at rest; the CPU seconds it took so far.
    Litestream 0.5 re-reads its first, database-sized file every second until its checkpoint after a
    minute: what comes before that is start-up, not idling."""
    time.sleep(max(0.3, proc.t0 + seconds - time.time()))
    quiesce(replica, quiet, limit)
    return round(proc.cpu(), 2)


def wait_ready(replica, dbs, adapter, limit, proc):
    """Until every database has an object in the replica: seconds, or None."""
    t0 = time.monotonic()
    fn = getattr(replica, "quick", None) or replica.refresh
    names = {d.name for d in dbs}
    while time.monotonic() - t0 < limit:
        t = time.monotonic()
        have = {r.split("/", 1)[0] for r in fn()}
        if names <= have:
            return round(time.time() - proc.t0, 3)
        if not proc.alive():
            return None
        time.sleep(max(0.05, 5 * (time.monotonic() - t)))   # looking must not be the load
    return None

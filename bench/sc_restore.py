"""Scenario restore: see README.md."""
import os
import re
import shutil
import statistics
import subprocess
import time

from adapters import Db
from common import MB, copy_ref, mm, sizes
from azurite import Blob
from measure import Writer, quiesce, wait_ready, write_spec


LTX = re.compile(r"/(\d)/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$")


def needed(objs):
    """What a restore reads: the newest snapshot, then what leads on from it, highest levels first."""
    found = sorted((-int(m[1]), int(m[2], 16), int(m[3], 16), o) for o, m in ((o, LTX.search(o)) for o in objs) if m)
    snapshots = [f for f in found if f[0] == -9]
    best = max(snapshots, key=lambda f: f[2]) if snapshots else None
    wanted, pos = ([best[3]], best[2]) if best else ([], 0)
    for level, first, last, o in found:
        if level != -9 and last > pos and first <= pos + 1:
            wanted.append(o)
            pos = last
    return wanted


def curl_ref(ctx, rep, to):
    """Seconds for one curl process to fetch what a restore needs, and fsync."""
    os.mkdir(to)
    b = Blob(ctx.az.port)
    wanted = needed(b.list(rep.cont))
    conf = os.path.join(to, "conf")
    with open(conf, "w") as f:
        for i, o in enumerate(wanted):
            f.write('url="%s"\noutput="%s"\n' % (b.url(rep.cont, o), os.path.join(to, str(i))))
    t = time.monotonic()
    subprocess.run(["curl", "-sf", "-K", conf], check=True)
    for i in range(len(wanted)):
        fd = os.open(os.path.join(to, str(i)), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    t = time.monotonic() - t
    shutil.rmtree(to)
    return t


def sc_restore(ctx, ad):
    a = ctx.a
    d = ctx.sub("rst")
    db = Db(os.path.join(d, "big.db"), "big", 1, a.sync_interval or "1s")
    ctx.tool.run("gen", db.path, a.size_mb * MB, 11)
    os.sync()
    R = {"db_bytes": os.path.getsize(db.path)}
    rep = ctx.replica()
    p = ctx.start(ad, [db], rep, d)
    R["snapshot_ready_s"] = wait_ready(rep, [db], ad, a.limit, p)
    quiesce(rep, a.quiet, a.limit)
    R["snapshot_cpu_s"] = p.cpu()
    R["snapshot_rss_peak_mb"] = round(p.hwm / 1024, 1)
    spec = os.path.join(d, "spec")
    write_spec(spec, [db])
    w = Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", a.seconds, "--sync", a.sync]).wait()
    R["increment_writer"] = {k: w.get(k) for k in ("committed", "wal_appended_bytes", "elapsed_s")}
    quiesce(rep, a.quiet, a.limit)
    R["stop_rc"] = p.stop()
    quiesce(rep, 1, 10)
    objs = rep.objects()
    R["replica"] = sizes(ad, objs)
    prim = ctx.tool.hash(db.path)
    size = os.path.getsize(db.path)
    R["final_db_bytes"] = size
    walls, cpus, rss, ok, curls = [], [], [], [], []
    for i in range(a.repeats):
        if ctx.az:  # what it is held against, and it in turn
            curls.append(curl_ref(ctx, rep, os.path.join(d, "curl")))
        o = os.path.join(d, "out%d.db" % i)
        r = ctx.tool.timed(d, ad.restore_cmd(p.cfg, db.path, o), env=ad.env(), logfile=os.path.join(d, "restore.log"), timeout=a.limit)
        walls.append(r["wall_s"])
        cpus.append(r["cpu_user_s"] + r["cpu_sys_s"])
        rss.append(r["maxrss_kb"] / 1024)
        h = ctx.tool.hash(o, i == 0) if os.path.exists(o) else {"error": "no file"}
        ok.append(r["rc"] == 0 and h.get("hash") == prim.get("hash") and h.get("integrity") in ("ok", "skipped"))
        if i == 0:
            R["integrity"], R["rows"] = h.get("integrity"), h.get("rows")
            if not ok[-1]:
                R["first_bad"] = {"rc": r["rc"], "restored": h, "primary": prim}
        for s in ("", "-wal", "-shm"):
            try:
                os.unlink(o + s)
            except OSError:
                pass
    R["restore_wall_s"], R["restore_cpu_s"], R["restore_maxrss_mb"] = mm(walls), mm(cpus), mm(rss, 1)
    R["equal"] = "%d/%d" % (sum(ok), len(ok))
    R["restore_mb_per_s"] = round(size / MB / statistics.median(walls), 1)
    refs = []
    for i in range(a.repeats):
        refs.append(copy_ref(db.path, os.path.join(d, "cp")))
    R["ref_cp_fsync_s"] = mm(refs)
    R["restore_over_cp"] = round(statistics.median(walls) / max(1e-6, statistics.median(refs)), 2)
    if ctx.az:
        t = time.monotonic()
        tot = 0
        b = Blob(ctx.az.port)
        for rel in objs:
            st, body = b.get(rep.cont, rel)
            tot += len(body)
        R["ref_curl_fsync_s"] = mm(curls)
        R["restore_over_curl"] = round(statistics.median(walls) / max(1e-6, statistics.median(curls)), 2)
        R["ref_raw_get_all_s"] = round(time.monotonic() - t, 3)
        R["ref_raw_get_bytes"] = tot
    elif shutil.which("lz4"):
        sn = [r for r in objs if r.endswith(".lz4") and ad.is_snapshot(r)]
        if sn:
            t = time.monotonic()
            subprocess.run(["lz4", "-dfq", os.path.join(rep.root, sn[-1]), os.path.join(d, "lz4ref")], check=True)
            fd = os.open(os.path.join(d, "lz4ref"), os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
            R["ref_lz4d_snapshot_fsync_s"] = round(time.monotonic() - t, 3)
    rep.close()
    R["log"] = p.log_errors()
    return R

"""Scenario restore: see README.md."""
import os
import shutil
import statistics
import subprocess
import time

from adapters import Db
from common import MB, copy_ref, mm, sizes
from azurite import Blob
from measure import Writer, quiesce, wait_ready, write_spec


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
    p.stop()
    quiesce(rep, 1, 10)
    objs = rep.objects()
    R["replica"] = sizes(ad, objs)
    prim = ctx.tool.hash(db.path)
    size = os.path.getsize(db.path)
    R["final_db_bytes"] = size
    walls, cpus, rss, ok = [], [], [], []
    for i in range(a.repeats):
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

"""Scenario many: see README.md."""
import os
import random
import shutil
import time

from adapters import Db
from common import put_ref, iodelta, sizes
from measure import (Writer, lag, last_commits, quiesce, read_log, settle, tree_bytes, wait_covered, wait_ready,
                     write_spec)


def first_all(rep):
    """When the last database got its first object."""
    first = {}
    for rel, (t, _) in rep.objects().items():
        k = rel.split("/", 1)[0]
        first[k] = min(first.get(k, t), t)
    return max(first.values())


def warm_restart(ctx, ad, dbs, rep, d):
    """Stopped and started over a replica that is complete: until every one of some commits, made to
    1 % of the databases as soon as the process runs, is in the replica. That is when it protects
    again, whatever it says in its log."""
    act = random.Random(6).sample(dbs, max(1, len(dbs) // 100))
    spec, logf = os.path.join(d, "spec-warm"), os.path.join(d, "warm.log")
    write_spec(spec, act)
    p = ctx.start(ad, dbs, rep, d)
    w = Writer(ctx.tool, spec, ["--max-tx", 4 * len(act), "--seconds", 5, "--sync", ctx.a.sync], logf).wait()
    r = {"committed": w.get("committed"), "busy": w.get("busy"), "covered": wait_covered(ctx.tool, rep, d, last_commits(logf), ctx.a.limit) is not None}
    _, last = lag(ctx.tool, rep, read_log(logf), ad, d, p.t0)
    r["s"] = round(last - p.t0, 3) if last and r["covered"] else None
    n = len(rep.objects())
    quiesce(rep, ctx.a.quiet, 60)
    r["cpu_s"] = p.cpu()
    r["objects_later"] = len(rep.objects()) - n
    r["rss_mb"] = round(p.hwm / 1024, 1)
    p.stop()
    r["log"] = p.log_errors()
    return r


def sc_many(ctx, ad):
    a = ctx.a
    out = {}
    for n in [int(x) for x in a.counts.split(",")]:
        d = ctx.sub("many")
        dbd = os.path.join(d, "db")
        os.makedirs(dbd)
        ctx.tool.run("genmany", dbd, n, 20, 3)
        dbs = [Db(os.path.join(dbd, "d%05d.db" % i), "d%05d" % i, i, a.sync_interval or "1s") for i in range(n)]
        rep = ctx.replica()
        r = {"dir_put16k_fsync_per_s": round(put_ref(os.path.join(d, "put")), 1)}
        os.sync()
        p = ctx.start(ad, dbs, rep, d)
        r["startup_s"] = wait_ready(rep, dbs, ad, a.limit, p)
        if r["startup_s"] and rep.kind == "file":
            r["startup_s"] = round(first_all(rep) - p.t0, 3)
            r["startup_over_put"] = round(r["startup_s"] / (n / r["dir_put16k_fsync_per_s"]), 3)
        r["startup_cpu_s"] = p.cpu()
        if not p.alive():
            r["error"] = "replicator exited"
            r["rc"] = p.p.poll()
        quiesce(rep, a.quiet, a.limit)
        fn = getattr(rep, "quick", None) or rep.refresh
        r["databases_with_objects"] = len({x.split("/", 1)[0] for x in fn()})
        r["startup_cpu_s_settled"] = settle(p, rep, a.settle, a.quiet, a.limit)
        c0, t0, io0 = p.cpu(), time.monotonic(), p.io()
        s0 = p.cpu_split()
        time.sleep(a.idle)
        el = time.monotonic() - t0
        r["idle_cpu_pct"] = round(100 * (p.cpu() - c0) / el, 2)
        s1 = p.cpu_split()
        if s0[0] is not None and s1[0] is not None:
            r["idle_cpu_user_pct"], r["idle_cpu_sys_pct"] = round(100 * (s1[0] - s0[0]) / el, 2), round(100 * (s1[1] - s0[1]) / el, 2)
        io = iodelta(io0, p.io())
        r["idle_io_per_s"] = {k: round(v / el, 1) for k, v in io.items()}
        cur = p.mem()
        r["rss_mb"], r["rss_peak_mb"], r["rss_anon_peak_mb"] = round((cur[0] or 0) / 1024, 1), round(p.hwm / 1024, 1), round(p.anon / 1024, 1)
        r["threads"], r["fds"] = p.threads, p.count_fds()
        if a.seconds and p.alive():
            k = max(1, n // 100)
            act = random.Random(5).sample(dbs, k)
            spec, logf = os.path.join(d, "spec"), os.path.join(d, "commits.log")
            write_spec(spec, act)
            t1 = time.time()
            c1 = p.cpu()
            w = Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", a.seconds, "--sync", a.sync], logf).wait()
            r["active"] = {"databases": k, "committed": w.get("committed"), "lat_p50_us": w.get("lat_p50_us"), "busy": w.get("busy")}
            r["active_cpu_pct"] = round(100 * (p.cpu() - c1) / (time.time() - t1), 2)
            wait_covered(ctx.tool, rep, d, last_commits(logf), 30)
            r["lag_s"], _ = lag(ctx.tool, rep, read_log(logf), ad, d, t1)
        nf, nb = tree_bytes(dbd)
        r["local_files_per_db"] = round(nf / n, 2)
        r["local_side_bytes_per_db"] = round((nb - sum(os.path.getsize(x.path) for x in dbs)) / n, 0)
        objs = rep.objects()
        r["replica"] = sizes(ad, objs)
        r["requests"] = rep.requests() or None
        t = time.monotonic()
        p.stop()
        r["stop_s"] = round(time.monotonic() - t, 2)
        r["log"] = p.log_errors()
        r["warm_restart"] = warm_restart(ctx, ad, dbs, rep, d)
        rep.close()
        shutil.rmtree(d, ignore_errors=True)
        out[str(n)] = r
    return out

"""Scenario hot: see README.md."""
import os
import shutil
import time

import adapters
from adapters import Db
from common import MB, WalWatch, iodelta, mm, restore_all, sizes
from measure import Writer, lag, last_commits, log, quiesce, read_log, wait_covered, wait_ready, write_spec


def sc_hot(ctx, ad):
    a = ctx.a
    src = os.path.join(ctx.dir, "hot-src.db")
    ctx.tool.run("gen", src, a.size_mb * MB, 7)

    def once(adx, opts, label):
        d = ctx.sub("hot")
        db = Db(os.path.join(d, "hot.db"), "hot", 1, a.sync_interval or "1s")
        shutil.copyfile(src, db.path)
        os.sync()
        spec = os.path.join(d, "spec")
        write_spec(spec, [db])
        r = {}
        if adx.name == "none":
            alone = WalWatch(db.path)
            r["writer"] = Writer(ctx.tool, spec, opts).wait()
            r["wal_peak_bytes"] = alone.stop()
            shutil.rmtree(d)
            return r
        rep = ctx.replica()
        p = ctx.start(adx, [db], rep, d)
        r["startup_s"] = wait_ready(rep, [db], adx, a.limit, p)
        quiesce(rep, a.quiet, a.limit)
        snap = rep.objects()
        c0, t0, io0, s0 = p.cpu(), time.time(), p.io(), p.cpu_split()
        hwm0 = p.hwm
        peak = WalWatch(db.path, d)
        logf = os.path.join(d, "commits.log")
        w = Writer(ctx.tool, spec, opts, logf).wait()
        tend = time.time()
        cw = p.cpu()
        r["writer"] = w
        r["drain_wait_s"] = wait_covered(ctx.tool, rep, d, last_commits(logf), a.limit)
        c1, s1, io1 = p.cpu(), p.cpu_split(), p.io()
        peak.stop()
        n = max(1, w.get("committed", 1))
        walb = max(1, w.get("wal_appended_bytes", 1))
        r["cpu_s_per_10k_tx"] = round((c1 - c0) / n * 1e4, 3)
        r["cpu_s_per_gb_wal"] = round((c1 - c0) / (walb / 1e9), 3)
        r["cpu_user_s"], r["cpu_sys_s"] = round(s1[0] - s0[0], 2), round(s1[1] - s0[1], 2)
        r["rss_peak_mb"], r["rss_anon_peak_mb"] = round(p.hwm / 1024, 1), round(p.anon / 1024, 1)
        r["wal_peak_bytes"], r["side_peak_bytes"] = peak.peak, peak.side
        objs = rep.objects()
        new = {k: v for k, v in objs.items() if k not in snap or v[1] != snap[k][1]}
        r["written"] = sizes(adx, new)
        r["replica_over_wal"] = round(sum(v[1] for v in new.values()) / walb, 4)
        io = iodelta(io0, io1)
        r["io_over_wal"] = {k: round(io[k] / walb, 3) for k in ("rchar", "wchar", "write_bytes")}
        r["requests"] = rep.requests() or None
        r["lag_s"], last = lag(ctx.tool, rep, read_log(logf), adx, d, t0)
        r["busy"], r["writer_errors"] = w.get("busy"), w.get("errors")
        r["catch_up_s"] = round(max(0.0, last - tend), 3) if last else None
        if a.verify:
            r["restore"] = restore_all(ctx, adx, [db], p.cfg, d)
        p.stop()
        r["log"] = p.log_errors()
        rep.close()
        shutil.rmtree(d)
        return r

    none = adapters.NoReplicator("")
    small = ["--seconds", a.seconds, "--sync", a.sync]
    bulk = ["--seconds", a.limit, "--bulk-rows", a.bulk_rows, "--bulk-bytes", a.bulk_mb * MB, "--sync", a.sync]
    R = {"small": {}, "bulk": {}}
    for kind, opts in (("small", small), ("bulk", bulk)):
        base, got = [], []
        for i in range(a.repeats):
            log("hot", kind, "repeat", i)
            base.append(once(none, opts, kind))
            if ad.name != "none":
                got.append(once(ad, opts, kind))
        f = "tx_per_s" if kind == "small" else "payload_mb_per_s"
        for x in base + got:
            w = x["writer"]
            w["payload_mb_per_s"] = round(w.get("payload_bytes", 0) / MB / max(w.get("elapsed_s", 0), 1e-6), 2)
        R[kind]["writer_alone_" + f] = mm([x["writer"].get(f) for x in base], 1)
        R[kind]["writer_alone"] = base[-1]["writer"]
        R[kind]["wal_peak_alone_bytes"] = mm([b["wal_peak_bytes"] for b in base], 0)
        if got:
            R[kind]["writer_" + f] = mm([x["writer"].get(f) for x in got], 1)
            R[kind]["writer_ratio"] = mm([g["writer"][f] / b["writer"][f] for g, b in zip(got, base) if b["writer"].get(f)], 3)
            for k in ("cpu_s_per_10k_tx", "cpu_s_per_gb_wal", "rss_peak_mb", "rss_anon_peak_mb", "wal_peak_bytes",
                      "side_peak_bytes", "replica_over_wal", "catch_up_s", "busy", "writer_errors"):
                R[kind][k] = mm([g[k] for g in got], 3)
            R[kind]["lag_p50_s"] = mm([g["lag_s"].get("p50") for g in got], 3)
            R[kind]["lag_max_s"] = mm([g["lag_s"].get("max") for g in got], 3)
            R[kind]["last"] = got[-1]
    return R

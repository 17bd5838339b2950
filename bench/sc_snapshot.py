"""Scenario snapshot: see README.md."""
import os
import time

from adapters import Db
from common import MB, WalWatch, restore_all
from measure import Writer, last_commits, log, quiesce, wait_covered, write_spec


def whole(rep, size):
    """The first object that can hold the whole database: one of at least 5 % of its size."""
    fn = getattr(rep, "refresh", None) or rep.objects
    big = [t for t, n in fn().values() if n >= size * 0.05]
    return min(big) if big else None


def sc_snapshot(ctx, ad):
    """A large database gets its first snapshot while a writer never pauses: how far the WAL grows."""
    a = ctx.a
    d = ctx.sub("snap")
    db = Db(os.path.join(d, "big.db"), "big", 1, a.sync_interval or "1s")
    ctx.tool.run("gen", db.path, a.size_mb * MB, 31)
    os.sync()
    R = {"db_bytes": os.path.getsize(db.path)}
    spec, logf = os.path.join(d, "spec"), os.path.join(d, "commits.log")
    write_spec(spec, [db])
    alone = Writer(ctx.tool, spec, ["--seconds", a.seconds, "--sync", a.sync]).wait()
    if ad.name == "none":
        return {"writer_alone": alone}
    rep = ctx.replica()
    w = Writer(ctx.tool, spec, ["--seconds", a.limit, "--sync", a.sync, "--flush"], logf)
    time.sleep(0.5)
    watch = WalWatch(db.path)
    p = ctx.start(ad, [db], rep, d)
    t0, done = time.monotonic(), None
    while time.monotonic() - t0 < a.limit and p.alive():
        done = whole(rep, R["db_bytes"])
        if done or watch.peak > a.wal_limit_mb * MB:
            break
        time.sleep(0.1)
    R["stopped_at_wal_limit"] = not done and watch.peak > a.wal_limit_mb * MB
    R["snapshot_s"] = round(done - p.t0, 3) if done else None
    log("snapshot", R["snapshot_s"])
    R["wal_peak_until_snapshot_bytes"] = watch.peak
    R["snapshot_cpu_s"] = p.cpu()
    if done:
        time.sleep(a.seconds)       # and goes on as if nothing had happened
    r = w.term()
    R["writer"] = r
    R["busy"], R["writer_errors"] = r.get("busy"), r.get("errors")
    R["writer_alone_tx_per_s"], R["writer_tx_per_s"] = alone.get("tx_per_s"), r.get("tx_per_s")
    if alone.get("tx_per_s") and r.get("tx_per_s"):
        R["writer_ratio"] = round(r["tx_per_s"] / alone["tx_per_s"], 3)
    R["drain_wait_s"] = wait_covered(ctx.tool, rep, d, last_commits(logf), a.limit)
    R["wal_peak_bytes"] = watch.stop()
    R["wal_looks"] = watch.looks
    R["rss_peak_mb"] = round(p.hwm / 1024, 1)
    R["cpu_s"] = p.cpu()
    quiesce(rep, a.quiet, a.limit)
    if a.verify != 0:
        R["restore"] = restore_all(ctx, ad, [db], p.cfg, d)
    p.stop()
    R["log"] = p.log_errors()
    rep.close()
    return R

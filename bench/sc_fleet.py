"""Scenario fleet: see README.md."""
import collections
import os
import random
import re
import shutil
import time

from adapters import seconds
from common import WEIGHT, fleet_dbs, iodelta, restore_all, sizes
from measure import (Writer, lag, last_commits, quiesce, read_log, settle, tree_bytes, wait_covered, wait_ready,
                     write_spec)


def after_quiet(commits, gap):
    """Commits before which their database had been at rest for gap[db] seconds (twice its
    sync-interval: whatever came before has been shipped an interval ago). {(db, seq)}"""
    last, out = {}, set()
    for db, seq, ns, *_ in sorted(commits, key=lambda c: c[2]):
        if db not in last or ns - last[db] >= gap[db] * 1e9:
            out.add((db, seq))
        last[db] = ns
    return out


def kind_of(name):
    """What an object is, by its name: level0 to level9, pack, marker (of packs)."""
    level = re.search(r"/ltx/(\d)/[0-9a-f]", name)
    return ("marker" if "/packs-" in name else "pack" if name.endswith(".pack") else
            "level" + level[1] if level else "other")


def sc_fleet(ctx, ad):
    a = ctx.a
    R = {}
    wopts = ["--rate", a.rate, "--seconds", a.seconds, "--sync", a.sync, "--seed", a.seed]

    def write(d, fl, logf, opts):
        spec = os.path.join(d, "spec")
        write_spec(spec, [x[0] for x in fl], [WEIGHT[x[1]] for x in fl])
        return Writer(ctx.tool, spec, opts, logf)

    if not a.no_baseline or ad.name == "none":
        d, fl = fleet_dbs(ctx, a.scale)
        w = write(d, fl, None, wopts).wait()
        R["writer_alone"] = w
        if a.max_rate_seconds:
            R["writer_alone_max"] = write(d, fl, None, ["--seconds", a.max_rate_seconds, "--sync", a.sync]).wait()
        shutil.rmtree(d)
        if ad.name == "none":
            return R
    d, fl = fleet_dbs(ctx, a.scale)
    dbs = [x[0] for x in fl]
    R["databases"] = len(dbs)
    R["primary_bytes"] = sum(os.path.getsize(x.path) for x in dbs)
    rep = ctx.replica()
    azc0 = ctx.az.cpu() if ctx.az else 0
    p = ctx.start(ad, dbs, rep, d)
    R["startup_s"] = wait_ready(rep, dbs, ad, a.limit, p)
    R["startup_cpu_s"] = p.cpu()
    quiesce(rep, a.quiet, a.limit)
    R["startup_cpu_s_until_settled"] = settle(p, rep, a.settle, a.quiet, a.limit)
    R["rss_peak_mb_startup"] = round((p.mem() and p.hwm or 0) / 1024, 1)
    c0, t0 = p.cpu(), time.monotonic()
    time.sleep(a.idle)
    R["idle_cpu_pct"] = round(100 * (p.cpu() - c0) / (time.monotonic() - t0), 2)
    snap = rep.objects()
    req0 = rep.requests()
    R["initial"] = sizes(ad, snap)
    logf = os.path.join(d, "commits.log")
    io0, c1, t1, s1 = p.io(), p.cpu(), time.monotonic(), time.time()
    sp0 = p.cpu_split()
    w = write(d, fl, logf, wopts).wait()
    wall_w = time.monotonic() - t1
    R["writer"] = w
    fast = {x.idx for x in dbs if seconds(x.sync) <= 1.5}
    if a.cpu_only:
        time.sleep(2)           # what was written last is on its way
    else:
        R["drain_wait_s"] = wait_covered(ctx.tool, rep, d, {k: v for k, v in last_commits(logf).items() if k in fast}, a.limit)
    c2, t2 = p.cpu(), time.monotonic()
    sp1 = p.cpu_split()
    R["cpu_user_s"], R["cpu_sys_s"] = round(sp1[0] - sp0[0], 2), round(sp1[1] - sp0[1], 2)
    io1 = p.io()
    n = max(1, w.get("committed", 1))
    R["cpu_s_gross"] = round(c2 - c1, 3)
    idle_share = R["idle_cpu_pct"] / 100 * (t2 - t1)
    R["cpu_s_per_10k_tx"] = round((c2 - c1) / n * 1e4, 3)
    R["cpu_s_per_10k_tx_net_of_idle"] = round(max(0, c2 - c1 - idle_share) / n * 1e4, 3)
    R["window_s"] = round(t2 - t1, 2)
    io = iodelta(io0, io1)
    R["io_per_tx"] = {k: round(v / n, 2) for k, v in io.items()}
    objs = rep.objects()
    new = {k: v for k, v in objs.items() if k not in snap or v[1] != snap[k][1]}
    R["written"] = sizes(ad, new)
    R["written_by_kind"] = dict(collections.Counter(map(kind_of, new)))
    R["replica_bytes_per_tx"] = round(sum(v[1] for v in new.values()) / n, 1)
    R["objects_per_1k_tx"] = round(len(new) / n * 1000, 2)
    req1 = rep.requests()
    if req1:
        R["requests"] = {k: v - req0.get(k, 0) for k, v in req1.items() if v > req0.get(k, 0)}
        R["requests_per_1k_tx"] = round(sum(R["requests"].values()) / n * 1000, 2)
        R["azurite_cpu_s"] = round(ctx.az.cpu() - azc0, 2)
    if a.cpu_only:
        R["rss_peak_mb"] = round(p.hwm / 1024, 1)
        p.stop()
        R["log"] = p.log_errors()
        rep.close()
        return R
    commits = read_log(logf)
    slow = {x.idx for x in dbs if seconds(x.sync) > 1.5}
    if slow and a.wait_slow:
        time.sleep(1.2 * max(seconds(x.sync) for x in dbs) + 2)
    tier1 = [c for c in commits if c[0] not in slow]
    R["lag_s"], _ = lag(ctx.tool, rep, tier1, ad, d, s1)
    first = after_quiet(tier1, {x.idx: 2 * seconds(x.sync) for x in dbs})
    R["lag_s_after_quiet"], _ = lag(ctx.tool, rep, tier1, ad, d, s1, only=first)
    if slow and a.wait_slow:
        R["lag_s_slow_tier"], _ = lag(ctx.tool, rep, [c for c in commits if c[0] in slow], ad, d, s1)
    R["rss_peak_mb_fixed_rate"] = round(p.hwm / 1024, 1)
    if a.max_rate_seconds:
        logm = os.path.join(d, "commits-max.log")
        m = write(d, fl, logm, ["--seconds", a.max_rate_seconds, "--sync", a.sync]).wait()
        R["writer_max"] = m
        R["drain_after_max_s"] = wait_covered(ctx.tool, rep, d, {k: v for k, v in last_commits(logm).items() if k in fast}, a.limit)
        quiesce(rep, a.quiet, a.limit)
    R["rss_peak_mb"], R["rss_anon_peak_mb"] = round(p.hwm / 1024, 1), round(p.anon / 1024, 1)
    R["threads"], R["fds"] = p.threads, p.count_fds()
    sb = tree_bytes(d)[1]
    R["local_side_bytes"] = sb - sum(os.path.getsize(x.path) for x in dbs)
    if a.verify:
        vdb = dbs if a.wait_slow else [x for x in dbs if x.idx not in slow]
        if a.wait_slow:
            time.sleep(1.2 * max(seconds(x.sync) for x in dbs) + 2)
        quiesce(rep, a.quiet, a.limit)
        R["restore"] = restore_all(ctx, ad, vdb if a.verify >= len(vdb) else random.Random(1).sample(vdb, a.verify), p.cfg, d)
    c9 = p.cpu()
    t9 = time.monotonic()
    p.stop()
    R["stop_s"] = round(time.monotonic() - t9, 2)
    R["log"] = p.log_errors()
    rep.close()
    b, m = R.get("writer_alone_max"), R.get("writer_max")
    if b and m and b.get("tx_per_s"):
        R["writer_max_ratio"] = round(m["tx_per_s"] / b["tx_per_s"], 3)
    b = R.get("writer_alone")
    if b and b.get("lat_p50_us"):
        R["writer_p50_ratio"] = round(w["lat_p50_us"] / b["lat_p50_us"], 3)
        R["writer_cpu_ratio"] = round(w["cpu_s"] / max(b["cpu_s"], 1e-3), 3)
    return R

#!/usr/bin/env python3
"""Benchmarks of SQLite replicators: see README.md.

  bench.py run SCENARIO ADAPTER [options]       one JSON line
  bench.py compare SCENARIO A B [options]       A,B,A,B,... and ratios
  bench.py refs [options]                       this machine's physical limits
"""
import argparse
import json
import os
import platform
import signal
import sqlite3
import statistics
import sys
import time

import adapters
from common import Ctx
from measure import log
from sc_backlog import sc_backlog
from sc_crash import sc_crash
from sc_fleet import sc_fleet
from sc_hot import sc_hot
from sc_many import sc_many
from sc_refs import sc_refs
from sc_restore import sc_restore
from sc_snapshot import sc_snapshot
from sc_standby import sc_standby

SC = {"fleet": sc_fleet, "hot": sc_hot, "restore": sc_restore, "many": sc_many, "crash": sc_crash, "standby": sc_standby,
      "snapshot": sc_snapshot, "backlog": sc_backlog}
# a short run of each (<= 60 s or so) is the default; --full restores the sizes of the plan
DEF = {
    "fleet": dict(scale=0.1, rate=100, seconds=15, idle=6, max_rate_seconds=4, verify=10, repeats=1),
    "hot": dict(size_mb=20, seconds=6, bulk_mb=100, bulk_rows=4000, repeats=1, verify=1),
    "restore": dict(size_mb=200, rate=200, seconds=10, repeats=3),
    "many": dict(counts="300", idle=8, rate=20, seconds=6),
    "crash": dict(size_mb=10, rate=200, seconds=2, repeats=3),
    "standby": dict(size_mb=20, dbs=3, rate=50, seconds=8, repeats=1),
    "snapshot": dict(size_mb=200, seconds=3),
    "backlog": dict(scale=0.03, rate=100, seconds=60, verify=10),
    "refs": dict(size_mb=200),
}
FULL = {
    "fleet": dict(scale=1.0, rate=200, seconds=60, idle=20, max_rate_seconds=10, verify=1000),
    "hot": dict(size_mb=100, seconds=15, bulk_mb=1024, repeats=3),
    "restore": dict(size_mb=1024, rate=500, seconds=60, repeats=3),
    "many": dict(counts="1000,5000", idle=30, rate=50, seconds=15),
    "crash": dict(size_mb=50, seconds=4, repeats=30),
    "standby": dict(size_mb=200, dbs=10, rate=100, seconds=30, repeats=3),
    "snapshot": dict(size_mb=2048, seconds=10),
    "backlog": dict(seconds=600, verify=1000),
    "refs": dict(size_mb=1024),
}


def facts():
    cpu = ""
    try:
        with open("/proc/cpuinfo") as f:
            cpu = next(l.split(":", 1)[1].strip() for l in f if l.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"kernel": platform.release().split("-")[0], "cpu": cpu, "cores": os.cpu_count(), "loadavg": round(os.getloadavg()[0], 2),
            "sqlite": sqlite3.sqlite_version, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def one(sc, ad, args):
    ctx = Ctx(args)
    t = time.monotonic()
    try:
        r = (SC.get(sc) or sc_refs)(ctx, ad)
    finally:
        ctx.close()
    out = {"scenario": sc, "adapter": ad.name if ad else None, "version": ad.version() if ad else None, "replica": args.replica,
           "args": {k: getattr(args, k) for k in sorted(DEF.get(sc, {}))}, "wall_s": round(time.monotonic() - t, 1), "machine": facts()}
    out["args"].update({"busy_ms": args.busy_ms, "follow_interval": args.follow_interval, "settle": args.settle, "autockpt": args.autockpt, "sync": args.sync, "sync_interval": args.sync_interval})
    out["result"] = r
    return out


def leaves(x, pre=""):
    """numeric leaves of a result; a {min, median, max} counts as its median"""
    if isinstance(x, dict):
        if set(x) >= {"min", "median", "max"}:
            yield pre, x["median"]
            return
        for k, v in x.items():
            yield from leaves(v, pre + "." + k if pre else k)
    elif isinstance(x, (int, float)) and not isinstance(x, bool):
        yield pre, x


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("cmd", choices=["run", "compare", "refs"])
    ap.add_argument("rest", nargs="*", help="run: SCENARIO ADAPTER; compare: SCENARIO A B; adapters: " + ", ".join(adapters.ADAPTERS))
    ap.add_argument("--replica", choices=["file", "abs"], default="file")
    ap.add_argument("--azurite", default=os.environ.get("AZURITE_BIN"), help="path of azurite or azurite-blob (npm)")
    ap.add_argument("--azurite-memory", action="store_true")
    ap.add_argument("--work", default=os.environ.get("TMPDIR", "/tmp"), help="where work directories are made")
    ap.add_argument("--keep", action="store_true")
    ap.add_argument("--full", action="store_true", help="the plan's sizes (long)")
    ap.add_argument("--rounds", type=int, default=2, help="compare: how often each side runs")
    ap.add_argument("--sync", type=int, default=1, help="writer PRAGMA synchronous: 0, 1 or 2")
    ap.add_argument("--autockpt", type=int, default=1000, help="writer wal_autocheckpoint in pages; 0 = off, as Litestream's docs advise")
    ap.add_argument("--sync-interval", default=None, help="override every database's sync-interval, e.g. 1s")
    ap.add_argument("--quiet", type=float, default=3.0, help="seconds without a new object = settled")
    ap.add_argument("--limit", type=float, default=300, help="no wait is longer than this")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--settle", type=float, default=0, help="fleet, many: idle and load are measured when the process is this old, in seconds")
    ap.add_argument("--busy-ms", type=int, default=1000, help="the writer's busy timeout")
    ap.add_argument("--wal-limit-mb", type=int, default=12288, help="snapshot: the writer stops when the WAL is larger than this")
    ap.add_argument("--follow-interval", default=os.environ.get("BENCH_FOLLOW_INTERVAL", "1s"), help="standby: the follower's polling interval")
    ap.add_argument("--probe-ms", type=float, default=5, help="standby: how often the follower's databases are looked at")
    ap.add_argument("--no-baseline", action="store_true")
    ap.add_argument("--wait-slow", action="store_true", help="fleet: wait out the slow tiers' sync intervals (up to 30s), verify and measure them, too")
    ap.add_argument("--cpu-only", action="store_true", help="fleet: no lag and no restores, whose decoding takes minutes on abs: a long window of CPU, requests and memory")
    ap.add_argument("--modes", default="replicator,writer,both")
    ap.add_argument("--restore-loop", action="store_true", help="standby: restore in a loop though the tool can follow")
    ap.add_argument("--loop-interval", type=float, default=1.0)
    for k, t in (("scale", float), ("rate", float), ("seconds", float), ("idle", float), ("max-rate-seconds", float), ("verify", int),
                 ("repeats", int), ("size-mb", int), ("bulk-mb", int), ("bulk-rows", int), ("dbs", int), ("counts", str)):
        ap.add_argument("--" + k, type=t, default=None)
    args = ap.parse_args()
    sc = "refs" if args.cmd == "refs" else (args.rest[0] if args.rest else "")
    if sc not in DEF:
        ap.error("scenario must be one of " + ", ".join(SC))
    d = dict(DEF[sc])
    if args.full:
        d.update(FULL[sc])
    for k in ("scale", "rate", "seconds", "idle", "max_rate_seconds", "verify", "repeats", "size_mb", "bulk_mb", "bulk_rows", "dbs", "counts"):
        if getattr(args, k) is None:
            setattr(args, k, d.get(k))
    args.work = os.path.abspath(args.work)
    if args.azurite:
        args.azurite = os.path.abspath(args.azurite)
    if args.cmd == "refs":
        print(json.dumps(one("refs", None, args)))
    elif args.cmd == "run":
        if len(args.rest) != 2:
            ap.error("run SCENARIO ADAPTER")
        print(json.dumps(one(sc, adapters.make(args.rest[1]), args)))
    else:
        if len(args.rest) != 3:
            ap.error("compare SCENARIO A B")
        A, B = adapters.make(args.rest[1]), adapters.make(args.rest[2])
        ra, rb = [], []
        for i in range(args.rounds):
            for ad, lst in ((A, ra), (B, rb)):
                log("compare round", i, ad.name)
                lst.append(one(sc, ad, args))
        la = [dict(leaves(x["result"])) for x in ra]
        lb = [dict(leaves(x["result"])) for x in rb]
        ratios = {}
        for k in la[0]:
            va, vb = [x[k] for x in la if k in x], [x[k] for x in lb if k in x]
            if va and vb:
                ma, mb = statistics.median(va), statistics.median(vb)
                pr = [y / x for x, y in zip(va, vb) if x]
                ratios[k] = {"a": ma, "b": mb, "b_over_a": round(mb / ma, 4) if ma else None,
                             "pair_min": round(min(pr), 4) if pr else None, "pair_max": round(max(pr), 4) if pr else None}
        print(json.dumps({"compare": sc, "a": A.name + " " + A.version(), "b": B.name + " " + B.version(), "replica": args.replica,
                          "rounds": args.rounds, "args": ra[0]["args"], "ratios": ratios, "a_runs": ra, "b_runs": rb}))


if __name__ == "__main__":
    main()

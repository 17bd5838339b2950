#!/usr/bin/env python3
"""The table of one tool, in the form of docs/bench/litestream-0.5.17.md.

  table.py [--adapter litestream05] [--size standard] [--only RUN,...] [--save FILE.json] [--write FILE.md]
  table.py --from FILE.json [--write FILE.md]      the table again, without measuring

--only with --from measures those runs anew and keeps the rest.
"""
import argparse
import json
import sys
import time

import plan
from plan import MB


def get(r, *path):
    return plan.pick(r, *path)


def n(x, nd=3):
    return "–" if x is None else "%.*f" % (nd, x) if isinstance(x, float) else str(x)


def mb(x):
    return "–" if x is None else "%.1f" % (x / MB)


def span(x, nd=3):
    """median (lowest–highest)"""
    if not isinstance(x, dict):
        return n(x, nd)
    return n(x["median"], nd) + (" (%s–%s)" % (n(x["min"], nd), n(x["max"], nd)) if x["n"] > 1 else "")


def quart(d):
    return " / ".join(n(get(d, k)) for k in ("p50", "p99", "max")) if d else "–"


def fleet(r):
    w = r.get("written", {})
    return [
        ("CPU s per 10k tx, gross / net of idle", "%s / %s" % (n(r.get("cpu_s_per_10k_tx")), n(r.get("cpu_s_per_10k_tx_net_of_idle")))),
        ("CPU user / sys in the window, s", "%s / %s" % (n(r.get("cpu_user_s")), n(r.get("cpu_sys_s")))),
        ("idle CPU, % of one core", n(r.get("idle_cpu_pct"))),
        ("start-up: s / CPU s then / CPU s until settled (75 s old)", "%s / %s / %s" % tuple(n(r.get(k)) for k in ("startup_s", "startup_cpu_s", "startup_cpu_s_until_settled"))),
        ("RSS peak MB: start-up / fixed rate / max rate", "%s / %s / %s" % (n(r.get("rss_peak_mb_startup")), n(r.get("rss_peak_mb_fixed_rate")), n(r.get("rss_peak_mb")))),
        ("threads / fds", "%s / %s" % (n(r.get("threads")), n(r.get("fds")))),
        ("objects per 1k tx", n(r.get("objects_per_1k_tx"))),
        ("replica bytes per tx", n(r.get("replica_bytes_per_tx"))),
        ("objects written: snapshots / increments", "%s / %s" % (n(w.get("snapshot_objects")), n(w.get("increment_objects")))),
        ("local writes per tx (wchar) / reads (rchar), bytes", "%s / %s" % (n(get(r, "io_per_tx", "wchar")), n(get(r, "io_per_tx", "rchar")))),
        ("lag s p50 / p99 / max, 1 s tier, all commits", quart(r.get("lag_s"))),
        ("lag s p50 / p99 / max, 1 s tier, after a quiet interval (%s commits)" % get(r, "lag_s_after_quiet", "n"), quart(r.get("lag_s_after_quiet"))),
        ("undecodable objects / commits never covered", "%s / %s" % (get(r, "lag_s", "undecodable_objects"), get(r, "lag_s", "uncovered_commits"))),
        ("writer: max-rate ratio / p50 ratio at the fixed rate", "%s / %s" % (n(r.get("writer_max_ratio")), n(r.get("writer_p50_ratio")))),
        ("local extra bytes left, MB", mb(r.get("local_side_bytes"))),
        ("restore: equal / databases", "%s / %s" % (get(r, "restore", "equal"), get(r, "restore", "databases"))),
    ]


def fleet_fast(r):
    return [("lag s p50 / p99 / max, all commits", quart(r.get("lag_s"))),
            ("CPU s per 10k tx, gross", n(r.get("cpu_s_per_10k_tx"))), ("idle CPU, % of one core", n(r.get("idle_cpu_pct")))]


def many(r):
    r = r[next(iter(r))] if r else {}
    w = r.get("warm_restart", {})
    return [
        ("idle CPU, % of one core: all / user / sys", "%s / %s / %s" % tuple(n(r.get(k)) for k in ("idle_cpu_pct", "idle_cpu_user_pct", "idle_cpu_sys_pct"))),
        ("RSS MB: now / peak", "%s / %s" % (n(r.get("rss_mb")), n(r.get("rss_peak_mb")))),
        ("threads / fds", "%s / %s" % (n(r.get("threads")), n(r.get("fds")))),
        ("local files / side bytes per database", "%s / %s" % (n(r.get("local_files_per_db")), n(r.get("local_side_bytes_per_db")))),
        ("first start: s / CPU s / over what the directory takes", "%s / %s / %s" % tuple(n(r.get(k)) for k in ("startup_s", "startup_cpu_s", "startup_over_put"))),
        ("CPU s until settled (75 s old)", n(r.get("startup_cpu_s_settled"))),
        ("dir_put16k_fsync_per_s of the same run", n(r.get("dir_put16k_fsync_per_s"))),
        ("warm restart until protecting again: s / CPU s / new objects afterwards", "%s / %s / %s" % (n(w.get("s")), n(w.get("cpu_s")), n(w.get("objects_later")))),
        ("read system calls per s, idle", n(get(r, "idle_io_per_s", "syscr"))),
        ("lag s p50 / p99 / max with 1 % active", quart(r.get("lag_s"))),
        ("stop, s", n(r.get("stop_s"))),
    ]


def hot(r):
    out = []
    for kind in ("small", "bulk"):
        k = r.get(kind, {})
        out += [
            ("**%s**: writer's speed over alone" % kind, span(k.get("writer_ratio"))),
            ("WAL peak / all local side files, MB", "%s / %s" % (mb(get(k, "wal_peak_bytes")), mb(get(k, "side_peak_bytes")))),
            ("lag p50 / max s; catch-up after the writer stops, s", "%s / %s; %s" % (n(get(k, "lag_p50_s")), n(get(k, "lag_max_s")), span(k.get("catch_up_s")))),
            ("CPU s per 10k tx / per GB WAL", "%s / %s" % (n(get(k, "cpu_s_per_10k_tx")), n(get(k, "cpu_s_per_gb_wal")))),
            ("replica bytes / WAL bytes", n(get(k, "replica_over_wal"))),
            ("RSS peak MB", n(get(k, "rss_peak_mb"))),
            ("SQLITE_BUSY with a 1 s timeout / other errors", "%s / %s" % (n(get(k, "busy")), n(get(k, "writer_errors")))),
            ("restored copy equal", "%s of %s" % (get(k, "last", "restore", "equal"), get(k, "last", "restore", "databases"))),
        ]
    return out


def restore(r):
    return [
        ("wall s", span(r.get("restore_wall_s"))), ("CPU s", span(r.get("restore_cpu_s"))), ("max RSS MB", span(r.get("restore_maxrss_mb"), 1)),
        ("over cp + fsync", n(r.get("restore_over_cp"))), ("cp + fsync, s", span(r.get("ref_cp_fsync_s"))),
        ("first snapshot: s / CPU s / RSS MB", "%s / %s / %s" % tuple(n(r.get(k)) for k in ("snapshot_ready_s", "snapshot_cpu_s", "snapshot_rss_peak_mb"))),
        ("replica MB: snapshots / increments (database %s MB)" % mb(r.get("final_db_bytes")), "%s / %s" % (mb(get(r, "replica", "snapshot_bytes")), mb(get(r, "replica", "increment_bytes")))),
        ("equal; integrity", "%s; %s" % (r.get("equal"), r.get("integrity"))),
    ]


def snapshot(r):
    return [
        ("snapshot in the replica after, s", n(r.get("snapshot_s"))),
        ("WAL peak MB: until then / in all", "%s / %s" % (mb(r.get("wal_peak_until_snapshot_bytes")), mb(r.get("wal_peak_bytes")))),
        ("writer's speed over alone", n(r.get("writer_ratio"))), ("SQLITE_BUSY / other errors", "%s / %s" % (r.get("busy"), r.get("writer_errors"))),
        ("RSS peak MB / CPU s", "%s / %s" % (n(r.get("rss_peak_mb")), n(r.get("cpu_s")))),
        ("restored copy equal", "%s of %s" % (get(r, "restore", "equal"), get(r, "restore", "databases"))),
    ]


def standby(r):
    return [
        ("commit → visible on follower s p50 / p99 / max", quart(r.get("lag_visible_on_follower_s"))),
        ("p50 over the repeats", span(r.get("lag_p50_s"))),
        ("data RTO s / data RPO s", "%s / %s" % (span(r.get("data_rto_s")), span(r.get("data_rpo_s")))),
        ("followers' CPU % of a core / RSS MB, all processes", "%s / %s" % (span(r.get("follower_cpu_pct"), 1), span(r.get("follower_rss_mb"), 1))),
        ("looked at every, ms", n(r.get("probe_period_ms"))), ("copies that fail integrity_check", n(r.get("integrity_bad"))),
    ]


def crash(r):
    modes = ", ".join("%s %d/%d" % (m, v["failures"], v["n"]) for m, v in r.get("by_mode", {}).items())
    why = sorted({b.get("restored", {}).get("integrity", "") or b["why"] for x in r.get("rounds", []) for b in x.get("bad", [])})
    return [
        ("rounds / failures", "%s / %s" % (r.get("n"), r.get("failures"))), ("failures by mode", modes or "–"),
        ("what the restored copy says", "; ".join(why) or "–"),
        ("restores of the killed state that were no sound database", n(r.get("peek_bad"))),
        ("host killed: acked tx lost; age s", "%s; %s" % (span(r.get("rpo_lost_tx")), span(r.get("rpo_age_s")))),
        ("full snapshots taken anew", n(r.get("new_snapshots"))),
    ]


BLOCKS = {"fleet": fleet, "fleet-20ms": fleet_fast, "many": many, "hot": hot, "restore": restore, "snapshot": snapshot,
          "standby": standby, "crash": crash}
TITLES = {"fleet": "fleet: 69 databases, 100 tx/s", "fleet-20ms": "fleet with sync-interval 20 ms", "many": "2,500 idle databases, then 1 % active",
          "hot": "one database, a writer that never pauses", "restore": "restore", "snapshot": "first snapshot under a writer that never pauses",
          "standby": "a following copy", "crash": "kill -9"}


def render(data):
    runs = data["runs"]
    any_run = next(r for r in runs.values() if "machine" in r)
    m = any_run["machine"]
    loads = [r["machine"]["loadavg"] for r in runs.values() if "machine" in r]
    out = ["# %s %s, measured" % (any_run["adapter"].rstrip("05").rstrip("03").capitalize(), any_run["version"]), "",
           "Made by `bench/table.py`; what each figure means and how it is taken: `bench/README.md`. MB are 2^20 bytes.", "",
           "Machine: %s, %s cores, kernel %s, SQLite %s. Load average at the ends of the runs: %s–%s%s" % (
               m["cpu"], m["cores"], m["kernel"], m["sqlite"], min(loads), max(loads),
               "; the benchmark's own load is in it, and other work may have run beside it. CPU seconds, bytes, counts and ratios are what to quote; wall times are rough."), ""]
    for name, block in BLOCKS.items():
        r = runs.get(name)
        if not r:
            continue
        out += ["## " + TITLES[name], "", "    " + r["command"], ""]
        if "error" in r:
            out += ["No result: %s." % r["error"], ""]
            continue
        out += ["| figure | %s |" % r["version"], "|---|---|"]
        out += ["| %s | %s |" % row for row in block(r["result"])]
        out += ["", "Load average %s, run of %s s." % (r["machine"]["loadavg"], r["wall_s"]), ""]
    notes = data.get("notes")
    return "\n".join(out + ([notes.rstrip(), ""] if notes else []))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--adapter", default="litestream05")
    ap.add_argument("--size", default="standard", choices=["quick", "standard", "issue"])
    ap.add_argument("--only")
    ap.add_argument("--save", default="table.json", help="raw results, after every run")
    ap.add_argument("--write")
    ap.add_argument("--notes", help="a file with remarks that go below the table")
    ap.add_argument("--from", dest="source")
    a = ap.parse_args()
    data = {"size": a.size, "runs": {}}
    if a.source:
        with open(a.source) as f:
            data = json.load(f)
    for name in plan.RUNS:
        if (a.only is None and a.source) or (a.only and name not in a.only.split(",")):
            continue
        t = time.monotonic()
        data["runs"][name] = plan.execute(name, a.adapter, a.size)
        print("table: %s, %d s" % (name, time.monotonic() - t), file=sys.stderr, flush=True)
        with open(a.save, "w") as f:
            json.dump(data, f)
    if a.notes:
        with open(a.notes) as f:
            data["notes"] = f.read()
    text = render(data)
    if a.write:
        with open(a.write, "w") as f:
            f.write(text)
    else:
        print(text)


if __name__ == "__main__":
    main()

"""Which runs make up the table, in three sizes, and which figures of them are promised.

`issue` sizes are those the figures are promised for; `standard` keeps the two promises that depend on
size (restore, snapshot) and shortens the rest to about 15 minutes a tool; `quick` only shows that
everything runs and in which direction it points.
"""
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MB = 1 << 20

# name: (scenario, {size: options})
RUNS = {
    "fleet": ("fleet", {
        "quick": "--settle 75 --scale 0.03 --rate 100 --seconds 12 --idle 5 --max-rate-seconds 2 --verify 10",
        "standard": "--settle 75 --scale 0.25 --rate 100 --seconds 30 --idle 10 --max-rate-seconds 4 --verify 100",
        "issue": "--settle 75 --scale 0.25 --rate 100 --seconds 60 --idle 20 --max-rate-seconds 8 --verify 100 --wait-slow"}),
    "fleet-20ms": ("fleet", {
        "quick": "--settle 75 --scale 0.02 --seconds 6 --idle 2 --max-rate-seconds 0 --verify 3 --no-baseline --sync-interval 0.02s",
        "standard": "--settle 75 --scale 0.1 --seconds 15 --idle 5 --max-rate-seconds 0 --verify 10 --no-baseline --sync-interval 0.02s",
        "issue": "--settle 75 --scale 0.25 --seconds 60 --idle 10 --max-rate-seconds 0 --verify 10 --no-baseline --sync-interval 0.02s"}),
    "many": ("many", {
        "quick": "--settle 75 --counts 300 --idle 6 --seconds 3",
        "standard": "--settle 75 --counts 2500 --idle 20 --rate 50 --seconds 6",
        "issue": "--settle 75 --counts 2500 --idle 60 --rate 50 --seconds 15"}),
    "hot": ("hot", {
        "quick": "--seconds 3 --bulk-mb 60",
        "standard": "--seconds 8 --bulk-mb 512",
        "issue": "--seconds 20 --bulk-mb 512 --repeats 3"}),
    "restore": ("restore", {
        "quick": "--size-mb 100 --rate 200 --seconds 5",
        "standard": "--size-mb 1024 --rate 500 --seconds 30 --repeats 3",
        "issue": "--size-mb 1024 --rate 500 --seconds 30 --repeats 5"}),
    "snapshot": ("snapshot", {
        "quick": "--size-mb 100 --seconds 2",
        "standard": "--size-mb 2048 --seconds 5",
        "issue": "--size-mb 2048 --seconds 20"}),
    "standby": ("standby", {
        "quick": "--sync-interval 0.02s --follow-interval 20ms --seconds 5",
        "standard": "--sync-interval 0.02s --follow-interval 20ms --seconds 10 --repeats 2 --size-mb 100",
        "issue": "--sync-interval 0.02s --follow-interval 20ms --seconds 30 --repeats 3 --size-mb 200 --dbs 10 --rate 100"}),
    "crash": ("crash", {
        "quick": "--repeats 3 --seconds 1",
        "standard": "--repeats 12 --seconds 2",
        "issue": "--repeats 30 --seconds 3"}),
}


def mid(x):
    """A {min, median, max} counts as its median."""
    return x["median"] if isinstance(x, dict) and "median" in x else x


def pick(result, *path):
    """result["a"]["b"]...; "*" takes the only key there is; None when it is missing."""
    for k in path:
        if not isinstance(result, dict):
            return None
        if k == "*":
            k = next(iter(result), None)
        result = result.get(k)
    return mid(result)


def worst(result, *path):
    """The same, of repeats the highest."""
    last = pick(result, *path[:-1]) if len(path) > 1 else result
    x = last.get(path[-1]) if isinstance(last, dict) else None
    return x["max"] if isinstance(x, dict) and "median" in x else x


class Promise:
    """One line of the table. kind: 'max' and 'min' hold for our figure, 'ratio' for ours
    over theirs, 'info' promises nothing."""

    def __init__(self, run, text, unit, kind, limit, *path, nd=3, get=pick):
        self.run, self.text, self.unit, self.kind, self.limit = run, text, unit, kind, limit
        self.path, self.nd, self.get = path, nd, get

    def value(self, results):
        xs = [self.get(r["result"], *self.path) for r in results]
        xs = [x for x in xs if isinstance(x, (int, float))]
        return statistics.median(xs) if xs else None

    def show(self, v):
        if v is None:
            return "–"
        return "%.1f" % (v / MB) if self.unit == "MB" and "bytes" in self.path[-1] else "%.*f" % (self.nd, v)

    def verdict(self, ours, theirs):
        v = ours
        if self.kind == "info":
            return ""
        if self.kind == "ratio":
            v = ours / theirs if ours is not None and theirs else None
        if v is None:
            return "not measured"
        ok = v >= self.limit if self.kind == "min" else v <= self.limit
        return "ok" if ok else "missed"

    def target(self):
        lim = self.limit / MB if self.unit == "MB" and "bytes" in self.path[-1] else self.limit
        return {"max": "≤ %g %s", "min": "≥ %g %s", "ratio": "≤ %g × theirs%.0s",
                "info": "%.0s%.0s–"}[self.kind] % (lim, self.unit)


P = Promise
PROMISES = [
    P("fleet", "CPU per 10,000 transactions, 69 databases", "s", "ratio", 0.25, "cpu_s_per_10k_tx"),
    P("fleet", "the same, idle share taken off", "s", "info", 0, "cpu_s_per_10k_tx_net_of_idle"),
    P("many", "idle, 2,500 databases: CPU", "% of a core", "max", 0.5, "*", "idle_cpu_pct", nd=2),
    P("many", "idle, 2,500 databases: RSS", "MB", "max", 40, "*", "rss_mb", nd=1),
    P("many", "warm restart until protecting again", "s", "max", 2, "*", "warm_restart", "s"),
    P("many", "first start over what the directory takes", "×", "max", 1.5, "*", "startup_over_put", nd=2),
    P("fleet", "commit → replica after a quiet interval, p50", "s", "max", 0.020, "lag_s_after_quiet", "p50"),
    P("fleet", "commit → replica after a quiet interval, p99", "s", "max", 0.100, "lag_s_after_quiet", "p99"),
    P("fleet", "commit → replica, all commits, p50", "s", "max", 0.5, "lag_s", "p50"),
    P("fleet", "commit → replica, all commits, p99", "s", "max", 1.1, "lag_s", "p99"),
    P("fleet-20ms", "commit → replica, sync-interval 20 ms, p50", "s", "max", 0.020, "lag_s", "p50"),
    P("hot", "never-pausing small: WAL peak", "MB", "max", 32 * MB, "small", "wal_peak_bytes", get=worst),
    P("hot", "never-pausing small: catch-up", "s", "max", 1.2, "small", "catch_up_s", get=worst),
    P("hot", "never-pausing small: writer's speed over alone", "×", "min", 0.9, "small", "writer_ratio"),
    P("hot", "never-pausing small: SQLITE_BUSY, 1 s timeout", "", "max", 0, "small", "busy", nd=0, get=worst),
    P("hot", "never-pausing bulk: WAL peak", "MB", "max", 32 * MB, "bulk", "wal_peak_bytes", get=worst),
    P("hot", "the same, writer alone", "MB", "info", 0, "bulk", "wal_peak_alone_bytes", get=worst),
    P("hot", "never-pausing bulk: catch-up", "s", "max", 1.2, "bulk", "catch_up_s", get=worst),
    P("hot", "never-pausing bulk: writer's speed over alone", "×", "min", 0.9, "bulk", "writer_ratio"),
    P("hot", "never-pausing bulk: SQLITE_BUSY, 1 s timeout", "", "max", 0, "bulk", "busy", nd=0, get=worst),
    P("hot", "bulk writer 512 MB: peak RSS", "MB", "max", 64, "bulk", "rss_peak_mb", nd=1, get=worst),
    P("restore", "restore of 1 GiB + 15,000 transactions over cp + fsync", "×", "max", 1.5, "restore_over_cp", nd=2),
    P("restore", "restore: RSS", "MB", "max", 64, "restore_maxrss_mb", nd=1, get=worst),
    P("standby", "commit → visible on a following copy, 20 ms, p50", "s", "max", 0.050, "lag_p50_s"),
    P("snapshot", "snapshot of 2 GiB under a never-pausing writer: WAL peak", "MB", "max", 32 * MB, "wal_peak_bytes"),
    P("crash", "restored copies that differ after kill -9", "", "max", 0, "failures", nd=0),
]


def command(run, adapter, size):
    scenario, sizes = RUNS[run]
    return ["run", scenario, adapter] + sizes[size].split()


def execute(run, adapter, size, extra=()):
    """One line of bench.py; {"error": ...} when it gave none."""
    argv = [sys.executable, os.path.join(HERE, "bench.py")] + command(run, adapter, size) + list(extra)
    r = subprocess.run(argv, stdout=subprocess.PIPE, text=True)
    try:
        out = json.loads(r.stdout)
    except ValueError:
        out = {"error": "exit %d" % r.returncode, "result": {}}
    out["command"] = "bench/bench.py " + " ".join(command(run, adapter, size))
    return out

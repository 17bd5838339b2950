"""Scenario backlog: see README.md."""
import os
import re
import time

from common import WEIGHT, fleet_dbs, mm, restore_all
from measure import Writer, dist, quiesce, settle, wait_ready, write_spec

NAME = re.compile(r"^(.*)/ltx/(\d)/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$")
LEVEL1_S, RETENTION_S, CHECK_S = 30, 300, 15    # defaults of Litestream, and so ours


class Object:
    def __init__(self, first, last, born):
        self.first, self.last, self.born, self.gone, self.merged = first, last, born, None, None


def histories(events):
    """{database: (L0 objects, L1 objects)}, in the order of their TXIDs; events: (time, name, is it a put)."""
    found = {}
    for t, rel, is_put in events:
        m = NAME.match(rel)
        if m is None or int(m[2]) > 1:
            continue
        level = found.setdefault(m[1], ({}, {}))[int(m[2])]
        if is_put:
            level.setdefault(rel, Object(int(m[3], 16), int(m[4], 16), t))
        elif rel in level:
            level[rel].gone = t
    out = {}
    for db, (l0, l1) in found.items():
        merged = sorted(l1.values(), key=lambda o: o.last)
        for o in l0.values():
            o.merged = next((m.born for m in merged if m.last >= o.last), None)
        out[db] = sorted(l0.values(), key=lambda o: o.last), merged
    return out


def live(objects, t):
    return [o for o in objects if o.born <= t and (o.gone is None or o.gone > t)]


def sample(hist, t):
    """What lay in L0 at a moment. The newest object of a database always stays: it is not counted into ages."""
    per = {db: live(l0, t) for db, (l0, _) in hist.items()}
    old = [t - o.born for objects in per.values() for o in objects[:-1]]
    late = [t - o.born for objects in per.values() for o in objects[:-1] if o.merged is None or o.merged > t]
    return {"objects": sum(map(len, per.values())), "most_of_one": max(map(len, per.values()), default=0),
            "oldest_s": round(max(old, default=0), 1), "oldest_not_compacted_s": round(max(late, default=0), 1)}


def figures(events, begin, end, every):
    """Over the writing from begin to end: the backlog every so many seconds, and how late compaction and
    deletion were. An object waits for the level's interval at most, and then for its turn: behind_s is that turn."""
    hist = histories(events)
    n = int((end - begin) / every)
    R = {"over_time": [dict(sample(hist, begin + every * i), t=round(every * i)) for i in range(n + 1)]}
    inner = [o for l0, _ in hist.values() for o in l0[:-1] if begin <= o.born]
    done = [o for o in inner if o.merged is not None]
    R["l0_objects"] = len(inner)
    R["age_when_compacted_s"] = dist([o.merged - o.born for o in done])
    R["behind_s"] = round(max([o.merged - o.born - LEVEL1_S for o in done], default=0), 2)
    R["older_than_two_intervals_when_compacted"] = sum(o.merged - o.born > 2 * LEVEL1_S for o in done)
    R["never_compacted_and_older_than_two_intervals"] = sum(o.merged is None and end - o.born > 2 * LEVEL1_S for o in inner)
    R["age_when_deleted_s"] = dist([o.gone - o.born for o in inner if o.gone])
    R["l1_objects_a_database"] = mm([len(l1) for _, l1 in hist.values()])
    return R


def last_uploads(events, end):
    """{database: seconds}, the three latest"""
    last = {db: max(o.born for o in l0) - end for db, (l0, _) in histories(events).items() if l0}
    return {db: round(s, 1) for db, s in sorted(last.items(), key=lambda x: -x[1])[:3]}


def sc_backlog(ctx, ad):
    a = ctx.a
    if not ctx.az:
        raise SystemExit("backlog needs --replica abs")
    d, fl = fleet_dbs(ctx, a.scale)
    dbs = [x[0] for x in fl]
    rep = ctx.replica()
    p = ctx.start(ad, dbs, rep, d)
    R = {"databases": len(dbs), "startup_s": wait_ready(rep, dbs, ad, a.limit, p)}
    settle(p, rep, a.settle, a.quiet, a.limit)
    spec = os.path.join(d, "spec")
    write_spec(spec, dbs, [WEIGHT[x[1]] for x in fl])
    cpu, begin = p.cpu(), time.time()
    R["writer"] = Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", a.seconds, "--sync", a.sync, "--seed", a.seed],
                         None).wait()
    end = time.time()
    R["cpu_s_per_10k_tx"] = round((p.cpu() - cpu) / max(1, R["writer"].get("committed", 1)) * 1e4, 3)
    R["loadavg_at_the_end"] = os.getloadavg()
    R["requests"] = rep.requests()
    R.update(figures(rep.puts_and_deletes(), begin, end, max(15, a.seconds / 20)))
    R["rss_peak_mb"] = round(p.hwm / 1024, 1)
    time.sleep(35)              # the slowest tier syncs every 30 s
    R["at_rest_after_s"] = quiesce(rep, a.quiet, a.limit)
    R["last_upload_after_the_end_s"] = last_uploads(rep.puts_and_deletes(), end)
    if a.verify:
        R["restore"] = restore_all(ctx, ad, dbs[:a.verify], p.cfg, d)
    p.stop()
    R["log"] = p.log_errors()
    return R

"""Scenario crash: see README.md."""
import os
import random
import signal
import time

from adapters import Db
from common import MB, mm, restore_all
from measure import Writer, last_reached, log, quiesce, read_log, wait_ready, write_spec


def sc_crash(ctx, ad):
    a = ctx.a
    rng = random.Random(a.seed)
    d = ctx.sub("crash")
    dbs = []
    for i, s in enumerate([a.size_mb * MB, MB, 64 << 10]):
        dbs.append(Db(os.path.join(d, "c%d.db" % i), "c%d" % i, i, a.sync_interval or "1s"))
        ctx.tool.run("gen", dbs[-1].path, s, 20 + i)
    rep = ctx.replica()
    spec = os.path.join(d, "spec")
    write_spec(spec, dbs, [5, 2, 1])
    R = {"rounds": [], "failures": 0, "restore_errors": 0, "rpo_lost_tx": [], "rpo_age_s": []}
    p = ctx.start(ad, dbs, rep, d)
    wait_ready(rep, dbs, ad, a.limit, p)
    quiesce(rep, a.quiet, a.limit)
    errs = []

    def objnames():
        return rep.objects()

    modes = a.modes.split(",")
    cpu_used = 0
    for i in range(a.repeats):
        mode = modes[i % len(modes)]
        logf = os.path.join(d, "commits%d.log" % i)
        before = objnames()
        w = Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", 3600, "--sync", a.sync, "--flush", "--seed", 100 + i], logf)
        time.sleep(1.0 + rng.random() * a.seconds)
        rd = {"mode": mode}
        if mode == "replicator":            # the application goes on writing
            p.kill9()
            time.sleep(rng.random() * 2)
            errs.append(p.log_errors())
            p = ctx.start(ad, dbs, rep, d)
            time.sleep(0.5 + rng.random() * 2)
            w.term()
        elif mode == "writer":              # the application dies in the middle of a transaction
            w.kill9()
            if rng.random() < 0.5:
                w = Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", 1.5, "--sync", a.sync, "--seed", 200 + i])
                w.wait()
        elif mode == "both":                # the host's processes die: what does the replica hold?
            os.kill(w.p.pid, signal.SIGKILL)
            p.kill9()
            w.kill9()
            tk = time.time()
            time.sleep(0.2)
            reach = last_reached(ctx.tool, rep, d, [r for r in rep.objects()])
            lost, oldest = 0, 0.0
            for c in read_log(logf):
                if c[1] > reach.get(c[0], 0):
                    lost += 1
                    oldest = max(oldest, tk - c[2] / 1e9)
            rd["lost_acked_tx"], rd["oldest_lost_age_s"] = lost, round(oldest, 3)
            R["rpo_lost_tx"].append(lost)
            R["rpo_age_s"].append(oldest)
            # a restore of what is there must still be a consistent database
            for x in dbs:
                o = os.path.join(d, "peek.db")
                r = ctx.tool.timed(d, ad.restore_cmd(p.cfg, x.path, o), env=ad.env(), logfile=os.path.join(d, "restore.log"))
                h = ctx.tool.hash(o, True) if os.path.exists(o) else {"integrity": "no file"}
                if r["rc"] != 0 or h.get("integrity") != "ok":
                    rd.setdefault("peek_bad", []).append({"db": x.name, "rc": r["rc"], "integrity": h.get("integrity")})
                for s in ("", "-wal", "-shm"):
                    if os.path.exists(o + s):
                        os.unlink(o + s)
            errs.append(p.log_errors())
            p = ctx.start(ad, dbs, rep, d)
            if rng.random() < 0.5:
                Writer(ctx.tool, spec, ["--rate", a.rate, "--seconds", 1.5, "--sync", a.sync, "--seed", 300 + i]).wait()
        else:
            raise SystemExit("unknown mode " + mode)
        time.sleep(1)
        rd["settle_s"] = quiesce(rep, a.quiet, a.limit)
        after = objnames()
        new = [r for r in after if r not in before]
        rd["new_snapshots"] = sum(1 for r in new if ad.is_snapshot(r))
        rd["new_snapshot_bytes"] = sum(after[r][1] for r in new if ad.is_snapshot(r))
        res = restore_all(ctx, ad, dbs, p.cfg, d)
        rd["equal"] = res["equal"] == len(dbs)
        if not rd["equal"]:
            R["failures"] += 1
            rd["bad"] = res["bad"]
        if not p.alive():
            rd["replicator_died"] = p.p.poll()
            p = ctx.start(ad, dbs, rep, d)
        R["rounds"].append(rd)
        log("crash", i, mode, "equal" if rd["equal"] else "DIFFERS", rd.get("lost_acked_tx", ""))
    p.stop()
    errs.append(p.log_errors())
    rep.close()
    R["n"] = len(R["rounds"])
    R["new_snapshots"] = sum(r["new_snapshots"] for r in R["rounds"])
    R["rpo_lost_tx"], R["rpo_age_s"] = mm(R["rpo_lost_tx"]), mm(R["rpo_age_s"], 3)
    R["peek_bad"] = sum(1 for r in R["rounds"] if r.get("peek_bad"))
    bad = [r for r in R["rounds"] if not r["equal"] or r.get("peek_bad")]
    R["by_mode"] = {m: {"n": sum(r["mode"] == m for r in R["rounds"]), "failures": sum(r["mode"] == m and not r["equal"] for r in R["rounds"]),
                        "new_snapshots": sum(r["new_snapshots"] for r in R["rounds"] if r["mode"] == m)} for m in modes}
    R["rounds"] = bad[:6]
    R["log_errors"] = sum(e["count"] for e in errs)
    R["log_first"] = [x for e in errs for x in e.get("first", [])][:3]
    return R

#!/usr/bin/env python3
"""./dev bench: holdfast beside Litestream 0.5.17, run after run on one machine, held to the promises.

  report.py [--quick | --full] [--only RUN,...] [--ours RUN,...] [--rounds N] [--save FILE.json] [--write FILE.md]
  report.py --from FILE.json [--write FILE.md]      the table again, without measuring

Every figure comes from the same run of both tools, one after the other. Nothing is left out: a
promise that is not kept is printed as missed, one that could not be measured as that. Exit status 0
also when promises are missed; a bench reports, it does not judge. --strict makes it 1.
"""
import argparse
import json
import os
import sys
import time

import plan

TOOLS = ("litestream05", "holdfast")


def measure(size, only, rounds, ours_only=()):
    out = {"size": size, "runs": {}}
    for name in plan.RUNS:
        if only and name not in only:
            continue
        both = out["runs"][name] = {t: [] for t in TOOLS}
        for i in range(rounds):
            for tool in TOOLS:
                if name in ours_only and tool != "holdfast":
                    continue
                t = time.monotonic()
                both[tool].append(plan.execute(name, tool, size))
                print("bench: %s %s, %d s" % (name, tool, time.monotonic() - t), file=sys.stderr, flush=True)
    return out


def rows(data):
    for p in plan.PROMISES:
        both = data["runs"].get(p.run)
        if both is None:
            continue
        theirs, ours = (p.value(both[t]) for t in TOOLS)
        ratio = "%.2f" % (ours / theirs) if ours is not None and theirs else "–"
        yield p.text, p.unit, p.show(theirs), p.show(ours), ratio, p.target(), p.verdict(ours, theirs)


def markdown(data):
    machine = next((r["machine"] for b in data["runs"].values() for x in b.values() for r in x if "machine" in r), {})
    loads = [r["machine"]["loadavg"] for b in data["runs"].values() for x in b.values() for r in x if "machine" in r]
    lines = ["| figure | unit | litestream 0.5.17 | holdfast | ratio | promised | |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(r) + " |" for r in rows(data)]
    lines += ["", "Sizes: %s%s. Machine: %s, %s cores, kernel %s, SQLite %s; load average %s–%s over the runs." % (
        data["size"], "" if data["size"] != "quick" else " (smaller than what was promised: a direction, no verdict)",
        machine.get("cpu"), machine.get("cores"), machine.get("kernel"), machine.get("sqlite"),
        min(loads, default="?"), max(loads, default="?"))]
    bad = ["%s %s: %s" % (n, t, r["error"]) for n, b in data["runs"].items() for t, x in b.items() for r in x if "error" in r]
    if bad:
        lines += ["", "Runs that gave no result: " + "; ".join(bad) + "."]
    return "\n".join(lines) + "\n"


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--quick", action="store_true", help="small sizes, minutes")
    ap.add_argument("--full", action="store_true", help="the sizes the figures are promised for")
    ap.add_argument("--only", help="runs: " + ",".join(plan.RUNS))
    ap.add_argument("--ours", default="", help="runs to make with holdfast alone: their promises need no ratio")
    ap.add_argument("--rounds", type=int, default=1)
    ap.add_argument("--save", help="all raw results")
    ap.add_argument("--write", help="the table")
    ap.add_argument("--from", dest="source")
    ap.add_argument("--strict", action="store_true")
    a = ap.parse_args()
    if a.source:
        with open(a.source) as f:
            data = json.load(f)
    else:
        data = measure("quick" if a.quick else "issue" if a.full else "standard", a.only and a.only.split(","), a.rounds,
                       a.ours.split(","))
        save = a.save or os.path.join(os.path.dirname(plan.HERE), ".cache", "bench", "report.json")
        os.makedirs(os.path.dirname(os.path.abspath(save)), exist_ok=True)
        with open(save, "w") as f:
            json.dump(data, f)
    text = markdown(data)
    if a.write:
        with open(a.write, "w") as f:
            f.write("# holdfast beside Litestream 0.5.17\n\nMade by `./dev bench --write`; every figure of both from one run.\n\n" + text)
    print(text)
    verdicts = [r[-1] for r in rows(data)]
    print("%d kept, %d missed, %d not measured" % tuple(map(verdicts.count, ("ok", "missed", "not measured"))))
    return 1 if a.strict and set(verdicts) != {"ok"} else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Sums up one ./dev test: meson's JSON logs, pytest's XML and the marks of steps that have neither.

  tally.py DIR             the sums
  tally.py --failed XML    the tests that failed, one a line

alone.xml holds the tests that failed beside others and were run again by themselves: there their second
result counts. Those that passed then are named: they have to be made steady.

A meson test counts as the cmocka cases it printed (or as one when it printed none). Exit status 1
when anything failed or when nothing ran: a run of no tests is not a passed run.
"""
import glob
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

PASSED = re.compile(r"\[  PASSED  \] (\d+) test")
FAILED = re.compile(r"\[  FAILED  \][^\n]*?(\d+) test\(s\), listed below")
SKIPPED = re.compile(r"\[  SKIPPED \][^\n]*?(\d+) test\(s\), listed below")


def meson(path):
    passed = failed = skipped = 0
    with open(path) as f:
        for line in f:
            t = json.loads(line)
            out = t.get("stdout", "") + t.get("stderr", "")
            ok = sum(map(int, PASSED.findall(out)))
            bad = sum(map(int, FAILED.findall(out)))
            skipped += sum(map(int, SKIPPED.findall(out)))
            if t["result"] in ("OK", "EXPECTEDFAIL"):
                passed += max(ok, 1)
            elif t["result"] == "SKIP":
                skipped += 1
            else:
                passed += ok
                failed += max(bad, 1)
    return passed, failed, skipped


def junit(path):
    passed = failed = skipped = 0
    for suite in ET.parse(path).getroot().iter("testsuite"):
        n = {k: int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")}
        failed += n["failures"] + n["errors"]
        skipped += n["skipped"]
        passed += n["tests"] - n["failures"] - n["errors"] - n["skipped"]
    return passed, failed, skipped


def failed_of(path):
    return ["%s::%s" % (case.get("classname"), case.get("name")) for case in ET.parse(path).getroot().iter("testcase")
            if case.find("failure") is not None or case.find("error") is not None]


def again(directory, rows):
    """Takes what was run a second time out of the first run's failures; the names that passed then."""
    first, alone = (os.path.join(directory, n) for n in ("pytest.xml", "alone.xml"))
    if not os.path.exists(alone):
        return rows, []
    was, still = failed_of(first), failed_of(alone)
    if sum(junit(alone)) != len(was):
        return rows, []  # not the same tests: what failed stays failed
    return [(n, p, 0, s) if n == "pytest" else (n, p, f, s) for n, p, f, s in rows], sorted(set(was) - set(still))


def main():
    if sys.argv[1] == "--failed":
        print("\n".join(failed_of(sys.argv[2])))
        return 0
    rows = []
    for p in sorted(glob.glob(os.path.join(sys.argv[1], "*"))):
        name = os.path.basename(p).split(".")[0]
        if p.endswith(".meson.json"):
            rows.append((name, *meson(p)))
        elif p.endswith(".xml"):
            rows.append((name, *junit(p)))
        elif p.endswith(".result"):
            with open(p) as f:
                ok = f.read().strip() == "ok"
            rows.append((name, int(ok), int(not ok), 0))
    rows, unsteady = again(sys.argv[1], rows)
    for name, passed, failed, skipped in rows:
        print("%-8s %5d passed %3d failed %3d skipped" % (name, passed, failed, skipped))
    for name in unsteady:
        print("UNSTEADY, failed beside others and passed alone: " + name)
    passed, failed = sum(r[1] for r in rows), sum(r[2] for r in rows)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Sums up one ./dev test: meson's JSON logs, pytest's XML and the marks of steps that have neither.

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


def main():
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
    for name, passed, failed, skipped in rows:
        print("%-8s %5d passed %3d failed %3d skipped" % (name, passed, failed, skipped))
    passed, failed = sum(r[1] for r in rows), sum(r[2] for r in rows)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

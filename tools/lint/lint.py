#!/usr/bin/env python3
"""./dev lint: every rule of the house a machine can check. Rules: rules.py (text), clang.py.

  lint.py --build DIR [--jobs N] [--notes] [--fast | --long] [--rule NAME] [FILES]
  lint.py --format [FILES]       clang-format in place

Prints path:line: [rule] message; exit status 1 when there is one. Files: all, unless named.
"""
import argparse
import ast
import os
import subprocess
import sys

import clang
import ctext
import rules

SKIP_DIRS = {".git", ".cache", ".venv", "__pycache__", "fixtures", "corpus", "node_modules"}
TEXT = (".c", ".h", ".py", ".sh", ".md", ".yml", ".build", ".txt", ".json", ".tsv")
BARE = ("dev", "run", "LICENSE", "NOTICE")


def files_of(root):
    out = []
    for d, dirs, names in os.walk(root):
        dirs[:] = sorted(x for x in dirs if x not in SKIP_DIRS and not x.startswith("build"))
        for n in sorted(names):
            if n.endswith(TEXT) or n in BARE:
                out.append(os.path.relpath(os.path.join(d, n), root))
    return out


def check_c(path, text, table, only=None):
    f = ctext.CFile(text)
    return [(path, line, name, msg) for name, fn in rules.RULES.items() if only in (None, name)
            for line, msg in fn(path, f, table)]


def check_other(path, text):
    bad = [(path, line, "text", msg) for line, msg in rules.plain_text(path, text)]
    if path.endswith(".py"):
        try:
            ast.parse(text)
        except SyntaxError as e:
            bad.append((path, e.lineno or 1, "python", e.msg))
    elif text.startswith(("#!/usr/bin/env bash", "#!/bin/sh", "#!/bin/bash")):
        r = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
        if r.returncode:
            bad.append((path, 1, "shell", r.stderr.strip()[:200]))
    return bad


def is_own_c(path):
    """src/ and the fuzz targets are held to it; the benchmark's C tool is a device of its own."""
    return path.endswith((".c", ".h")) and path.startswith(("src/", "tests/fuzz/"))


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def text_rules(files, only=None):
    table = rules.layer_table(read("ARCHITECTURE.md"))
    if not table:
        return [("ARCHITECTURE.md", 1, "layers", "no folder table found")]
    bad = []
    for path in files:
        text = read(path)
        if is_own_c(path):
            bad += check_c(path, text, table, only)
        if only in (None, "text"):
            bad += check_other(path, text)
    return bad


def show_notes(files):
    n = 0
    for path in filter(is_own_c, files):
        for line, msg in rules.advice(path, ctext.CFile(read(path))):
            print("%s:%d: (wanted) %s" % (path, line, msg))
            n += 1
    print("lint: %d places could be smaller" % n)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default="build-asan")
    ap.add_argument("--jobs", type=int, default=2)
    ap.add_argument("--notes", action="store_true")
    ap.add_argument("--fast", action="store_true")
    ap.add_argument("--long", action="store_true", help="clang-tidy reads the tests, too")
    ap.add_argument("--rule")
    ap.add_argument("--format", action="store_true")
    ap.add_argument("files", nargs="*")
    a = ap.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    os.chdir(root)
    files = [os.path.relpath(p, root) for p in a.files] or files_of(root)
    if a.format:
        c = [p for p in files if is_own_c(p)]
        return subprocess.run(["clang-format", "-i", *c]).returncode if c else 0
    bad = text_rules(files, a.rule)
    if not a.fast and not a.rule:
        # new files reach compile_commands.json when a changed meson.build is read again
        if subprocess.run(["ninja", "-C", a.build, "build.ninja"], capture_output=True).returncode:
            bad.append(("meson.build", 1, "meson", "cannot be read: run ninja -C " + a.build))
        bad += clang.Clang(root, a.build, a.jobs, a.long).all(files)
    for path, line, rule, msg in sorted(set(bad)):
        print("%s:%d: [%s] %s" % (path, line, rule, msg))
    if a.notes:
        show_notes(files)
    print("lint: %d files, %d findings" % (len(files), len(set(bad))))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

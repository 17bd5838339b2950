"""The rules that need a compiler: headers alone, clang-tidy, clang-format.

Every pass is remembered under .cache/lint by the hash of all it depends on (the file, the project
headers it reaches, flags, tool versions, .clang-tidy), so only what changed is looked at again.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"\n]+)"', re.M)
OTHER_SYSTEM = re.compile(r"_(darwin|mac|kqueue|bsd)\.c$")
MAJOR = 14     # Debian 12


class Clang:
    def __init__(self, root, build, jobs, is_long=False):
        self.root, self.jobs, self.is_long = root, jobs, is_long
        self.cache = os.path.join(root, ".cache", "lint")
        os.makedirs(self.cache, exist_ok=True)
        self.flags = self._flags(build)
        self.text = {}
        self.salt = self._versions()

    def _versions(self):
        out = []
        for tool in ("cc", "clang-tidy", "clang-format"):
            exe = shutil.which(tool)
            r = exe and subprocess.run([exe, "--version"], capture_output=True, text=True).stdout
            out.append(r or "none")
        with open(os.path.join(self.root, ".clang-tidy")) as f:
            out.append(f.read())
        return "\n".join(out)

    def _flags(self, build):
        """{file: compiler flags that matter for reading it}"""
        with open(os.path.join(build, "compile_commands.json")) as f:
            db = json.load(f)
        out = {}
        for e in db:
            words = shlex.split(e["command"])[1:]
            keep, i = [], 0
            while i < len(words):
                w = words[i]
                if w in ("-I", "-isystem", "-D"):
                    keep += words[i:i + 2]
                    i += 1
                elif re.match(r"-(I|isystem|D|W(?!error)|std|pthread|m)", w):
                    keep.append(w)
                i += 1
            keep = [re.sub(r"^-I(?!/)", "-I" + e["directory"] + "/", w) for w in keep]
            path = os.path.relpath(os.path.join(e["directory"], e["file"]), self.root)
            out[path] = keep
        return out

    def flags_for(self, path):
        if path in self.flags:
            return self.flags[path]
        near = [v for k, v in self.flags.items() if os.path.dirname(k) == os.path.dirname(path)]
        if near:
            return max(near, key=len)
        return max(self.flags.values(), key=len) if self.flags else ["-Isrc"]

    def read(self, path):
        if path not in self.text:
            try:
                with open(os.path.join(self.root, path), errors="replace") as f:
                    self.text[path] = f.read()
            except OSError:
                self.text[path] = ""
        return self.text[path]

    def closure(self, path, seen):
        if path not in seen:
            seen.add(path)
            for name in INCLUDE.findall(self.read(path)):
                self.closure(os.path.join("src", name), seen)
        return seen

    def once(self, kind, path, flags, fn):
        h = hashlib.sha256("\0".join([kind, self.salt, path, *flags]).encode())
        for p in sorted(self.closure(path, set())):
            h.update(p.encode() + b"\0" + self.read(p).encode() + b"\0")
        mark = os.path.join(self.cache, h.hexdigest()[:32])
        if os.path.exists(mark):
            return []
        bad = fn()
        if not bad:
            open(mark, "w").close()
        return bad

    def run(self, argv):
        r = subprocess.run(argv, cwd=self.root, capture_output=True, text=True)
        return r.returncode, r.stdout + r.stderr

    def findings(self, text, rule):
        """compiler style lines -> [(path, line, rule, message)]"""
        out, seen = [], set()
        for m in re.finditer(r"^(\S+?):(\d+):\d+: (?:fatal )?(?:error|warning): (.*)$", text, re.M):
            path = os.path.relpath(os.path.join(self.root, m[1]), self.root)
            item = (path, int(m[2]), rule, m[3].replace(",-warnings-as-errors", ""))
            if item not in seen:
                seen.add(item)
                out.append(item)
        return out

    def header(self, path):
        flags = self.flags_for(path)

        def look():
            with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
                name = os.path.relpath(path, "src")
                # twice: the guard is part of it
                f.write('#include "%s"\n#include "%s"\nextern int hf_lint_;\n' % (name, name))
                f.flush()
                rc, out = self.run(["cc", "-fsyntax-only", "-Werror", *flags, f.name])
            bad = self.findings(out, "header-alone")
            return bad or ([(path, 1, "header-alone", out[:200])] if rc else [])
        return self.once("header", path, flags, look)

    def tidy(self, path):
        flags = self.flags_for(path)

        def look():
            rc, out = self.run(["clang-tidy", "--quiet", path, "--", *flags,
                                "-Wno-unknown-warning-option"])
            bad = self.findings(out, "clang-tidy")
            return bad or ([(path, 1, "clang-tidy", out[:300])] if rc else [])
        return self.once("tidy", path, flags, look)

    def unbuilt(self, path):
        if path.endswith("_fuzz.c") or OTHER_SYSTEM.search(path) or path in self.flags:
            return []
        return [(path, 1, "unbuilt", "in no target of a meson.build")]

    def is_here(self, tool):
        """Other versions format otherwise and warn of other things: they would only confuse."""
        if shutil.which(tool) and "version %d." % MAJOR in self.run([tool, "--version"])[1]:
            return True
        print("lint: %s %d is not here: not looked at" % (tool, MAJOR))
        return False

    def format(self, paths):
        if not self.is_here("clang-format"):
            return []

        def look(path):
            _, text = self.run(["clang-format", "--dry-run", path])
            n = re.findall(r"^\S+?:(\d+):\d+: warning:", text, re.M)
            return [(path, int(n[0]), "clang-format", "%d places: ./dev fmt" % len(n))] if n else []
        return self.each(look, paths)

    def each(self, fn, items):
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            return [x for r in pool.map(fn, items) for x in r]

    def is_tidied(self, path):
        """Tests are half of what clang-tidy takes and run under sanitizers: only in a long run."""
        return not OTHER_SYSTEM.search(path) and (self.is_long or not path.endswith("_test.c"))

    def all(self, files):
        src = [p for p in files if p.startswith(("src/", "tests/fuzz/")) and p.endswith((".c", ".h"))]
        bad = self.format(src)
        bad += self.each(self.header, [p for p in src if p.endswith(".h")])
        c = [p for p in src if p.endswith(".c")]
        for p in c:
            bad += self.unbuilt(p)
        if self.is_here("clang-tidy"):
            bad += self.each(self.tidy, [p for p in c if self.is_tidied(p)])
        return bad

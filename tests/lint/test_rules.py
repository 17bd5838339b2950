"""The lint's own tests: each rule must refuse its bad snippet and let the good one pass."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "lint"))

import clang    # noqa: E402
import ctext    # noqa: E402
import lint     # noqa: E402
import rules    # noqa: E402

TABLE = {"base": ["jansson"], "os": ["libuv"], "ltx": ["liblz4"], "replica": [], "gateway": [], "cmd": []}
LONG = "int f(void)\n{\n" + "    g();\n" * 67 + "}\n"

# rule, path, bad, good, why
CASES = [
    ("layers", "src/os/a.c", '#include "ltx/ltx.h"\n', '#include "base/err.h"\n', "upwards only"),
    ("layers", "src/os/a.c", '#include "err.h"\n', '#include "os/err.h"\n', "folder is named"),
    ("layers", "src/os/a.c", "#include <lz4.h>\n", "#include <uv.h>\n", "library stays in its folder"),
    ("layers", "src/os/a.c", "#include <cmocka.h>\n", "#include <stdio.h>\n", "cmocka in tests only"),
    ("layers", "src/ltx/a.c", "#include <sys/inotify.h>\n", "#include <fcntl.h>\n", "system-bound header"),
    ("layers", "src/ltx/a.c", "#include <curl/curl.h>\n", "#include <stdint.h>\n", "undecided library"),
    ("layers", "src/gateway/a.c", '#include "replica/replica.h"\n', '#include "ltx/ltx.h"\n', "features apart"),
    ("layers", "src/newdir/a.c", "int a;\n", None, "folder missing in the table"),
    ("platform", "src/ltx/a.c", "#ifdef __linux__\n#endif\n", "#ifdef __x86_64__\n#endif\n", "os/ only"),
    ("function-size", "src/os/a.c", LONG.replace("}\n", "    g();\n}\n"), LONG, "71 lines, 70 lines"),
    ("function-size", "src/os/a.c", LONG.replace("f(void)", "f(int a,\n      int b)"), None, "signature counts"),
    ("file-size", "src/os/a.c", "int a;\n" * 1001, "int a;\n" * 1000, "1001, 1000"),
    ("line-length", "src/os/a.c", "x" * 101, "x" * 100, "101, 100"),
    ("banned", "src/os/a.c", "void f(void)\n{\n    strcpy(a, b);\n}\n", "/* strcpy(a, b) is no good */\n", "strcpy"),
    ("banned", "src/os/a.c", "int n = atoi (s);\n", 'const char *s = "atoi(x)";\n', "space, string"),
    ("banned", "src/os/a.c", "x = rand();\n", "x = hf_rand(); y = o->rand(); z = o.rand();\n", "members"),
    ("banned", "src/os/a.c", "system(cmd);\n", "struct tm *t = gmtime_r(&s, &tm);\n", "gmtime_r is fine"),
    ("raw-alloc", "src/os/a.c", "p = malloc(4);\n", "p = hf_malloc(4);\n", "base/mem.h"),
    ("raw-alloc", "src/os/a.c", "free(p);\n", "s->free(p); hf_free(p);\n", "free, too"),
    ("jumps", "src/os/a.c", "if (setjmp(b))\n    f();\n", "f();\n", "setjmp"),
    ("jumps", "src/os/a.c", "#include <setjmp.h>\n", "#include <stdio.h>\n", "its header"),
    ("alloca", "src/os/a.c", "p = alloca(n);\n", "p = hf_alloca_table(n);\n", "alloca"),
    ("goto", "src/os/a.c", "int f(void)\n{\n    goto out;\nout:\n    return 1;\n}\n",
     "int f(void)\n{\n    goto fail;\nfail:\n    return 1;\n}\n", "fail: only"),
    ("goto", "src/os/a.c", "int f(void)\n{\n    goto fail;\nfail:\nfail:\n    return 1;\n}\n", None, "one of it"),
    ("line-comment", "src/os/a.c", "int a; // why\n", 'const char *u = "https://x"; /* // fine */\n', "strings"),
    ("dead-code", "src/os/a.c", "/* x = f(a); */\n", "/* x grows here: f(a) may call it again. */\n", "code"),
    ("dead-code", "src/os/a.c", "/*\n * if (a) {\n *     b();\n * }\n */\n",
     "/*\n * Use it like this:\n *     hf_a(b);\n */\n", "every line is code; an example is not"),
    ("dead-code", "src/os/a.c", "#if 0\nint a;\n#endif\n", "#if A\nint a;\n#endif\n", "#if 0"),
    ("names-dates", "src/os/a.c", "/* Written by Jane */\n", "/* written by the sync thread */\n", "names"),
    ("names-dates", "src/os/a.c", "/* 2020-01-02: fixed */\n",
     '/* "2020-01-02T10:00:00Z" is UTC */\n', "dates; an example is fine"),
    ("todo", "src/os/a.c", "/* TODO: later */\n", "/* TODO(#12): later */\n", "issue number"),
    ("must-check", "src/os/a.h", "enum hf_code hf_a(int b);\n", "HF_MUST enum hf_code hf_a(int b);\n", "attribute"),
    ("must-check", "src/os/a.h", "static inline enum hf_code hf_a(void)\n{\n    return HF_OK;\n}\n",
     "typedef enum hf_code hf_fn(int a);\n", "inline, too; types not"),
    ("typedef", "src/os/a.h", "typedef struct a a_t;\n", "typedef void hf_fn(void *arg);\n", "functions only"),
    ("typedef", "src/os/a.h", "typedef struct {\n    int a;\n} a_t;\n", "struct a {\n    int a;\n};\n", "struct"),
    ("typedef", "src/os/a.h", "typedef void (*a_fn)(int);\n", "typedef int hf_fn(int);\n", "no pointer types"),
]


def found(path, text, rule):
    return [m for _, _, r, m in lint.check_c(path, text, TABLE) if r == rule]


@pytest.mark.parametrize("rule,path,bad,good,why", CASES, ids=["%s-%s" % (c[0], c[4]) for c in CASES])
def test_rule(rule, path, bad, good, why):
    assert found(path, bad, rule), why
    if good is not None:
        assert not found(path, good, rule), why


def test_every_text_rule_has_a_case():
    assert {c[0] for c in CASES} == set(rules.RULES)


def test_exempt_places():
    assert not found("src/base/mem.c", "p = malloc(4);\n", "raw-alloc")
    assert not found("src/os/a_test.c", "#include <setjmp.h>\n#include <cmocka.h>\n", "jumps")
    assert not found("src/os/a_test.c", "#include <cmocka.h>\n", "layers")
    assert not found("src/os/a.c", "#include <sys/inotify.h>\n#ifdef __linux__\n#endif\n", "layers")
    assert not found("src/base/err.h", "enum hf_code hf_err_set(struct hf_err *e);\n", "must-check")


def test_functions_are_found():
    f = ctext.CFile('#define M(x) \\\n    do { x; } while (0)\n'
                    'static const struct t rows[] = {{1, "}"}, {2, "{"}};\n'
                    "enum a { X };\nstruct s { int (*f)(void); };\n"
                    "int one(void)\n{\n    if (a) {\n        for (;;) {\n            b('}');\n        }\n    }\n}\n\n"
                    "static void\ntwo(int (*f)(int, int), struct x *y, int z)\n{\n}\n")
    got = [(g.name, g.lines, g.params, g.depth) for g in f.functions()]
    assert got == [("one", 8, 0, 2), ("two", 4, 3, 0)]


def test_layer_table_is_architecture_md():
    with open(os.path.join(ROOT, "ARCHITECTURE.md")) as f:
        table = rules.layer_table(f.read())
    assert list(table)[:2] == ["base", "os"] and list(table)[-1] == "cmd"
    assert table["base"] == ["jansson"] and table["sqlite"] == ["sqlite3"]


def test_private_paths_are_refused():
    bad = "see /" + "work/x and .." + "/shared/y\n"
    assert list(rules.plain_text("README.md", bad))
    assert not list(rules.plain_text("README.md", "see src/work/x\n"))


# The compiler's rules, on a repository of one folder.
HEAD = "#include <stddef.h>\n"
CLANG = [
    ("header-alone", "src/os/a.h", "size_t hf_a(void);\n",
     "#ifndef A_H\n#define A_H\n" + HEAD + "size_t hf_a(void);\n#endif\n", "includes what it uses"),
    ("header-alone", "src/os/a.h", HEAD + "struct a {\n    size_t b;\n};\n", None, "guard"),
    ("clang-format", "src/os/a.c", "int hf_a(void){return 1;}\n", "int hf_a(void)\n{\n    return 1;\n}\n", "braces"),
    ("clang-tidy", "src/os/a.c", "int hf_a(int n);\nint hf_a(int n)\n{\n    int v[n];\n    v[0] = n;\n    return v[0];\n}\n",
     "int hf_a(int n);\nint hf_a(int n)\n{\n    return n;\n}\n", "no VLA"),
    ("clang-tidy", "src/os/a.c", "int hf_a(const int *p);\nint hf_a(const int *p)\n{\n    if (!p)\n"
     "        return *p;\n    return 0;\n}\n", None, "null dereference"),
    ("unbuilt", "src/os/b.c", "int hf_b(void);\n", None, "in no meson.build"),
]


@pytest.mark.parametrize("rule,path,bad,good,why", CLANG, ids=["%s-%s" % (c[0], c[4]) for c in CLANG])
def test_compiler_rule(tmp_path, rule, path, bad, good, why):
    for text, wanted in ((bad, True), (good, False)):
        if text is None:
            continue
        root = tmp_path / ("bad" if wanted else "good")
        (root / "src/os").mkdir(parents=True)
        (root / path).write_text(text)
        for f in (".clang-tidy", ".clang-format"):
            (root / f).write_text(open(os.path.join(ROOT, f)).read())
        cmd = '[{"directory": "%s", "file": "src/os/a.c", "command": "cc -Isrc -Wall -Wvla -c src/os/a.c"}]'
        (root / "compile_commands.json").write_text(cmd % root)
        for _again in range(2):     # the cache must not hide a finding
            got = clang.Clang(str(root), str(root), 1).all([path])
            assert bool([g for g in got if g[2] == rule]) == wanted, (why, got)


def test_fast_lint_runs_from_the_door():
    r = subprocess.run([sys.executable, os.path.join(ROOT, "tools/lint/lint.py"), "--rule", "banned"],
                       capture_output=True, text=True)
    assert "findings" in r.stdout, r.stderr

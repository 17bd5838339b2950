"""The rules of the house that a text can show: one function a rule, each yields (line, message).

RULES names them; tests/lint holds a bad and a good snippet for each. What needs a compiler is in
clang.py.
"""
import os
import re

MAX_FUNCTION, MAX_FILE, MAX_LINE = 70, 1000, 100
WANT_FILE, WANT_PARAMS, WANT_DEPTH = 500, 5, 3

# Folders that never include each other, though the list orders them: cmd/ wires them together.
FEATURES = {"replica", "fleet", "gateway", "control"}

# Header -> the library of the third-party column in ARCHITECTURE.md.
LIBRARY = {
    "jansson.h": "jansson", "zstd.h": "zstd", "uv.h": "libuv", "yaml.h": "libyaml",
    "sqlite3.h": "sqlite3", "lz4.h": "liblz4", "lz4hc.h": "liblz4", "lz4frame.h": "liblz4",
    "libssh2.h": "libssh2", "libssh2_sftp.h": "libssh2",
    "cmocka.h": "cmocka", "sodium.h": "libsodium", "expat.h": "expat", "curl/curl.h": "libcurl",
    "microhttpd.h": "libmicrohttpd", "gnutls/abstract.h": "gnutls", "gnutls/gnutls.h": "gnutls",
    "openssl/crypto.h": "openssl", "openssl/err.h": "openssl",
    "openssl/evp.h": "openssl", "openssl/hmac.h": "openssl", "openssl/ssl.h": "openssl",
    "openssl/x509.h": "openssl", "openssl/pem.h": "openssl",
}
# C17 and POSIX: allowed everywhere. Anything in neither list must be decided on and added.
STANDARD = set("""assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h
math.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h
dirent.h dlfcn.h ftw.h fcntl.h fnmatch.h getopt.h glob.h grp.h libgen.h netdb.h poll.h pthread.h pwd.h regex.h
sched.h semaphore.h spawn.h strings.h syslog.h termios.h unistd.h utime.h
arpa/inet.h netinet/in.h netinet/tcp.h sys/file.h sys/ioctl.h sys/mman.h sys/param.h sys/random.h
sys/resource.h sys/select.h sys/socket.h sys/stat.h sys/statvfs.h sys/time.h sys/times.h sys/types.h
sys/uio.h sys/un.h sys/utsname.h sys/wait.h
arm_acle.h arm_neon.h cpuid.h emmintrin.h immintrin.h nmmintrin.h smmintrin.h tmmintrin.h wmmintrin.h
x86intrin.h execinfo.h sanitizer/asan_interface.h sanitizer/lsan_interface.h""".split())
# One system's own: only os/ may know which system it runs on.
ONE_SYSTEM = re.compile(r"(linux|mach|mach-o|libkern|CoreFoundation|asm)/|sys/(inotify|epoll|eventfd|"
                        r"signalfd|timerfd|prctl|sendfile|statfs|vfs|syscall|event|mount|sysctl|"
                        r"fanotify|xattr|clonefile|auxv)\.h|copyfile\.h|libproc\.h|malloc\.h|features\.h")

BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "strtok", "atoi", "atol", "atoll", "atof", "rand",
          "srand", "localtime", "gmtime", "system", "popen", "gets"]
RAW_ALLOC = ["malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf",
             "vasprintf", "aligned_alloc", "posix_memalign"]
JUMPS = ["setjmp", "longjmp", "sigsetjmp", "siglongjmp"]


def calls(f, names):
    """Uses of names as plain functions: not members, not parts of longer names."""
    pat = re.compile(r"(?<![\w.>])(?:%s)\s*\(" % "|".join(names))
    for m in pat.finditer(f.code):
        yield f.line_of(m.start()), m[0].rstrip("( \t\n")


def folder_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def layers(path, f, table):
    """Includes point upwards in ARCHITECTURE.md's list; libraries stay in their folder."""
    here = folder_of(path)
    if here is None:
        return
    order = list(table)
    if here not in order:
        yield 1, "folder src/%s is not in ARCHITECTURE.md's list" % here
        return
    for line, name, is_system in f.includes():
        if is_system:
            yield from library(path, here, table, line, name)
            continue
        there = name.split("/")[0] if "/" in name else None
        if there is None:
            yield line, 'write "%s/%s": paths start at src/' % (here, name)
        elif there not in order:
            yield line, "%s: no folder of ARCHITECTURE.md's list" % name
        elif order.index(there) > order.index(here):
            yield line, "%s: %s stands below %s" % (name, there, here)
        elif there != here and {there, here} <= FEATURES:
            yield line, "%s: feature folders never include each other" % name


def library(path, here, table, line, name):
    lib = LIBRARY.get(name)
    if lib == "cmocka":
        if not path.endswith("_test.c"):
            yield line, "cmocka.h belongs in *_test.c"
    elif lib:
        if lib not in table[here]:
            yield line, "<%s>: %s may be used in %s only" % (
                name, lib, ", ".join(k for k, v in table.items() if lib in v) or "no folder")
    elif ONE_SYSTEM.match(name):
        if here != "os":
            yield line, "<%s> is of one system: it belongs behind src/os" % name
    elif name not in STANDARD:
        yield line, "<%s> is unknown: add it to tools/lint/rules.py with its library" % name


def platform(path, f, _):
    """Which system it is, only os/ knows (base/ for what cannot call os/)."""
    if folder_of(path) in (None, "os", "base"):
        return
    pat = re.compile(r"^[ \t]*#[^\n]*\b(__linux__|__APPLE__|__MACH__|__FreeBSD__|_WIN32)\b", re.M)
    for m in pat.finditer(f.code):
        yield f.line_of(m.start()), "%s: systems differ in src/os only" % m[1]


def function_size(path, f, _):
    for fn in f.functions():
        if fn.lines > MAX_FUNCTION:
            yield fn.first, "%s() has %d lines, more than %d" % (fn.name, fn.lines, MAX_FUNCTION)


def file_size(path, f, _):
    n = len(f.lines) - (f.lines[-1] == "")
    if n > MAX_FILE:
        yield n, "%d lines, more than %d" % (n, MAX_FILE)


def line_length(path, f, _):
    for i, l in enumerate(f.lines, 1):
        if len(l) > MAX_LINE:
            yield i, "%d columns, more than %d" % (len(l), MAX_LINE)


def banned(path, f, _):
    for line, name in calls(f, BANNED):
        yield line, "%s() is banned" % name


def raw_alloc(path, f, _):
    if folder_of(path) == "base":
        return
    for line, name in calls(f, RAW_ALLOC):
        yield line, "%s(): memory comes from base/mem.h" % name


def jumps(path, f, _):
    if path.endswith("_test.c"):
        return
    for line, name in calls(f, JUMPS):
        yield line, "%s() is for *_test.c only" % name
    for line, name, _sys in f.includes():
        if name == "setjmp.h":
            yield line, "setjmp.h is for *_test.c only"


def alloca(path, f, _):
    for line, name in calls(f, ["alloca", "__builtin_alloca", "strdupa", "strndupa"]):
        yield line, "%s(): no memory of unbounded size on the stack" % name


def goto(path, f, _):
    for m in re.finditer(r"\bgoto\s+(\w+)", f.code):
        if m[1] != "fail":
            yield f.line_of(m.start()), "goto %s: only one 'fail:' in a constructor" % m[1]
    for fn in f.functions():
        body = "\n".join(f.code.split("\n")[fn.first - 1:fn.last])
        if len(re.findall(r"^\s*fail:", body, re.M)) > 1:
            yield fn.first, "%s() has more than one fail:" % fn.name


def line_comments(path, f, _):
    for c in f.comments:
        if c.is_line:
            yield c.line, "// comment: write /* */"


CODE_LINE = re.compile(r"^(?:"
                       r"[\w.>\-\[\]*&() ]+ ?[-+*/|&^]?= ?[^=].*;"
                       r"|[\w.>\-]+\(.*\);"
                       r"|(?:return|break|continue|goto)\b[^.]*;"
                       r"|(?:if|for|while|switch) ?\(.*\)[ {]*.*[;{]?"
                       r"|(?:(?:static|const|unsigned|struct \w+|enum \w+|int|char|size_t|u?int\d+_t|bool) )+[\w*, \[\]]+;"
                       r"|\}(?: else.*\{)?|\{|#(?:if|ifdef|ifndef|include|define|endif|else)\b.*"
                       r")$")


def body_lines(comment):
    text = comment.text[2:] if comment.is_line else comment.text[2:-2]
    return [re.sub(r"^\s*\*+ ?", "", l).strip() for l in text.split("\n")]


def dead_code(path, f, _):
    """A comment in which every line is code; `#if 0`. Prose with an example in it is fine."""
    for c in f.comments:
        lines = [l for l in body_lines(c) if l]
        if lines and all(CODE_LINE.match(l) for l in lines):
            yield c.line, "commented-out code: delete it, git remembers"
    for m in re.finditer(r"^[ \t]*#[ \t]*if[ \t]+(0|false)\b", f.code, re.M):
        yield f.line_of(m.start()), "#if 0: delete it, git remembers"


MONTHS = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
SIGNED = re.compile(r"@author|\bAuthors?:|Copyright|\(c\) ?\d{4}|[Ww]ritten by [A-Z]|[Cc]reated by [A-Z]|"
                    r"^\d{4}-\d\d-\d\d\b(?!T)|\b\d{1,2}\.? %s,? \d{4}|\b%s \d{1,2},? \d{4}" % (MONTHS, MONTHS))


def names_dates(path, f, _):
    for c in f.comments:
        for i, l in enumerate(body_lines(c)):
            m = SIGNED.search(l)
            if m:
                yield c.line + i, "'%s': names and dates are git's" % m[0]


def todo(path, f, _):
    for c in f.comments:
        for i, l in enumerate(body_lines(c)):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", l) and not re.search(r"#\d+|issue \d+", l):
                yield c.line + i, "TODO without an issue: write TODO(#12)"


def must_check(path, f, _):
    """Functions of headers that return enum hf_code carry HF_MUST; setting a code is no result."""
    if not path.endswith(".h"):
        return
    for start, text, _body, _brace, _end in f.statements():
        m = re.search(r"\benum\s+hf_code\s+(\w+)\s*\(", text)
        if not m or re.search(r"\btypedef\b|[({]\s*[^)]*\benum\s+hf_code\s+%s" % m[1], text):
            continue
        if "HF_MUST" in text or m[1].startswith(("hf_err_", "hf_code_")):
            continue
        yield f.line_of(start + m.start()), "%s() returns enum hf_code without HF_MUST" % m[1]


def typedefs(path, f, _):
    """No typedef except function types."""
    for start, text, has_body, brace, _end in f.statements():
        m = re.search(r"\btypedef\b", text)
        if m and (has_body or not re.search(r"\w+\s*\(", text) or re.search(r"\(\s*\*", text)):
            yield f.line_of(start + m.start()), "typedef of something that is no function type"


RULES = {
    "layers": layers, "platform": platform, "function-size": function_size, "file-size": file_size,
    "line-length": line_length, "banned": banned, "raw-alloc": raw_alloc, "jumps": jumps,
    "alloca": alloca, "goto": goto, "line-comment": line_comments, "dead-code": dead_code,
    "names-dates": names_dates, "todo": todo, "must-check": must_check, "typedef": typedefs,
}


def advice(path, f):
    """Wanted, not demanded: (line, message)."""
    n = len(f.lines)
    if n > WANT_FILE:
        yield n, "%d lines, %d are wanted" % (n, WANT_FILE)
    for fn in f.functions():
        if fn.params > WANT_PARAMS:
            yield fn.first, "%s() has %d parameters, %d are wanted" % (fn.name, fn.params, WANT_PARAMS)
        if fn.depth > WANT_DEPTH:
            yield fn.first, "%s() nests %d deep, %d are wanted" % (fn.name, fn.depth, WANT_DEPTH)


def layer_table(architecture):
    """{folder: [libraries]} in order, out of the folder table of ARCHITECTURE.md."""
    table, column = {}, None
    for line in architecture.split("\n"):
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if "third-party headers" in cells:
            column = cells.index("third-party headers")
        m = re.match(r"`src/(\w+)/?`$", cells[0]) if line.startswith("|") else None
        if m and column is not None:
            table[m[1]] = [x.strip() for x in cells[column].split(",") if x.strip() not in ("", "–", "-")]
    return table


# Text of any kind: what must not leak into the repository.
PRIVATE = re.compile(r"(?<![\w.])/work/|\.\./" + r"shared/|/root/")


def plain_text(path, text):
    for i, l in enumerate(text.split("\n"), 1):
        m = PRIVATE.search(l)
        if m and not path.startswith("tools/lint/"):
            yield i, "'%s': a path of one machine" % m[0]
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    if path.endswith((".py", ".sh")) or os.path.basename(path) == "dev":
        n = text.count("\n")
        if n > MAX_FILE:
            yield n, "%d lines, more than %d" % (n, MAX_FILE)

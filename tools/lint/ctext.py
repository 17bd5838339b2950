"""A C file as the lint sees it: comments, strings and directives told apart, functions found.

No parser: a scanner that never changes positions, so every finding has its line. It is exact for the
C this repository allows (no K&R definitions, no trigraphs, no digraphs).
"""
import re


class Function:
    def __init__(self, name, first, last, params, depth):
        self.name = name
        self.first, self.last = first, last     # lines, 1-based, signature to closing brace
        self.params = params
        self.depth = depth                      # deepest nesting of blocks inside the body

    @property
    def lines(self):
        return self.last - self.first + 1


class Comment:
    def __init__(self, line, text, is_line):
        self.line, self.text, self.is_line = line, text, is_line


TOKEN = re.compile(
    r'(?P<line>//(?:\\\n|[^\n])*)'
    r'|(?P<block>/\*.*?\*/)'
    r'|(?P<str>"(?:\\.|[^"\\\n])*")'
    r"|(?P<chr>'(?:\\.|[^'\\\n])*')", re.S)


def blank(s):
    return re.sub(r"[^\n]", " ", s)


class CFile:
    """text: the file; code: without comments and strings; plain: without directives either."""

    def __init__(self, text):
        self.text = text
        self.lines = text.split("\n")
        self.comments = []
        self.code = self._mask()
        self.plain = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: blank(m[0]), self.code, flags=re.M)
        self._functions = None

    def line_of(self, pos):
        return self.text.count("\n", 0, pos) + 1

    def _mask(self):
        out, at = [], 0
        # an #include "x" is kept: the layer rule reads it
        keep = {m.start(1) for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+(")', self.text, re.M)}
        for m in TOKEN.finditer(self.text):
            out.append(self.text[at:m.start()])
            at = m.end()
            if m["line"] is not None or m["block"] is not None:
                self.comments.append(Comment(self.line_of(m.start()), m[0], m["line"] is not None))
                out.append(blank(m[0]))
            elif m.start() in keep:
                out.append(m[0])
            else:
                out.append(m[0][0] + blank(m[0][1:-1]) + m[0][-1])
        out.append(self.text[at:])
        return "".join(out)

    def includes(self):
        """[(line, name, is_system)]"""
        pat = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"\n]+)[>"]', re.M)
        return [(self.line_of(m.start()), m[2], m[1] == "<") for m in pat.finditer(self.code)]

    def statements(self):
        """File-level pieces: [(start, text, has_body)]; a piece ends at ';' or with its '{...}'."""
        s, out, depth, start = self.plain, [], 0, 0
        i, n = 0, len(s)
        while i < n:
            c = s[i]
            if c == "{":
                if depth == 0:
                    out.append([start, s[start:i], True, i, None])
                depth += 1
            elif c == "}":
                depth -= 1
                if depth == 0 and out:
                    out[-1][4] = i
                    start = i + 1
            elif c == ";" and depth == 0:
                out.append([start, s[start:i], False, i, i])
                start = i + 1
            i += 1
        return out

    def functions(self):
        if self._functions is None:
            self._functions = [f for f in map(self._function, self.statements()) if f]
        return self._functions

    def _function(self, st):
        start, head, has_body, brace, end = st
        h = head.rstrip()
        if not has_body or not h.endswith(")") or "=" in h or end is None:
            return None
        depth, i = 0, len(h) - 1
        while i >= 0:
            depth += {")": 1, "(": -1}.get(h[i], 0)
            if depth == 0:
                break
            i -= 1
        m = re.search(r"(\w+)\s*$", h[:i])
        if not m or m[1] in ("enum", "struct", "union"):
            return None
        body, deep, d = self.plain[brace:end + 1], 0, 0
        for c in body:
            d += {"{": 1, "}": -1}.get(c, 0)
            deep = max(deep, d)
        first = self.line_of(start + len(head) - len(head.lstrip()))
        return Function(m[1], first, self.line_of(end), count_params(h[i + 1:-1]), deep - 1)


def count_params(inner):
    inner = inner.strip()
    if inner in ("", "void"):
        return 0
    depth = n = 0
    for c in inner:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(c, 0)
        n += c == "," and depth == 0
    return n + 1

"""A key of the configuration that is called honoured must be read by somebody."""
import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def rows():
    """(name, field, has effect) of the rows that fill a field and are for every kind of replica."""
    with open(os.path.join(ROOT, "src/config/schema_table.c")) as f:
        text = f.read()
    for row in re.findall(r"\{\.name = .*?\},\n(?=    \{|\};|\n)", text, re.S):
        name = re.search(r'\.name = "([^"]+)"', row)[1]
        field = re.search(r"\.offset = F\(([\w.]+)\)", row)
        if field and ".only" not in row and "HF_KEY_SECTION" not in row:
            yield name, field[1].split(".")[-1], ".not_honoured" not in row


def test_honoured_keys_are_used():
    sources = [p for p in glob.glob(os.path.join(ROOT, "src", "**", "*.c"), recursive=True)
               if not p.endswith(("_test.c", "schema_table.c", "docs.c"))]
    text = "\n".join(open(p).read() for p in sources)
    found = list(rows())
    assert len(found) > 40
    # 0.3's retention keys and places are resolved into others by config.c and place.c.
    unused = [name for name, field, is_on in found if is_on and not re.search(r"(->|\.)%s\b" % field, text)]
    assert unused == []
    outside = "\n".join(open(p).read() for p in sources if "/src/config/" not in p)
    resolved = {"type", "url", "path", "dir", "meta-path", "meta-dir", "retention", "snapshot-interval", "source",
                "tier", "pattern"}
    dead = [name for name, field, is_on in found
            if is_on and name not in resolved and not re.search(r"\b%s\b" % field, outside)]
    assert dead == [], "honoured in the table, read by nobody: %s" % dead

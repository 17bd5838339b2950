#!/usr/bin/env python3
"""A text file as a C string: embed.py INPUT OUTPUT NAME."""
import sys


def main():
    source, target, name = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        lines = f.read().splitlines()
    quoted = ['    "%s\\n"' % line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    with open(target, "w", encoding="utf-8") as f:
        f.write("extern const char %s[];\nconst char %s[] =\n%s;\n" % (name, name, "\n".join(quoted)))


main()

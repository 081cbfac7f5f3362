#!/usr/bin/env python3
"""The README's table of routes is the one that src/api/openapi.json makes. As a program: writes it."""

import re
import sys

import openapi
import tree

README = "README.md"
BEGIN = "<!-- routes: made from src/api/openapi.json by script/format -->\n\n"
END = "\n<!-- end of routes -->\n"


def row_of(path, item):
    """`GET`, `POST /path` and what they do."""
    methods = "`, `".join(method.upper() for method in item)
    path = re.sub(r"{([^}]*)}", r":\1", path)
    texts = [operation["summary"] + (" (no token)" if operation.get("security") == [] else "")
             for operation in item.values()]
    return f"| `{methods} {path}` | {' '.join(texts)} |"


def table(document):
    lines = ["| route | what it does |", "| --- | --- |"]
    for tag in document["tags"]:
        lines.append(f"| **{tag['name']}** | *{tag['description']}* |")
        lines += [row_of(path, item) for path, item in document["paths"].items()
                  if next(iter(item.values()))["tags"] == [tag["name"]]]
    return "\n".join(lines) + "\n"


def parts(text):
    """What stands before the table, the table, and what comes behind; None: there are no marks."""
    before, begin, rest = text.partition(BEGIN)
    inside, end, behind = rest.partition(END)
    return (before + begin, inside, end + behind) if begin and end else None


def check(root):
    if not (root / openapi.DOCUMENT).is_file():
        return []
    text = (root / README).read_text()
    found = parts(text)
    if found is None:
        return [f"{README}:1: the marks around the table of routes are missing"]
    if found[1] != table(openapi.load(root)):
        line = found[0].count("\n") + 1
        return [f"{README}:{line}: not the table that {openapi.DOCUMENT} makes: run script/format"]
    return []


def write(root):
    found = parts((root / README).read_text())
    if found is None:
        sys.exit(f"{README}: the marks around the table of routes are missing")
    (root / README).write_text(found[0] + table(openapi.load(root)) + found[2])


if __name__ == "__main__":
    write(tree.ROOT)

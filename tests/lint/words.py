"""Words that do not belong into the project: paths of somebody's machine, unfinished work, tests
that are switched off."""

import re

import tree

# Written so that this file does not find itself.
WORDS = [
    (re.compile(r"(?<![\w.])/(?:hom[e]|User[s]|roo[t]|wor[k])/\w"), "a path of somebody's machine"),
    (re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b"), "unfinished work"),
    (re.compile(r"^\s*#\s*if\s+[0]\s*$"), "code that is switched off"),
    (re.compile(r"\bmark\.ski[p]|\bpytest\.ski[p]|\bxfai[l]\b|\bunittest\.ski[p]"),
     "a test that is switched off"),
]


def complaints_of(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in WORDS:
            match = pattern.search(line)
            if match:
                yield f"{path}:{number}: {what}: {match.group().strip()}"


def check(root):
    complaints = []
    for file in tree.all_files(root):
        data = file.read_bytes()
        if b"\0" not in data:  # text
            complaints += complaints_of(tree.name(root, file), data.decode(errors="replace"))
    return complaints

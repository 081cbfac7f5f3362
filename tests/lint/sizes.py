"""Tripwires for size: long files and functions, deep nesting, many parameters. What crosses one
has a line in size_waivers, "path[:function] reason"; a waiver that is not needed is a complaint."""

import re
from collections import namedtuple

import tree

FILE_LINES = 800
FUNCTION_LINES = 80
NESTING = 4
PARAMETERS = 6
WAIVERS = "tests/lint/size_waivers"

Function = namedtuple("Function", "name line lines nesting parameters")

# A function begins in the first column and its brace stands alone there (.clang-format), or it is
# one of the few that end on the line they begin.
HEAD = re.compile(r"^[A-Za-z_][^;{}=#]*?\b(\w+)\s*\(", re.MULTILINE)
BARE_CONTROL = re.compile(r"\b(?:else|do)\s*$")
CONTROL = re.compile(r"\b(?!return\b|sizeof\b)\w+\s*$")  # if, for, while, switch, LIST_FOREACH_SAFE


def matching(text, at, opening, closing):
    """The index behind the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == opening) - (text[i] == closing)
        if depth == 0:
            return i + 1
    return len(text)


def count_parameters(text):
    depth = 0
    commas = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        commas += c == "," and depth == 0
    return 0 if text.strip() in ("", "void") else commas + 1


def is_control(before):
    """Does a brace behind this text open a block of a statement? "(struct x)" is no statement."""
    if BARE_CONTROL.search(before):
        return True
    before = before.rstrip()
    depth = 0
    for i in range(len(before) - 1, -1, -1):
        depth += (before[i] == ")") - (before[i] == "(")
        if depth == 0:
            return before[i] == "(" and bool(CONTROL.search(before[:i]))
    return False


def deepest_nesting(body):
    """How many if, for, while, do, switch and else are open at once; initialisers do not count."""
    stack = []
    deepest = 0
    for i, c in enumerate(body):
        if c == "{":
            stack.append(is_control(body[:i]))
            deepest = max(deepest, sum(stack))
        elif c == "}" and stack:
            stack.pop()
    return deepest


def functions(text):
    """Every function definition of a C source."""
    text = tree.code(text)
    # A macro may span lines: it is no function.
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  text, flags=re.MULTILINE)
    at = 0
    while (head := HEAD.search(text, at)):
        close = matching(text, head.end() - 1, "(", ")")
        behind = re.match(r"\s*(?:__attribute__\s*\(\(.*?\)\)\s*)?\{", text[close:], re.DOTALL)
        if not behind:
            at = close
            continue
        brace = close + behind.end() - 1
        end = matching(text, brace, "{", "}")
        first = text.count("\n", 0, head.start()) + 1
        last = text.count("\n", 0, end) + 1
        yield Function(head.group(1), first, last - first + 1,
                       deepest_nesting(text[brace + 1:end - 1]),
                       count_parameters(text[head.end():close - 1]))
        at = end


def violations(root):
    """(waiver that would cover it, complaint)."""
    for file in tree.files(root, "src", "tests", suffixes={".c", ".h"}):
        path = tree.name(root, file)
        text = file.read_text()
        n_lines = text.count("\n")
        if n_lines > FILE_LINES:
            yield path, f"{path}:1: {n_lines} lines, more than {FILE_LINES}"
        for f in functions(text):
            for value, limit, what in ((f.lines, FUNCTION_LINES, "lines"),
                                       (f.nesting, NESTING, "levels of nesting"),
                                       (f.parameters, PARAMETERS, "parameters")):
                if value > limit:
                    yield (f"{path}:{f.name}",
                           f"{path}:{f.line}: {f.name} has {value} {what}, more than {limit}")


def read_waivers(root):
    """{waiver: line}, and complaints about lines that give no reason."""
    waivers = {}
    complaints = []
    file = root / WAIVERS
    for number, line in enumerate(file.read_text().splitlines() if file.exists() else [], 1):
        words = line.split(None, 1)
        if not words or line.startswith("#"):
            continue
        if len(words) == 1:
            complaints.append(f"{WAIVERS}:{number}: a waiver needs a reason")
        waivers[words[0]] = number
    return waivers, complaints


def check(root):
    waivers, complaints = read_waivers(root)
    used = set()
    for waiver, complaint in violations(root):
        if waiver in waivers:
            used.add(waiver)
        else:
            complaints.append(complaint)
    complaints += [f"{WAIVERS}:{number}: '{waiver}' is not needed any more"
                   for waiver, number in waivers.items() if waiver not in used]
    return complaints

"""The files of a source tree, and C source without what is not code. A check is a function from
the root of a tree to a list of complaints, "path:line: what is wrong"."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {".git", "build", "data", "__pycache__", ".pytest_cache"}

NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(root, *folders, suffixes):
    """The files with these suffixes below root/folder, sorted."""
    found = []
    for folder in folders:
        found += [p for p in (Path(root) / folder).rglob("*")
                  if p.suffix in suffixes and p.is_file()]
    return sorted(found)


def all_files(root):
    """What git tracks or would track; outside of a repository, everything that is not generated."""
    root = Path(root)
    if (root / ".git").exists():
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"],
                                check=True, capture_output=True).stdout
        paths = [root / name.decode() for name in listed.split(b"\0") if name]
        return sorted(p for p in set(paths) if p.is_file())
    return sorted(p for p in root.rglob("*")
                  if p.is_file() and not GENERATED & set(p.relative_to(root).parts))


def name(root, path):
    return Path(path).relative_to(root).as_posix()


def code(text):
    """C source with comments and literals blanked out; lines and columns stay."""
    return NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def includes(path):
    """(line, spelled, is_system) of every #include."""
    pattern = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = pattern.match(line)
        if match:
            yield number, match.group(2), match.group(1) == "<"

"""C sources are as script/format leaves them."""

import subprocess

import tree


def check(root):
    files = tree.files(root, "src", "tests", suffixes={".c", ".h"})
    if not files:
        return []
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", f"--style=file:{root}/.clang-format",
                             *map(str, files)], capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    first = {line.split(":", 1)[0]: line for line in reversed(lines)}  # one a file
    return [line.replace(f"{root}/", "", 1).replace("code should be clang-formatted [-Wclang-format-violations]",
                                                   "run script/format")
            for line in first.values()] or (["clang-format failed: " + result.stderr[:300]]
                                            if result.returncode else [])

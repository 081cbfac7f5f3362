#!/usr/bin/env python3
"""All checks on the source, or those that are named: tests/lint/run.py [includes ...].
Exit status 0 only when none complains."""

import importlib
import sys

import tree

CHECKS = ["includes", "headers", "sizes", "banned", "proto_fuzz", "openapi", "routes", "words",
          "formatting"]


def main(names):
    unknown = set(names) - set(CHECKS)
    if unknown:
        sys.exit(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    n_complaints = 0
    for check in names or CHECKS:
        complaints = importlib.import_module(check).check(tree.ROOT)
        print(f"{check}: {'ok' if not complaints else len(complaints)}")
        for complaint in complaints:
            print(f"  {complaint}")
        n_complaints += len(complaints)
    return 1 if n_complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

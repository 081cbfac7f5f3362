"""Every source file of the program includes base/banned.h, and includes it last; fuzz targets and load
generators too."""

import tree

BANNED = "base/banned.h"


def check(root):
    complaints = []
    for file in tree.files(root, "src", "tests/fuzz", "tests/bench", suffixes={".c"}):
        path = tree.name(root, file)
        found = list(tree.includes(file))
        lines = [line for line, header, _ in found if header == BANNED]
        if not lines:
            complaints.append(f'{path}:1: does not include "{BANNED}"')
        elif found[-1][1] != BANNED:
            complaints.append(f'{path}:{found[-1][0]}: "{BANNED}" must be the last include')
    return complaints

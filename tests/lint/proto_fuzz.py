"""Every wire format has a fuzz target, and every fuzz target a corpus.

A format is a header with code. A source file without a header of its name is a part of the format
that its name begins with: a_part.c of a.h.
"""

import tree


def check(root):
    complaints = []
    fuzz = root / "tests" / "fuzz"
    for file in tree.files(root, "src/proto", suffixes={".c"}):
        headers = file.parent.glob("*.h")
        if any(file.stem.startswith(f"{header.stem}_") for header in headers) and (
            not file.with_suffix(".h").is_file()
        ):
            continue
        if not (fuzz / f"fuzz_{file.stem}.c").is_file():
            complaints.append(f"{tree.name(root, file)}:1: tests/fuzz/fuzz_{file.stem}.c is missing")
    for file in sorted(fuzz.glob("fuzz_*.c")):
        corpus = fuzz / "corpus" / file.stem.removeprefix("fuzz_")
        if not any(corpus.glob("[!.]*")):
            complaints.append(f"{tree.name(root, file)}:1: {tree.name(root, corpus)}/ has no input")
    return complaints

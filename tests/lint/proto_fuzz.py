"""Every wire format has a fuzz target, and every fuzz target a corpus.

A format is a header with code; a source file without a header of its name is a part of one.
"""

import tree


def check(root):
    complaints = []
    fuzz = root / "tests" / "fuzz"
    for file in tree.files(root, "src/proto", suffixes={".c"}):
        if not file.with_suffix(".h").is_file():
            continue
        if not (fuzz / f"fuzz_{file.stem}.c").is_file():
            complaints.append(f"{tree.name(root, file)}:1: tests/fuzz/fuzz_{file.stem}.c is missing")
    for file in sorted(fuzz.glob("fuzz_*.c")):
        corpus = fuzz / "corpus" / file.stem.removeprefix("fuzz_")
        if not any(corpus.glob("[!.]*")):
            complaints.append(f"{tree.name(root, file)}:1: {tree.name(root, corpus)}/ has no input")
    return complaints

"""Every wire format has a fuzz target, and every fuzz target a corpus."""

import tree


def check(root):
    complaints = []
    fuzz = root / "tests" / "fuzz"
    for file in tree.files(root, "src/proto", suffixes={".c"}):
        if not (fuzz / f"fuzz_{file.stem}.c").is_file():
            complaints.append(f"{tree.name(root, file)}:1: tests/fuzz/fuzz_{file.stem}.c is missing")
    for file in sorted(fuzz.glob("fuzz_*.c")):
        corpus = fuzz / "corpus" / file.stem.removeprefix("fuzz_")
        if not any(corpus.glob("[!.]*")):
            complaints.append(f"{tree.name(root, file)}:1: {tree.name(root, corpus)}/ has no input")
    return complaints

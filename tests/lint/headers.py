"""Every header compiles alone, twice in a row, with gcc and with clang."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import tree

COMPILERS = ["gcc", "clang"]
PACKAGES = ["libuv", "libpq"]  # what headers of ours may include
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Wconversion",
         "-Wstrict-prototypes", "-Werror", "-fsyntax-only", "-x", "c", "-"]


def package_flags():
    found = subprocess.run(["pkg-config", "--cflags", *PACKAGES], check=True, text=True,
                           capture_output=True)
    return found.stdout.split()


def compile_alone(src, header, compiler, flags):
    """None, or the first line that the compiler has to say."""
    text = f'#include "{header}"\n#include "{header}"\ntypedef int not_empty;\n'
    result = subprocess.run([compiler, "-I", str(src), *flags, *FLAGS], input=text, text=True,
                            capture_output=True)
    if result.returncode == 0:
        return None
    lines = [line for line in result.stderr.splitlines() if "error" in line]
    return (lines or result.stderr.splitlines() or ["no message"])[0]


def check(root):
    src = root / "src"
    flags = package_flags()
    jobs = [(tree.name(src, header), compiler)
            for header in tree.files(root, "src", suffixes={".h"}) for compiler in COMPILERS]
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(lambda job: compile_alone(src, *job, flags), jobs))
    return [f"src/{header}:1: does not compile alone with {compiler}: {said}"
            for (header, compiler), said in zip(jobs, results) if said]

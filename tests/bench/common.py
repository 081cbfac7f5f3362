"""What every benchmark does: build, tell, find out where it runs, end when it is interrupted."""

import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


class BenchError(Exception):
    """Something that ends the benchmark; its text is the one line that explains it."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def interrupted(*_):
    raise KeyboardInterrupt


def two_cpus():
    """One processor for the tracker and one for the load."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchError("two processors are needed: one for the tracker, one for the load")
    return cpus[:2]


def build(folder, targets):
    """An optimised build of these targets."""
    say("building")
    commands = [
        ["cmake", "--preset", "release", "-B", folder],
        ["cmake", "--build", folder, "--target", *targets],
    ]
    for command in commands:
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if run.returncode != 0:
            raise BenchError(f"{' '.join(command)} failed:\n{run.stdout.decode(errors='replace')}")


def machine_line(load_average):
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return (
        f"Machine: {model}, {os.cpu_count()} processors, Linux {platform.release()}, load average "
        f"{load_average:.2f} before the run."
    )

"""What every benchmark does: build, tell, find out where it runs, end when it is interrupted."""

import argparse
import os
import pathlib
import platform
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


class BenchError(Exception):
    """Something that ends the benchmark; its text is the one line that explains it."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def interrupted(*_):
    raise KeyboardInterrupt


def options_parser(what, description, quick, **more):
    """What all benchmarks are asked in the same words. quick: what --quick means."""
    parser = argparse.ArgumentParser(
        prog=f"script/bench {what}", description=description, **more
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--build-dir", default=str(ROOT / "build"), metavar="DIR")
    parser.add_argument("--no-build", action="store_true", help="use what is built")
    return parser


def parse(parser, **numbers):
    """The options; numbers: (in full, with --quick) of each that was not given."""
    options = parser.parse_args()
    for name, (full, quick) in numbers.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else full)
        elif getattr(options, name) <= 0:
            parser.error(f"--{name} must be more than 0")
    options.load_average = os.getloadavg()[0]
    return options


def main(options, targets, run):
    """Builds, and calls run with a folder of its own; it returns what was wrong. The exit status."""
    signal.signal(signal.SIGTERM, interrupted)
    try:
        if not options.no_build:
            build(options.build_dir, targets)
        with tempfile.TemporaryDirectory(prefix="rookery-bench-") as folder:
            os.chmod(folder, 0o755)  # who gives up root has to get in: trackers, PostgreSQL
            problems = run(pathlib.Path(folder))
    except BenchError as error:
        say(f"script/bench: {error}")
        return 1
    except KeyboardInterrupt:
        say("script/bench: interrupted")
        return 130
    for problem in problems:
        say(f"wrong: {problem}")
    return 1 if problems else 0


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


def tool(build_dir, name):
    path = pathlib.Path(build_dir) / ("rookery" if name == "rookery" else f"tests/bench/{name}")
    if not path.exists():
        raise BenchError(f"{path} is not built: run without --no-build")
    return path


def load_command(build_dir, kind, server, cpu, swarms, arguments):
    """The load generator on that processor; swarms: anything with numbers of torrents and peers."""
    target = server.http if kind.startswith("http") else server.udp
    command = [
        tool(build_dir, "bench_tracker"), "--kind", kind, "--tracker", target.address,
        "--pid", target.pid, "--cpu", cpu,
        "--torrents", swarms.torrents, "--peers", swarms.peers, *arguments,
    ]  # fmt: skip
    return [str(word) for word in command]


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

"""script/bench sharing: what it costs that two workers share one tracker.

Two workers and a load generator want three processors; there are two. So the generators send bursts
and sleep. They have real-time priority: when the clock is at a multiple of the period they wake up,
on both processors at once, take the answers of the last burst, and put the next one into the
workers' queues before a worker runs again. Then they sleep, and all workers work at the same time,
in full batches, each with a processor to itself, until they are done. What counts is the processor
time of an answer, not how long it took.

A burst is the same for each worker, whatever the arm:

  one    one worker, on the one processor and then on the other, half a generator's load from each
  apart  two trackers with a worker each, one on each processor: nothing of Rookery is shared, but
         caches, memory and kernel are as busy as they are with two workers
  two    one tracker with two workers, one on each processor

The arms follow each other in rounds. two / one is the price of sharing, apart / one the machine's
part of it (a check of what is measured, too: it should be near 1), two / apart the tracker's. Each
is the median of the rounds' ratios. docs/performance.md says more.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys

from common import (
    BenchError, load_command, machine_line, main, options_parser, parse, say, tool, two_cpus,
)  # fmt: skip
from servers import Rookery
from tracker import DataSet

SOCKETS = 8  # of a generator; with 251 addresses each, both workers get a half, nearly
BURST = 128  # of a generator; two of them fill a worker's queue with four batches
LOST_MAX = 0.001
REAL_TIME = 1  # priority; any is above what the trackers have


@dataclasses.dataclass
class Row:
    key: str
    data: str
    kind: str
    title: str
    numwant: int = 30
    hashes: int = 1
    churn: bool = False  # the generators on one processor say "stopped", so that half join or leave


ROWS = [
    Row("announce-30", "many-peers", "udp-announce", "UDP announce, numwant 30"),
    Row("scrape-50", "many-peers", "udp-scrape", "UDP scrape, 50 hashes", hashes=50),
    # Last, because it leaves half of the peers.
    Row("churn", "many-peers", "udp-announce", "UDP announce and stop", churn=True),
    Row("announce-30-1", "one-torrent", "udp-announce", "UDP announce, numwant 30"),
    Row("announce-74-1", "one-torrent", "udp-announce", "UDP announce, numwant 74", numwant=74),
    Row("scrape-1-1", "one-torrent", "udp-scrape", "UDP scrape, 1 hash"),
    Row("churn-1", "one-torrent", "udp-announce", "UDP announce and stop", churn=True),
    Row("churn-small", "small-torrent", "udp-announce", "UDP announce and stop", churn=True),
]


@dataclasses.dataclass
class Arm:
    name: str
    workers: list  # (server, index of the worker, processor)

    def servers(self):
        return list(dict.fromkeys(server for server, _, _ in self.workers))


def data_sets(quick):
    if quick:
        sets = [DataSet("many-peers", 2_000, 200_000), DataSet("one-torrent", 1, 20_000)]
    else:
        sets = [DataSet("many-peers", 10_000, 1_000_000), DataSet("one-torrent", 1, 100_000)]
    sets.append(DataSet("small-torrent", 1, 3_000))
    return {data.key: data for data in sets}


def ticks_of(pid, thread):
    """Processor time of a thread, in the kernel's ticks."""
    text = pathlib.Path(f"/proc/{pid}/task/{thread}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.build = pathlib.Path(options.build_dir)
        self.cpus = two_cpus()
        self.results = []  # a dict a run: row, arm, round, microseconds an answer
        self.bursts = self.behind = 0
        self.problems = []

    def generator(self, server, data, kind, cpu, arguments, prefix=()):
        return subprocess.Popen(
            [*prefix, *load_command(self.build, kind, server, cpu, data, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result_of(self, generator):
        output, errors = generator.communicate()
        if generator.returncode != 0:
            raise BenchError(errors.strip())
        return json.loads(output)

    def fill(self, server, data):
        say(f"  {server.name}: {data.text}")
        arguments = ["--numwant", 1, "--event", "started"]
        result = self.result_of(
            self.generator(server, data, "udp-fill", self.cpus[1], arguments)
        )
        if result["failures"] or result["malformed"]:
            raise BenchError(f"{server.name}: a fill with wrong answers")

    def arms(self, one, other, two):
        first, second = self.cpus
        return [
            Arm("one", [(one, 0, first)]),
            Arm("apart", [(one, 0, first), (other, 0, second)]),
            Arm("two", [(two, 0, first), (two, 1, second)]),
            Arm("one", [(one, 0, second)]),
        ]

    def run_data_set(self, data, rows):
        with contextlib.ExitStack() as stack:
            binary = pathlib.Path(self.options.binary or tool(self.build, "rookery"))
            servers = [
                stack.enter_context(Rookery(self.cpus[0], self.folder, binary, workers, name))
                for name, workers in (("one", 1), ("other", 1), ("two", 2))
            ]
            for server in servers:
                self.fill(server, data)
            arms = self.arms(*servers)
            for row, number in itertools.product(rows, range(self.options.rounds)):
                say(f"  {row.key}: round {number + 1} of {self.options.rounds}")
                # Forth and back, so that what drifts meets all arms alike.
                for arm in arms if number % 2 == 0 else reversed(arms):
                    self.measure(arm, data, row, number)

    def measure(self, arm, data, row, number):
        for server, index, cpu in arm.workers:
            os.sched_setaffinity(server.worker_threads()[index], {cpu})
        arguments = [
            "--numwant", row.numwant, "--hashes", row.hashes, "--sockets", SOCKETS,
            "--window", BURST // 2 if row.hashes > 1 else BURST,
            "--period", self.options.period, "--duration", self.options.duration,
            "--warmup", self.options.warmup,
        ]  # fmt: skip
        threads = [(server.udp.pid, server.worker_threads()[i]) for server, i, _ in arm.workers]
        before = [ticks_of(*thread) for thread in threads]
        # One for each worker on each processor.
        events = [[], ["--event", "stopped"] if row.churn else []]
        targets = [
            (server, cpu, event)
            for server, _, _ in arm.workers
            for cpu, event in zip(self.cpus, events)
        ]
        prefix = ["chrt", "--fifo", str(REAL_TIME)]
        generators = [
            (server, self.generator(server, data, row.kind, cpu, arguments + event, prefix))
            for server, cpu, event in targets
        ]
        results = [(server, self.result_of(generator)) for server, generator in generators]
        ticks = [ticks_of(*thread) - was for thread, was in zip(threads, before)]
        what = f"{row.title} ({data.text}), {arm.name}"
        for _, result in results:
            self.check(what, result)
        self.results.append(
            {
                "row": row.key,
                "arm": arm.name,
                "round": number,
                "us": self.microseconds(arm, results),
                "ticks": ticks,
            }
        )

    def microseconds(self, arm, results):
        """Of processor time an answer. Each generator has measured its server's time."""
        cpu_s = 0
        for server in arm.servers():
            own = [result for of, result in results if of is server]
            cpu_s += statistics.fmean(
                result["answers"] / result["answers_per_cpu_s"] for result in own
            )
        return 1e6 * cpu_s / sum(result["answers"] for _, result in results)

    def check(self, what, result):
        for name in ("failures", "malformed", "foreign", "self"):
            if result[name]:
                self.problems.append(f"{what}: {result[name]} {name}")
        if result["lost"] > LOST_MAX * result["answers"] + 1:
            self.problems.append(f"{what}: {result['lost']} requests without an answer")
        self.bursts += result["bursts"]
        self.behind += result["behind"]

    def run(self):
        rows = [row for row in ROWS if not self.options.only or row.key in self.options.only]
        for key, data in data_sets(self.options.quick).items():
            of_data = [row for row in rows if row.data == key]
            if of_data:
                self.run_data_set(data, of_data)
                for row in of_data:
                    self.table_row(row, data)

    # ---- the table --------------------------------------------------------------------------

    def rounds_of(self, row, arm):
        """A round's microseconds an answer; an arm that is measured twice in it gives the mean."""
        of_arm = [run for run in self.results if run["row"] == row.key and run["arm"] == arm]
        return [
            statistics.fmean(run["us"] for run in of_arm if run["round"] == number)
            for number in range(self.options.rounds)
        ]

    def table_head(self):
        titles = ["work", "one", "apart", "two", "apart / one", "two / apart", "two / one"]
        print("Microseconds of the tracker's CPU time an answer, and ratios within a round: median")
        print("(the middle half of the rounds).\n")
        print("| " + " | ".join(titles) + " |")
        print("| " + " | ".join("---" for _ in titles) + " |", flush=True)

    def table_row(self, row, data):
        us = {arm: self.rounds_of(row, arm) for arm in ("one", "apart", "two")}
        cells = [f"{row.title} ({data.text})"]
        cells += [spread(us[arm]) for arm in us]
        for above, below in (("apart", "one"), ("two", "apart"), ("two", "one")):
            cells.append(spread([a / b for a, b in zip(us[above], us[below])], 3))
        print("| " + " | ".join(cells) + " |", flush=True)

    def shares(self):
        """How evenly the kernel gave the work to the two workers of one tracker."""
        of_two = [run["ticks"] for run in self.results if run["arm"] == "two"]
        ticks = [sum(pair[i] for pair in of_two) for i in (0, 1)]
        share = 100 * ticks[0] / sum(ticks)
        return f"Of two workers' processor time the first has had {share:.1f} %."


def spread(values, digits=2):
    low, middle, high = values[0], values[0], values[0]
    if len(values) > 1:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def parse_options():
    parser = options_parser(
        "sharing",
        "What two workers cost more than one, in processor time an answer.",
        "smaller swarms, about two minutes",
        epilog="rows: " + " ".join(row.key for row in ROWS),
    )
    parser.add_argument("--rounds", type=int, help="30, with --quick 8")
    parser.add_argument("--duration", type=int, metavar="MS", help="of one measurement: 400, 300")
    parser.add_argument("--warmup", type=int, metavar="MS", help="before it: 100, 50")
    parser.add_argument("--period", type=int, default=5100, metavar="US",
                        help="between two bursts: 5100")  # fmt: skip
    parser.add_argument("--only", action="append", choices=[row.key for row in ROWS], metavar="ROW",
                        help="this row only; may be repeated")  # fmt: skip
    parser.add_argument("--binary", metavar="PATH", help="another build of rookery")
    parser.add_argument("--json", metavar="FILE", help="write every single measurement there")
    return parse(parser, rounds=(30, 8), duration=(400, 300), warmup=(100, 50))


def run(options, folder):
    bench = Bench(options, folder)
    bench.table_head()
    bench.run()
    print(f"\n{machine_line(options.load_average)}")
    print(
        f"Run: {options.rounds} rounds of {options.duration} ms a row and arm; "
        f"{100 * bench.behind / bench.bursts:.1f} % of the bursts not done in time."
    )
    print(bench.shares())
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(bench.results, indent=1) + "\n")
    return bench.problems


if __name__ == "__main__":
    options = parse_options()
    sys.exit(main(options, ["bench_tracker", "rookery"], lambda folder: run(options, folder)))

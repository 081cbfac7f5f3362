"""script/bench gaps: how long the tracker does not look at its sockets, at worst, while ten million
peers come, announce and expire, one torrent has a million of them, and the API is asked for what is
most work. The server has one processor, the load generator another. How to read the result:
docs/performance.md.
"""

import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import time

from common import (
    BenchError, load_command, machine_line, main, options_parser, parse, say, tool, two_cpus,
)  # fmt: skip
from servers import Rookery

LIMIT_MS = 2  # has to be a bound of the server's histograms
PAGE = 1000


@dataclasses.dataclass
class DataSet:
    key: str
    text: str
    torrents: int
    peers: int
    timeout_s: int  # of a silent peer
    expire_s: int  # how long expiry is watched


@dataclasses.dataclass
class Phase:
    data: str
    title: str
    batch_ms: float  # in no batch of requests or slice of the sweep the worker was longer
    n_long_batches: int  # above LIMIT_MS
    work_ms: float  # in no turn of a worker's loop it had the processor longer
    n_long_turns: int  # with more work than LIMIT_MS
    gap_ms: float  # no turn was longer
    n_switches: int  # times that the kernel took a worker its processor
    stolen_ms: float  # that a host took from all processors
    load_work_ms: float  # the longest work of the load generator in one of its turns
    load_gap_ms: float  # its longest turn
    answers_per_s: float
    note: str


def data_sets(quick):
    if quick:
        return [
            DataSet("torrents", "1 M peers of 100,000 torrents", 100_000, 1_000_000, 25, 8),
            DataSet("one", "200,000 peers of one torrent", 1, 200_000, 15, 8),
        ]
    return [
        DataSet("torrents", "10 M peers of 1 M torrents", 1_000_000, 10_000_000, 120, 25),
        DataSet("one", "1 M peers of one torrent", 1, 1_000_000, 25, 25),
    ]


class Server(Rookery):
    def __init__(self, cpu, folder, binary, timeout_s):
        super().__init__(cpu, folder, binary)
        self.timeout_s = timeout_s

    def config(self):
        timeout = f"  peer_timeout: {self.timeout_s}\n"
        return super().config().replace("tracker:\n", f"tracker:\n{timeout}")

    def take(self, path, method="GET"):
        for _ in self.request(path, method):
            pass

    def samples(self):
        """All of /metrics by name and labels."""
        lines = self.call("/metrics").splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return {name: float(value) for name, value in samples}

    def tasks(self):
        return pathlib.Path(f"/proc/{self.udp.pid}/task")

    def switches(self):
        texts = [(self.tasks() / str(id) / "status").read_text() for id in self.worker_threads()]
        return sum(int(text.split("nonvoluntary_ctxt_switches:")[1].split()[0]) for text in texts)

    def set_apart(self, cpu):
        """All threads but the workers go to another processor."""
        for thread in {int(task.name) for task in self.tasks().iterdir()}.difference(
            self.worker_threads()
        ):
            os.sched_setaffinity(thread, {cpu})


def longest(what, before, after):
    """The bound that nothing between two looks at the metrics was over, and how often it was over
    LIMIT_MS."""
    name = f'rookery_{what}_seconds_bucket{{le="'
    bounds = [key[len(name) : -2] for key in after if key.startswith(name)]
    new = {bound: after[f'{name}{bound}"}}'] - before[f'{name}{bound}"}}'] for bound in bounds}
    bound = next(bound for bound in bounds if new[bound] == new["+Inf"])
    return float(bound) * 1000, int(new["+Inf"] - new[f"{LIMIT_MS / 1000:g}"])


def stolen():
    """Seconds of all processors that a host gave to others, in steps of a hundredth."""
    of_all = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()
    return int(of_all[8]) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.build = pathlib.Path(options.build_dir)
        self.tracker_cpu, self.load_cpu = two_cpus()
        os.sched_setaffinity(0, {self.load_cpu})  # this program reads the API's answers
        self.phases = []
        self.running = None  # a load generator

    def stop(self):
        if self.running is not None and self.running.poll() is None:
            self.running.kill()
            self.running.wait()

    def hash_of_first(self):
        command = [tool(self.build, "bench_tracker"), "--hashes-of", "1"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def load(self, server, data, kind, *arguments):
        process = subprocess.Popen(
            load_command(self.build, kind, server, self.load_cpu, data, arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.running = process
        return process

    def fill(self, server, data):
        return self.load(server, data, "udp-fill", "--numwant", 1, "--event", "started")

    def announces(self, server, data, seconds):
        return self.load(server, data, "udp-announce", "--duration", int(seconds * 1000))

    def some_announces(self, server, data, seconds):
        """Of a tenth of the peers; that they are given others too is right."""
        some = dataclasses.replace(data, peers=data.peers // 10)
        arguments = ["--duration", int(seconds * 1000), "--foreign-peers"]
        return self.load(server, some, "udp-announce", *arguments)

    def watch(self, server, data, title, process, beside=None):
        """The gaps while the load runs; beside is called again and again meanwhile."""
        say(f"  {title}")
        before, switches, stolen_s = server.samples(), server.switches(), stolen()
        n_calls = 0
        slowest_s = 0.0
        while beside is not None and process.poll() is None:
            start_s = time.monotonic()
            beside()
            slowest_s = max(slowest_s, time.monotonic() - start_s)
            n_calls += 1
        output, errors = process.communicate()
        if process.returncode != 0:
            raise BenchError(f"{title}: {errors.strip()}")
        result = json.loads(output)
        if any(result[name] for name in ("failures", "malformed", "foreign", "self")):
            raise BenchError(f"{title}: wrong answers: {output.strip()}")
        after, switches = server.samples(), server.switches() - switches
        gone = sum(after[k] - before[k] for k in after if k.startswith("rookery_peers_gone_total"))
        notes = [f"{gone:,.0f} peers went"] if gone else []
        notes += [f"{n_calls} calls, up to {slowest_s * 1000:.0f} ms"] if n_calls else []
        notes += [f"{result['lost']} answers lost"] if result["lost"] else []
        gap_ms, _ = longest("loop_gap", before, after)
        self.phases.append(
            Phase(data.text, title, *longest("batch", before, after),
                  *longest("loop_work", before, after), gap_ms, switches,
                  (stolen() - stolen_s) * 1000, result["work_us"] / 1000,
                  result["pause_us"] / 1000, result["answers_per_s"], ", ".join(notes))  # fmt: skip
        )

    def beside(self, server, data, title, call):
        self.watch(server, data, title, self.announces(server, data, self.options.seconds), call)

    def run_torrents(self, server, data):
        start_s = time.monotonic()
        last = data.torrents - PAGE
        paths = {
            "GET stats": lambda: "/api/v1/stats",
            f"GET torrents, {PAGE} at a time": lambda: (
                f"/api/v1/torrents?offset={random.randrange(last)}&limit={PAGE}"
            ),
            "GET torrents, all": lambda: f"/api/v1/torrents?limit={data.torrents}",
            "GET peers of an address": lambda: "/api/v1/peers?ip=127.77.0.1",
        }
        self.watch(server, data, "all peers come", self.fill(server, data))
        self.beside(server, data, "announces", None)
        for title, path in paths.items():
            self.beside(server, data, title, lambda: server.take(path()))  # noqa: B023
        self.expire(server, data, start_s)

    def run_one(self, server, data):
        torrent = f"/api/v1/torrent/{self.hash_of_first()}"
        self.watch(server, data, "all peers come", self.fill(server, data))
        self.beside(server, data, "announces", None)
        self.beside(server, data, "GET torrent", lambda: server.take(torrent))
        forget_s = time.monotonic() + self.options.seconds / 3
        forgotten = []

        def forget():
            time.sleep(0.05)
            if not forgotten and time.monotonic() > forget_s:
                server.take(torrent, "DELETE")
                forgotten.append(True)

        self.beside(server, data, "DELETE torrent", forget)
        start_s = time.monotonic()
        self.watch(server, data, "all come again", self.fill(server, data))
        self.expire(server, data, start_s)

    def expire(self, server, data, start_s):
        """A tenth of the peers announces until the others expire, and while they do."""
        rest_s = start_s + data.timeout_s - time.monotonic()
        if rest_s > 0:
            say(f"  {rest_s:.0f} s to the timeout")
            self.some_announces(server, data, rest_s).communicate()
        process = self.some_announces(server, data, data.expire_s)
        self.watch(server, data, "nine of ten expire", process)

    def run(self):
        for data in data_sets(self.options.quick):
            if self.options.only not in (None, data.key):
                continue
            say(data.text)
            binary = tool(self.build, "rookery")
            with Server(self.tracker_cpu, self.folder, binary, data.timeout_s) as server:
                if self.options.apart:
                    server.set_apart(self.load_cpu)
                {"torrents": self.run_torrents, "one": self.run_one}[data.key](server, data)

    def print(self):
        titles = ["", "longest batch, ms", f"over {LIMIT_MS} ms", "longest work, ms",
                  f"over {LIMIT_MS} ms", "longest gap, ms", "switches", "stolen, ms",
                  "the load's: work, ms", "gap, ms", "answers/s", ""]  # fmt: skip
        data = None
        for p in self.phases:
            if p.data != data:
                data = p.data
                print(f"\n{data}\n\n| " + " | ".join(titles) + " |")
                print("| --- |" + " --- |" * (len(titles) - 1))
            print(f"| {p.title} | {p.batch_ms:g} | {p.n_long_batches} | {p.work_ms:g} "
                  f"| {p.n_long_turns} | {p.gap_ms:g} | {p.n_switches} | {p.stolen_ms:.0f} "
                  f"| {p.load_work_ms:.2f} | {p.load_gap_ms:.1f} | {p.answers_per_s:,.0f} "
                  f"| {p.note} |")  # fmt: skip
        cpu = "a processor of its own" if self.options.apart else "the server's processor"
        print(f"\n{machine_line(self.options.load_average)} The worker is on {cpu}.")


def parse_options():
    parser = options_parser(
        "gaps",
        "The longest time that the tracker does not look at its sockets.",
        "smaller swarms, about two minutes",
    )
    parser.add_argument("--only", choices=["torrents", "one"], help="one of the two sets of swarms")
    parser.add_argument("--apart", action="store_true",
                        help="all but the worker's thread runs on the load's processor")  # fmt: skip
    parser.add_argument("--seconds", type=float, help="of most phases: 4, with --quick 2")
    return parse(parser, seconds=(4, 2))


def run(options, folder):
    bench = Bench(options, folder)
    try:
        bench.run()
    finally:
        bench.stop()
        bench.print()
    return []  # a wrong answer ends it


if __name__ == "__main__":
    options = parse_options()
    sys.exit(main(options, ["rookery", "bench_tracker"], lambda folder: run(options, folder)))

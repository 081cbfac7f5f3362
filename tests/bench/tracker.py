"""script/bench tracker: Rookery beside opentracker and the kernel's own floor, interleaved.

For each data set all trackers are started and given the same swarms; then, round by round and row
by row, each in turn is asked the same for a few seconds while the others idle. The trackers share
one processor, the load generator has another. What the figures mean: docs/performance.md.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time

from common import BenchError, load_command, main, options_parser, parse, say, tool, two_cpus
from servers import Bare, OpenTracker, Rookery
from table import Table

LOST_SHARE_MAX = 0.001
REMAIN = 10  # of so many peers one stays when memory that is given back is measured
SETTLE_S = 17  # a round of Rookery's sweep and what it takes


@dataclasses.dataclass
class DataSet:
    key: str
    torrents: int
    peers: int
    text: str = ""

    def __post_init__(self):
        self.text = f"{count(self.torrents, 'torrent')}, {count(self.peers, 'peer')}"


@dataclasses.dataclass
class Row:
    key: str
    data: str
    kind: str
    title: str
    numwant: int = 30
    hashes: int = 1
    window: int = 128
    bare_peers: int = 0  # in an answer of the bare echo, when swarms are smaller than numwant
    only_memory: bool = False


ROWS = [
    Row("udp-connect", "many-peers", "udp-connect", "UDP connect"),
    Row("udp-announce-30", "many-peers", "udp-announce", "UDP announce, numwant 30"),
    Row("udp-announce-74", "many-peers", "udp-announce", "UDP announce, numwant 74", numwant=74),
    Row("udp-scrape-1", "many-peers", "udp-scrape", "UDP scrape, 1 hash"),
    # 50 hashes make a datagram of 1 KiB: a default receive buffer holds about 90 of them.
    Row("udp-scrape-50", "many-peers", "udp-scrape", "UDP scrape, 50 hashes", hashes=50, window=64),
    Row("http-keepalive", "many-peers", "http-keepalive", "HTTP announce, keep-alive"),
    Row("http-connection", "many-peers", "http-connection", "HTTP announce, a connection each"),
    Row(
        "udp-announce-1m", "many-torrents", "udp-announce", "UDP announce, numwant 30", bare_peers=2
    ),
    Row("udp-scrape-1-1m", "many-torrents", "udp-scrape", "UDP scrape, 1 hash"),
    Row(
        "udp-scrape-50-1m",
        "many-torrents",
        "udp-scrape",
        "UDP scrape, 50 hashes",
        hashes=50,
        window=64,
    ),
    Row("udp-announce-30-1", "one-torrent", "udp-announce", "UDP announce, numwant 30"),
    Row("udp-announce-74-1", "one-torrent", "udp-announce", "UDP announce, numwant 74", numwant=74),
    Row("memory-100", "many-peers", "", "memory", only_memory=True),
    Row("memory-10", "ten-peers", "", "memory", only_memory=True),
]


def data_sets(quick):
    sets = [
        DataSet("many-peers", 10_000, 1_000_000),
        DataSet("many-torrents", 1_000_000, 2_000_000),
        DataSet("one-torrent", 1, 100_000),
        DataSet("ten-peers", 100_000, 1_000_000),
    ]
    if quick:
        sets = [
            DataSet("many-peers", 2_000, 200_000),
            DataSet("many-torrents", 200_000, 400_000),
            DataSet("one-torrent", 1, 20_000),
            DataSet("ten-peers", 20_000, 200_000),
        ]
    return {data.key: data for data in sets}


def count(n, what):
    text = f"{n // 1_000_000} M" if n % 1_000_000 == 0 else f"{n:,}"
    return f"{text} {what}" + ("" if n == 1 else "s")


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.build = pathlib.Path(options.build_dir)
        self.tracker_cpu, self.load_cpu = two_cpus()
        self.opentracker = shutil.which(options.opentracker)
        self.data = data_sets(options.quick)
        self.results = []  # one dict a run: row, tracker, round and what bench_tracker printed
        self.memory = {}  # (peers a torrent, tracker) -> bytes a peer
        self.remaining = {}  # (peers a torrent before and after, tracker) -> bytes a peer, fresh
        self.problems = []

    def wanted(self, name):
        return not self.options.trackers or name in self.options.trackers

    def servers(self, data):
        """The servers for one data set, not started yet."""
        servers = []
        if self.wanted("bare"):
            servers.append(Bare(self.tracker_cpu, self.folder, tool(self.build, "bench_echo")))
        if self.opentracker and (self.wanted("opentracker") or self.wanted("opentracker-workers")):
            hashes = self.folder / "hashes"
            with hashes.open("w") as output:
                command = [tool(self.build, "bench_tracker"), "--hashes-of", str(data.torrents)]
                subprocess.run(command, stdout=output, check=True)
            for name, workers in (("opentracker-workers", 1), ("opentracker", 0)):
                if self.wanted(name):
                    binary = self.opentracker
                    server = OpenTracker(self.tracker_cpu, self.folder, binary, hashes, workers)
                    servers.append(server)
        if self.wanted("rookery"):
            servers.append(Rookery(self.tracker_cpu, self.folder, tool(self.build, "rookery")))
        return servers

    def load(self, server, data, kind, arguments):
        """One run of bench_tracker; its line of JSON as a dict."""
        if server.foreign_peers:
            arguments = [*arguments, "--foreign-peers"]
        command = load_command(self.build, kind, server, self.load_cpu, data, arguments)
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise BenchError(f"{server.title}, {kind}: {run.stderr.strip()}")
        return json.loads(run.stdout)

    def check(self, server, what, result):
        """Wrong answers make the whole benchmark fail: a fast wrong answer is worth nothing."""
        for name in ("failures", "malformed", "foreign"):
            if result[name]:
                self.problems.append(f"{server.title}, {what}: {result[name]} {name}")
        if server.name == "rookery" and result["self"]:
            self.problems.append(f"{server.title}, {what}: peers were given themselves")
        if result["lost"] > LOST_SHARE_MAX * result["answers"] + 1:
            lost = result["lost"]
            self.problems.append(f"{server.title}, {what}: {lost} requests without an answer")

    def fill(self, server, data):
        """Announce every peer once. The first peer of each torrent goes first, which gives the
        memory of torrents with one peer on the way."""
        common = ["--numwant", 1, "--event", "started"]
        parts = [(0, data.peers)]
        if data.key == "many-torrents":
            parts = [(0, data.torrents), (data.torrents, data.peers - data.torrents)]
        before = None
        for first, n in parts:
            say(f"  {server.title}: {count(n, 'peer')} announce")
            arguments = [*common, "--first", first, "--count", n]
            result = self.load(server, data, "udp-fill", arguments)
            self.check(server, "fill", result)
            if first == 0 and data.key != "one-torrent":
                self.memory[n // data.torrents, server.name] = result["resident_per_peer"]
            before = result["resident_before"] if before is None else before
        return before

    def leave(self, servers, data, before):
        """Nine of ten peers of each torrent stop; what stays resident, beside what the same tracker
        needs that never had more. before: resident bytes of each server when it was empty."""
        remain = data.peers // REMAIN
        fresh = DataSet(data.key, data.torrents, remain)
        for server in servers:
            say(f"  {server.title}: {count(data.peers - remain, 'peer')} leave")
            arguments = ["--numwant", 1, "--event", "stopped"]
            arguments += ["--first", remain, "--count", data.peers - remain]
            result = self.load(server, data, "udp-fill", arguments)
            self.check(server, "leave", result)
        time.sleep(SETTLE_S)
        stayed = [server.resident_bytes() - before[server.name] for server in servers]
        for server, bytes_ in zip(servers, stayed):
            server.stop()
            with server:
                again = self.load(
                    server, fresh, "udp-fill", ["--numwant", 1, "--event", "started"]
                )
            swarm = data.peers // data.torrents, remain // data.torrents
            self.remaining[swarm, server.name] = bytes_ / remain, again["resident_per_peer"]

    def run_data_set(self, data, rows):
        say(f"{data.text}")
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(server) for server in self.servers(data)]
            trackers = [server for server in servers if not server.foreign_peers]
            before = {server.name: self.fill(server, data) for server in trackers}
            shrinks = any(row.only_memory for row in rows)
            rows = [row for row in rows if not row.only_memory]
            for number in range(self.options.rounds if rows else 0):
                say(f"  round {number + 1} of {self.options.rounds}")
                for row in rows:
                    # Nobody is always first after a pause.
                    turn = number % len(servers)
                    for server in servers[turn:] + servers[:turn]:
                        self.measure(server, data, row, number)
            if shrinks:
                self.leave(trackers, data, before)

    def measure(self, server, data, row, number):
        numwant = row.bare_peers or row.numwant if server.foreign_peers else row.numwant
        arguments = [
            "--numwant", numwant, "--hashes", row.hashes, "--window", row.window,
            "--duration", self.options.duration, "--warmup", self.options.warmup,
        ]  # fmt: skip
        result = self.load(server, data, row.kind, arguments)
        self.check(server, f"{row.title} ({data.text})", result)
        self.results.append({"row": row.key, "tracker": server.name, "round": number, **result})

    def run(self):
        rows = [row for row in ROWS if not self.options.only or row.key in self.options.only]
        for data in self.data.values():
            of_data = [row for row in rows if row.data == data.key]
            if of_data:
                self.run_data_set(data, of_data)
        return rows


def parse_options():
    parser = options_parser(
        "tracker",
        "Compare Rookery with opentracker and with the kernel's floor on loopback.",
        "smaller swarms, about two minutes",
        epilog="rows: " + " ".join(row.key for row in ROWS),
    )
    parser.add_argument("--rounds", type=int, help="5, with --quick 3")
    parser.add_argument("--duration", type=int, metavar="MS", help="of one measurement: 3000, 500")
    parser.add_argument("--warmup", type=int, metavar="MS", help="before it: 300, 100")
    parser.add_argument("--only", action="append", choices=[row.key for row in ROWS], metavar="ROW",
                        help="this row only; may be repeated")  # fmt: skip
    parser.add_argument("--trackers", type=lambda text: text.split(","), metavar="NAME,...",
                        help="some of " + ",".join(name for name, _ in Table.COLUMNS))  # fmt: skip
    parser.add_argument("--opentracker", default="opentracker", metavar="PATH",
                        help="another build of opentracker")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write every single measurement there")
    options = parse(parser, rounds=(5, 3), duration=(3000, 500), warmup=(300, 100))
    unknown = set(options.trackers or ()) - {name for name, _ in Table.COLUMNS}
    if unknown:
        parser.error(f"no such tracker: {', '.join(sorted(unknown))}")
    return options


def run(options, folder):
    bench = Bench(options, folder)
    rows = bench.run()
    Table(bench, rows).print()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(bench.results, indent=1) + "\n")
    return bench.problems


if __name__ == "__main__":
    options = parse_options()
    targets = ["bench_tracker", "bench_echo"]
    if not options.trackers or "rookery" in options.trackers:
        targets.append("rookery")
    sys.exit(main(options, targets, lambda folder: run(options, folder)))

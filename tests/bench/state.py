"""script/bench state: a tracker with a million of everything it keeps.

Start: whitelist, keys and completed counts come from PostgreSQL; measured is the time to the ready
file beside the time that the database itself takes to send the same rows to psql. Reload: the same
whitelist again, under full load of announces. List: every torrent by the API, under the same load.
What the figures mean: docs/performance.md.
"""

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import threading
import time

import psycopg2

from common import (
    ROOT, BenchError, load_command, machine_line, main, options_parser, parse, say, tool, two_cpus,
)  # fmt: skip

sys.path.insert(0, str(ROOT / "tests"))

from lib.pg import Cluster, sql  # noqa: E402
from servers import START_TIMEOUT_S, TOKEN, Rookery  # noqa: E402

TABLES = {
    "whitelist": "SELECT info_hash FROM whitelist",
    "access_keys": "SELECT key, label, expires_at, created_at, last_used_at FROM access_keys",
    "completed_counts": "SELECT info_hash, completed FROM completed_counts",
}
EXTRA = 1000  # whitelisted hashes that nobody announces: to remove them makes servers reload
MIB = 1 << 20
ONE = "all on one processor"
TWO = "main thread on the load's"


@dataclasses.dataclass
class Sizes:
    torrents: int  # on the whitelist, with a completed count, announced
    keys: int


@dataclasses.dataclass
class Swarms:
    torrents: int
    peers: int


def median(values):
    """With the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


class Reader(threading.Thread):
    """Asks for a list again and again until it is told to stop. It discards the bytes in the kernel,
    so as not to take the processor from whom is measured."""

    def __init__(self, server, cpu, path):
        super().__init__(daemon=True)
        self.server, self.cpu, self.path = server, cpu, path
        self.stopping = threading.Event()
        self.seconds = []  # of each whole answer
        self.length = 0  # of all answers
        self.error = None

    def run(self):
        os.sched_setaffinity(0, {self.cpu})  # this thread alone
        nowhere = bytearray(MIB)
        try:
            while not self.stopping.is_set():
                began = time.monotonic()
                self.ask(lambda s: s.recv_into(nowhere, MIB, socket.MSG_TRUNC))
                if not self.stopping.is_set():
                    self.seconds.append(time.monotonic() - began)
        except OSError as error:
            self.error = error

    def ask(self, receive):
        host, port = self.server.api.rsplit(":", 1)
        with socket.create_connection((host, int(port)), START_TIMEOUT_S) as connection:
            connection.sendall(f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
                               f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())
            while (n := receive(connection)) and not self.stopping.is_set():
                self.length += n

    def count(self):
        """The torrents in one whole answer, by this thread."""
        into = bytearray(MIB)
        rows, tail = 0, b""

        def receive(connection):
            nonlocal rows, tail
            n = connection.recv_into(into)
            new = tail + bytes(into[:n])
            rows += new.count(b'"info_hash"') - tail.count(b'"info_hash"')
            tail = new[-10:]  # shorter than what is counted
            return n

        self.ask(receive)
        if not tail.endswith(b"]\r\n0\r\n\r\n"):
            raise BenchError(f"{self.path}: the answer ends in {tail!r}")
        return rows

    def stop(self):
        self.stopping.set()
        self.join()
        if self.error:
            raise BenchError(f"{self.path}: {self.error}")


class Bench:
    def __init__(self, options, folder, cluster):
        self.options = options
        self.folder = folder
        self.cluster = cluster
        self.build = pathlib.Path(options.build_dir)
        self.tracker_cpu, self.load_cpu = two_cpus()
        self.sizes = Sizes(100_000, 10_000) if options.quick else Sizes(1_000_000, 100_000)
        self.problems = []
        self.extra = []  # arguments to remove so many at a time
        self.results = {}

    def server(self, url):
        return Rookery(
            self.tracker_cpu, self.folder, tool(self.build, "rookery"), mode="listed", database_url=url
        )

    # ---- the database

    def hashes(self, n):
        command = [tool(self.build, "bench_tracker"), "--hashes-of", str(n)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    def fill(self, url):
        say(f"filling the database: {self.sizes}")
        hashes = self.hashes(self.sizes.torrents + 2 * EXTRA)
        extra = [f"\\x{one}" for one in hashes[self.sizes.torrents :]]
        self.extra = [extra[:EXTRA], extra[EXTRA:]]
        connection = psycopg2.connect(url)
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            rows = io.StringIO("".join(f"\\\\x{one}\n" for one in hashes))
            cursor.copy_expert("COPY whitelist (info_hash) FROM STDIN", rows)
            cursor.execute("INSERT INTO completed_counts (info_hash, completed) "
                           "SELECT info_hash, 1 + get_byte(info_hash, 5) FROM whitelist "
                           "ORDER BY info_hash LIMIT %s", [self.sizes.torrents])
            cursor.execute("INSERT INTO access_keys (key, label, expires_at) "
                           "SELECT md5(i::text), 'key ' || i, now() + interval '1 year' "
                           "FROM generate_series(1, %s) AS i", [self.sizes.keys])
        sql(url, "VACUUM ANALYZE")
        sql(url, "CHECKPOINT")

    def database_s(self, url):
        """How long it takes to send all rows to a reader that throws them away."""
        command = ["psql", "-X", "-q", "-d", url]
        for query in TABLES.values():
            command += ["-c", f"COPY ({query}) TO STDOUT (FORMAT binary)"]
        began = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True,
                       preexec_fn=lambda: os.sched_setaffinity(0, {self.tracker_cpu}))
        return time.monotonic() - began

    # ---- load

    def load(self, server, torrents, kind, *arguments):
        swarms = Swarms(torrents, torrents)
        command = load_command(self.build, kind, server, self.load_cpu, swarms, arguments)
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise BenchError(f"{kind}: {run.stderr.strip()}")
        result = json.loads(run.stdout)
        for name in ("failures", "malformed", "foreign", "self", "late", "lost"):
            if result[name]:
                self.problems.append(f"{kind}: {result[name]} {name} of {result['answers']}")
        return result

    def fill_swarms(self, server, torrents):
        self.load(server, torrents, "udp-fill", "--numwant", 1, "--event", "started")

    def announce(self, server, torrents, duration_ms):
        return self.load(server, torrents, "udp-announce", "--window", 128, "--by-arrival",
                         "--duration", duration_ms)  # fmt: skip

    def gaps_ms(self, server):
        return [gap * 1000 for gap in server.metrics("rookery_loop_gap_max_seconds")]

    # ---- start

    def start(self, empty_url, url):
        starts = []
        for number in range(self.options.rounds):
            say(f"start {number + 1} of {self.options.rounds}")
            database_s = self.database_s(url)
            with self.server(empty_url) as server:
                empty_s = server.start_s
            with self.server(url) as server:
                listed = server.metrics("rookery_whitelisted_torrents")[0]
                if listed != self.sizes.torrents + 2 * EXTRA:
                    self.problems.append(f"start: {listed:.0f} torrents on the whitelist")
                starts.append({
                    "start_s": server.start_s, "database_s": database_s, "empty_s": empty_s,
                    "resident": server.memory_bytes("VmRSS"), "most": server.memory_bytes("VmHWM"),
                })  # fmt: skip
        self.results["start"] = starts

    # ---- reload

    def reload_by_change(self, server, url):
        """Others change the list by more than a notification can name, until there is none left
        of the hashes that nobody announces."""
        listed = server.metrics("rookery_whitelisted_torrents")[0]
        gone = self.extra.pop()
        sql(url, "DELETE FROM whitelist WHERE info_hash = ANY (%s::bytea[])", gone)
        deadline = time.monotonic() + START_TIMEOUT_S
        while server.metrics("rookery_whitelisted_torrents")[0] != listed - len(gone):
            if time.monotonic() > deadline:
                raise BenchError("a changed whitelist was not loaded")
            time.sleep(0.05)

    def reload(self, server, url, where):
        say(f"announces, then reloads under them, {where}")
        some = self.sizes.torrents // 10
        self.fill_swarms(server, some)
        alone = self.announce(server, some, self.options.duration)
        gaps = self.gaps_ms(server)
        seconds = []
        with concurrent.futures.ThreadPoolExecutor() as pool:
            duration_ms = self.options.duration * 4
            running = pool.submit(self.announce, server, some, duration_ms)
            time.sleep(self.options.duration / 4000)
            while len(seconds) < 3:
                began = time.monotonic()
                server.call("/api/whitelist/reload")
                seconds.append(time.monotonic() - began)
            self.reload_by_change(server, url)
            if running.done():
                self.problems.append("reload: the announces ended before it")
            result = running.result()
        self.results[f"reload, {where}"] = {
            "alone": alone, "reloads": result, "seconds": seconds, "gaps_alone_ms": gaps,
            "gaps_ms": self.gaps_ms(server)}  # fmt: skip

    # ---- list

    def list(self, server, where):
        say(f"list, {where}")
        rounds = []
        path = f"/api/torrents?limit={2**32 - 1}"
        self.fill_swarms(server, self.sizes.torrents)
        filled = server.memory_bytes("VmRSS")
        rows = Reader(server, self.load_cpu, path).count()
        if rows != self.sizes.torrents:
            self.problems.append(f"list: {rows} torrents")
        for _ in range(self.options.rounds):
            idle = self.announce(server, self.sizes.torrents, self.options.duration)
            reader = Reader(server, self.tracker_cpu if where == ONE else self.load_cpu, path)
            reader.start()
            try:
                busy = self.announce(server, self.sizes.torrents, self.options.duration)
            finally:
                reader.stop()
            rounds.append({"idle": idle, "busy": busy, "seconds": reader.seconds,
                           "length": reader.length, "filled": filled,
                           "resident": server.memory_bytes("VmRSS"),
                           "ratio": busy["p99_us"] / idle["p99_us"]})  # fmt: skip
        self.results[f"list, {where}"] = rounds

    def run(self):
        url, empty_url = self.cluster.new_database(), self.cluster.new_database()
        with self.server(url):
            pass  # its tables
        with self.server(empty_url):
            pass
        self.fill(url)
        if self.options.wanted("start"):
            self.start(empty_url, url)
        for where in (ONE, TWO):
            with self.server(url) as server:
                if where == TWO:
                    os.sched_setaffinity(server.udp.pid, {self.load_cpu})  # the main thread alone
                if self.options.wanted("reload"):
                    self.reload(server, url, where)
                if self.options.wanted("list"):
                    self.list(server, where)

    # ---- figures

    def print(self):
        print(f"{self.sizes.torrents:,} torrents on the whitelist, as many completed counts, "
              f"{self.sizes.keys:,} keys.\n")
        print("| what | figure |\n| --- | --- |")
        for what, figure in self.lines():
            print(f"| {what} | {figure} |")
        print(f"\n{machine_line(self.options.load_average)}\nRun: {self.options.rounds} rounds, loads of "
              f"{self.options.duration} ms, tracker on processor {self.tracker_cpu}, load and "
              f"database on {self.load_cpu}.")

    def lines(self):
        if starts := self.results.get("start"):
            yield "start, s", median([one["start_s"] for one in starts])
            yield "the database's own time, s", median([one["database_s"] for one in starts])
            yield "start with empty tables, s", median([one["empty_s"] for one in starts])
            yield ("start beyond the database, s",
                   median([one["start_s"] - one["database_s"] for one in starts]))
            yield ("resident when ready, and the most before, MiB",
                   f"{starts[-1]['resident'] / MIB:.0f}, {starts[-1]['most'] / MIB:.0f}")
        for name, one in self.results.items():
            if name.startswith("reload"):
                yield from self.reload_lines(name, one)
            elif name.startswith("list"):
                yield from self.list_lines(name, one)

    def reload_lines(self, name, one):
        result = one["reloads"]
        yield f"{name}: s", median(one["seconds"])
        yield (f"{name}: announces answered meanwhile, lost or late",
               f"{result['answers']:,}, {result['lost'] + result['late']}")
        yield (f"{name}: longest loop gap of each worker before, ms",
               ", ".join(f"{gap:.2f}" for gap in one["gaps_alone_ms"]))
        yield (f"{name}: longest loop gap of each worker with it, ms",
               ", ".join(f"{gap:.2f}" for gap in one["gaps_ms"]))
        yield (f"{name}: p99 of an announce without and with it, ms",
               f"{one['alone']['p99_us'] / 1000:.2f}, {result['p99_us'] / 1000:.2f}")

    def list_lines(self, name, rounds):
        last = rounds[-1]
        seconds = [s for one in rounds for s in one["seconds"]]
        yield f"{name}: s", median(seconds) if seconds else "none was whole in a round"
        yield (f"{name}: sent in a round, MB; resident before and after, MiB",
               f"{last['length'] / 1e6:.0f}; {last['filled'] / MIB:.0f}, "
               f"{last['resident'] / MIB:.0f}")
        for key, with_it in (("idle", "without"), ("busy", "with")):
            yield (f"{name}: p99 of an announce {with_it} it, ms",
                   median([one[key]["p99_us"] / 1000 for one in rounds]))
        yield f"{name}: p99 with / without", median([one["ratio"] for one in rounds])
        yield (f"{name}: announces with / without",
               median([one["busy"]["answers_per_s"] / one["idle"]["answers_per_s"]
                       for one in rounds]))


def parse_options():
    parser = options_parser(
        "state",
        "A tracker with a million of everything it keeps: start, reload, list.",
        "a tenth of everything",
    )
    parser.add_argument("--rounds", type=int, help="3, with --quick 1")
    parser.add_argument("--duration", type=int, metavar="MS", help="of one load: 3000, 1000")
    parser.add_argument("--only", action="append", choices=["start", "reload", "list"],
                        help="this part only; may be repeated")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write every single measurement there")
    options = parse(parser, rounds=(3, 1), duration=(3000, 1000))
    options.wanted = lambda part: not options.only or part in options.only
    return options


def run(options, folder):
    cluster = Cluster()
    try:
        cluster.start()
        os.sched_setaffinity(cluster.pid, {two_cpus()[1]})  # and what it forks
        bench = Bench(options, folder, cluster)
        bench.run()
    finally:
        cluster.remove()
    bench.print()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(bench.results, indent=1) + "\n")
    return bench.problems


if __name__ == "__main__":
    options = parse_options()
    sys.exit(main(options, ["bench_tracker", "rookery"], lambda folder: run(options, folder)))

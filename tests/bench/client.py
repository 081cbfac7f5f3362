"""script/bench client: Rookery's client beside libtorrent, Transmission and aria2, interleaved.

A torrent on tmpfs goes over loopback from one client to another, found through a tracker of
Rookery's that runs apart. In each round every client seeds to the same libtorrent, then downloads from
the same libtorrent; then two Rookerys and two libtorrents are alone. Counted are the bytes by the time
from the first of them on the disk to completion, and the processor time of both processes by /proc.
Then ten thousand idle torrents: how long they take to be up again, their memory, what they cost.
What the figures mean: docs/performance.md.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("ROOKERY_BIN", str(ROOT / "build/rookery"))

from lib import bencode, http  # noqa: E402
from lib.clients import Aria2, LibTorrent, Rookery, Swarm, Transmission  # noqa: E402
from lib.pg import Cluster  # noqa: E402
from lib.rookery import AUTH, Servers  # noqa: E402
from lib.torrent import Torrent  # noqa: E402
from lib.wait import eventually  # noqa: E402

GB = 1e9
PIECE_LEN = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = {"rookery": Rookery, "libtorrent": LibTorrent, "transmission": Transmission,
           "aria2": Aria2}
PATIENCE_S = 600


def cpu_s(pid):
    """Processor time of a process so far, its threads included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pid_of(client):
    return client.server.process.pid if isinstance(client, Rookery) else client.process.pid


class Cpu:
    """The processor time of a client, also of one that ends by itself: the last that was seen."""

    def __init__(self, client):
        self.pid = pid_of(client)
        self.first = self.last = cpu_s(self.pid)

    def look(self):
        try:
            self.last = max(self.last, cpu_s(self.pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
        return self.last - self.first


def make_content(path, length):
    """Bytes that no compression or zero page makes cheap."""
    with open(path, "wb") as f, open("/dev/urandom", "rb") as source:
        left = length
        while left > 0:
            left -= f.write(source.read(min(left, 1 << 24)))


def make_torrent(path, url):
    pieces = b""
    with open(path, "rb") as f:
        while piece := f.read(PIECE_LEN):
            pieces += hashlib.sha1(piece).digest()
    info = {"length": path.stat().st_size, "name": path.name, "piece length": PIECE_LEN,
            "pieces": pieces}
    return Torrent(hashlib.sha1(bencode.encode(info)).digest(),
                   bencode.encode({"announce": url, "info": info}), path.name)


class Bench:
    def __init__(self, options, folder, cluster):
        self.options = options
        self.folder = folder
        self.servers = Servers(folder / "servers", cluster)
        self.tracker = self.servers({
            "tracker": {"announce_interval": 2, "min_announce_interval": 1, "udp": []},
            "client": {"enabled": False}, "log": {"level": "error"}})
        ip, port = self.tracker.http_address()
        self.content = folder / "content" / "content.bin"
        self.content.parent.mkdir()
        make_content(self.content, options.size_mib << 20)
        self.torrent = make_torrent(self.content, f"http://{ip}:{port}/announce")
        self.results = []
        self.n_swarms = 0

    def client_options(self, kind):
        return {"servers": self.servers} if kind is Rookery else {}

    def transfer(self, seeder_name, leecher_name):
        """One transfer, from an empty swarm to a complete leecher."""
        self.n_swarms += 1
        n = self.n_swarms % 120
        folder = self.folder / f"swarm{self.n_swarms}"
        folder.mkdir()
        self.tracker.api("DELETE", f"/api/torrents/{self.torrent.info_hash.hex()}/peers")
        with Swarm(folder, self.content, copy=os.link) as swarm:
            kind = CLIENTS[seeder_name]
            seeder = swarm.seeder(kind, f"127.1.{n}.1", self.torrent, **self.client_options(kind))
            eventually(lambda: self.is_seeding(seeder), 120, f"{seeder_name} seeds")
            kind = CLIENTS[leecher_name]
            leecher = swarm.leecher(kind, f"127.1.{n}.2", self.torrent, **self.client_options(kind))
            result = self.measure(seeder, leecher)
            for client in (leecher, seeder):
                client.stop()
        shutil.rmtree(folder)
        print(f"  {seeder_name} -> {leecher_name}: {result['mb_s']:.0f} MB/s, seeder "
              f"{result['seeder']:.2f}, leecher {result['leecher']:.2f} CPU s/GB", flush=True)
        self.results.append({"seeder_name": seeder_name, "leecher_name": leecher_name, **result})

    def is_seeding(self, client):
        answer = self.tracker.api("GET", f"/api/torrent/{self.torrent.info_hash.hex()}")
        return answer.status == 200 and any(
            about["ip"] == f"{client.ip}:{client.port}" and about["left"] == 0
            for _, about in answer.json()["peers"])

    def measure(self, seeder, leecher):
        """From the first bytes on the leecher's disk to its completion."""
        def begun():
            return leecher.result.stat().st_blocks > 0
        deadline = time.monotonic() + PATIENCE_S
        cpus = Cpu(seeder), Cpu(leecher)
        while not (leecher.result.exists() and begun()):
            assert time.monotonic() < deadline, leecher.describe()
            time.sleep(0.002)
        started = time.monotonic()
        while not leecher.is_complete():
            assert time.monotonic() < deadline, leecher.describe()
            for cpu in cpus:
                cpu.look()
            time.sleep(0.05)
        elapsed_s = time.monotonic() - started
        size = self.content.stat().st_size
        return {"mb_s": size / 1e6 / elapsed_s, "seeder": cpus[0].look() / (size / GB),
                "leecher": cpus[1].look() / (size / GB)}

    def rounds(self):
        names = [name for name in CLIENTS if shutil.which(PROGRAMS[name])]
        for i in range(self.options.rounds):
            print(f"round {i + 1} of {self.options.rounds}", flush=True)
            for name in names:
                self.transfer(name, "libtorrent")
            for name in names:
                if name != "libtorrent":
                    self.transfer("libtorrent", name)
            self.transfer("rookery", "rookery")

    def close(self):
        self.servers.destroy()


PROGRAMS = {"rookery": os.environ["ROOKERY_BIN"], "libtorrent": "/usr/bin/python3",
            "transmission": "transmission-daemon", "aria2": "aria2c"}


# ---- many torrents

def many_torrents(n):
    for i in range(n):
        info = {"length": 1 << 20, "name": f"idle {i}", "piece length": 1 << 18,
                "pieces": hashlib.sha1(b"%d" % i).digest() * 4}
        yield Torrent(hashlib.sha1(bencode.encode(info)).digest(), bencode.encode({"info": info}),
                      info["name"])


def add_all(server, torrents):
    with http.Connection(server.api_address()) as connection:
        for torrent in torrents:
            headers, body = http.multipart(("torrent_file", "a.torrent", torrent.metainfo))
            answer = connection.request("POST", "/torrents",
                                        {**headers, **AUTH}, body)
            assert answer.status == 200, answer


def resident(server):
    return server.rss_kib * 1024


def idle(options, folder, cluster):
    """Memory, start-up time and idle processor time with many torrents."""
    servers = Servers(folder / "idle", cluster)
    server = servers({"tracker": {"announce_interval": 3600}, "log": {"level": "error"}})
    empty = resident(server.restart())
    torrents = list(many_torrents(options.torrents))
    add_all(server, torrents)
    server.stop()
    started = time.monotonic()
    server.start()
    last = f"/torrents/{torrents[-1].info_hash.hex()}"
    eventually(lambda: server.api("GET", last).status == 200, 120)
    up_s = time.monotonic() - started
    eventually(lambda: server.stats()["torrents"] >= options.torrents, 600, "all are announced")
    pid = server.process.pid
    before, at = cpu_s(pid), time.monotonic()
    time.sleep(options.idle_s)
    share = (cpu_s(pid) - before) / (time.monotonic() - at)
    grown = resident(server) - empty
    servers.destroy()
    return {"torrents": options.torrents, "up_s": up_s, "bytes_a_torrent": grown / options.torrents,
            "idle_share": share}


# ---- what comes out

def median(values):
    return statistics.median(values) if values else None


def show(value):
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def print_tables(results, idle_result):
    def of(seeder, leecher, field):
        return median([r[field] for r in results
                       if (r["seeder_name"], r["leecher_name"]) == (seeder, leecher)])
    print("\n| client | seeding: CPU s/GB | MB/s | downloading: CPU s/GB | MB/s |")
    print("| --- | --- | --- | --- | --- |")
    for name in CLIENTS:
        cells = [of(name, "libtorrent", "seeder"), of(name, "libtorrent", "mb_s"),
                 of("libtorrent", name, "leecher"), of("libtorrent", name, "mb_s")]
        print(f"| {name} | " + " | ".join(map(show, cells)) + " |")
    alone = [of("rookery", "rookery", field) for field in ("mb_s", "seeder", "leecher")]
    pair = of("libtorrent", "libtorrent", "mb_s")
    print(f"\nRookery to Rookery {show(alone[0])} MB/s (seeder {show(alone[1])}, leecher "
          f"{show(alone[2])} CPU s/GB), libtorrent to libtorrent {show(pair)} MB/s.")
    def ratio(a, b):
        return show(a / b) if a and b else "–"
    print(f"Ratios: seeding to libtorrent's {ratio(of('rookery', 'libtorrent', 'seeder'), of('libtorrent', 'libtorrent', 'seeder'))}, "
          f"downloading {ratio(of('libtorrent', 'rookery', 'leecher'), of('libtorrent', 'libtorrent', 'leecher'))}, "
          f"rate {ratio(alone[0], pair)}.")
    if idle_result:
        print(f"\n{idle_result['torrents']} idle torrents: up again after {idle_result['up_s']:.1f} s, "
              f"{idle_result['bytes_a_torrent']:.0f} bytes of memory each, "
              f"{100 * idle_result['idle_share']:.2f} % of a processor.")


def parse():
    parser = argparse.ArgumentParser(prog="script/bench client", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 256 MiB, 2,000 torrents")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=2048)
    parser.add_argument("--torrents", type=int, default=10_000)
    parser.add_argument("--idle-s", type=int, default=20)
    parser.add_argument("--only", choices=["transfers", "idle"])
    parser.add_argument("--no-build", action="store_true", help="use what is built")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure there")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.size_mib, options.torrents, options.idle_s = 1, 256, 2000, 5
    return options


def main():
    options = parse()
    if not options.no_build:
        subprocess.run([ROOT / "script/build"], check=True)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rookery-bench-", dir=base))
    folder.chmod(0o755)
    cluster = Cluster().start()
    results, idle_result = [], None
    try:
        if options.only != "idle":
            bench = Bench(options, folder, cluster)
            results = bench.results
            try:
                bench.rounds()
            finally:
                bench.close()
        if options.only != "transfers":
            idle_result = idle(options, folder, cluster)
    finally:
        cluster.remove()
        shutil.rmtree(folder, ignore_errors=True)
    print_tables(results, idle_result)
    if options.json:
        options.json.write_text(json.dumps({"transfers": results, "idle": idle_result}, indent=1))


if __name__ == "__main__":
    main()

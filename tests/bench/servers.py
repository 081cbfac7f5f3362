"""Start and stop the trackers that script/bench compares, each pinned to one processor.

Every server is a context: entering starts it and waits until it answers, leaving stops exactly the
processes it started. Addresses and process ids are those of the real sockets and processes.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

from common import BenchError

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 20
TOKEN = "a-token-of-the-benchmark"


class Target:
    """Where requests go, and the process that pays for them."""

    def __init__(self, address, pid):
        self.address = address
        self.pid = pid


class Server:
    """udp and http are Targets while the server runs."""

    name = ""  # on the command line and in JSON
    title = ""  # in the table
    foreign_peers = False  # answers hold made-up peers

    def __init__(self, cpu, folder):
        self.cpu = cpu
        self.folder = pathlib.Path(folder) / self.name
        self.processes = []
        self.udp = None
        self.http = None

    def __enter__(self):
        try:
            self.folder.mkdir(parents=True)
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        raise NotImplementedError

    def spawn(self, command, **options):
        """A child on this server's processor, in a session of its own: an interrupt from the
        terminal reaches the benchmark alone, which then stops its children in order."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {self.cpu}),
            **options,
        )
        self.processes.append(process)
        return process

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self.processes = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.udp.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def wait_for(self, ready, process, log):
        """Until ready() is true. Trackers tell of their start by a file or an open port: there is
        nothing to block on, so look again and again."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if process.poll() is not None:
                text = log.read_text(errors="replace").strip()[-500:]
                raise BenchError(f"{self.title} ended with status {process.returncode}: {text}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.title} was not ready after {START_TIMEOUT_S} s")
            time.sleep(0.02)


class Rookery(Server):
    name = "rookery"
    title = "Rookery"

    def __init__(
        self, cpu, folder, binary, workers=1, name="rookery", mode="public", database_url=""
    ):
        self.name = name
        super().__init__(cpu, folder)
        self.binary = binary
        self.workers = workers
        self.mode = mode
        self.database_url = database_url
        self.api = None  # address and port
        self.start_s = None  # from the start of the process to the ready file

    def config(self):
        return (
            f'data_dir: "{self.folder}/data"\n'
            "log:\n  level: error\n"
            f'database:\n  url: "{self.database_url}"\n'
            f"tracker:\n  mode: {self.mode}\n"
            '  udp: ["127.0.0.1:0"]\n'
            '  http: ["127.0.0.1:0"]\n'
            f"  workers: {self.workers}\n"
            f'api:\n  listen: ["127.0.0.1:0"]\n  tokens:\n    admin: "{TOKEN}"\n'
            "client:\n  enabled: false\n"
        )

    def start(self):
        # The embedded PostgreSQL runs as another user when this one is root: let it pass.
        self.folder.chmod(0o755)
        config = self.folder / "rookery.yaml"
        ready_file = self.folder / "ready.json"
        log = self.folder / "log"
        config.write_text(self.config())
        began = time.monotonic()
        with log.open("w") as output:
            process = self.spawn(
                [self.binary, "serve", "--config", config, "--ready-file", ready_file],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_for(ready_file.exists, process, log)
        self.start_s = time.monotonic() - began
        ready = json.loads(ready_file.read_text())
        self.udp = Target(ready["tracker_udp"][0], ready["pid"])
        self.http = Target(ready["tracker_http"][0], ready["pid"])
        self.api = ready["api"][0]

    def request(self, path, method="GET"):
        """Pieces of an answer of the API as they come; it must be 200."""
        connection = http.client.HTTPConnection(self.api, timeout=START_TIMEOUT_S)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise BenchError(f"{method} {path}: status {answer.status}")
            while piece := answer.read(1 << 20):
                yield piece
        finally:
            connection.close()

    def call(self, path):
        return b"".join(self.request(path)).decode()

    def metrics(self, name):
        """The values of one metric, one for each set of labels."""
        lines = self.call("/metrics").splitlines()
        return [float(line.split()[-1]) for line in lines if line.split("{")[0].split()[0] == name]

    def memory_bytes(self, field):
        """VmRSS, or VmHWM: the most there ever was."""
        lines = pathlib.Path(f"/proc/{self.udp.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024

    def worker_threads(self):
        """Thread ids of the tracker's workers, in order."""
        threads = {}
        for task in pathlib.Path(f"/proc/{self.udp.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("tracker-"):
                threads[int(name.removeprefix("tracker-"))] = int(task.name)
        return [threads[index] for index in range(self.workers)]


class OpenTracker(Server):
    """Debian's opentracker answers only for whitelisted torrents: hashes is that list's file."""

    def __init__(self, cpu, folder, binary, hashes, udp_workers):
        self.name = "opentracker-workers" if udp_workers else "opentracker"
        self.title = "opentracker, UDP workers" if udp_workers else "opentracker, event loop"
        super().__init__(cpu, folder)
        self.binary = binary
        self.hashes = hashes
        self.udp_workers = udp_workers

    def start(self):
        port = free_port()
        log = self.folder / "log"
        config = self.folder / "opentracker.conf"
        self.folder.chmod(0o755)
        shutil.copyfile(self.hashes, self.folder / "whitelist")
        as_root = os.geteuid() == 0
        config.write_text(
            f"listen.udp.workers {self.udp_workers}\n"
            f"listen.tcp_udp 127.0.0.1:{port}\n"
            f"access.whitelist {'/whitelist' if as_root else self.folder / 'whitelist'}\n"
            + (f"tracker.rootdir {self.folder}\ntracker.user nobody\n" if as_root else "")
        )
        with log.open("w") as output:
            process = self.spawn(
                [self.binary, "-f", config],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_for(lambda: self.answers(port), process, log)
        self.udp = self.http = Target(f"127.0.0.1:{port}", process.pid)


    def answers(self, port):
        """It listens before it has read the whitelist: ask until a listed torrent is accepted. The
        peer that asks is gone again before anybody is counted."""
        with self.hashes.open() as lines:
            info_hash = "".join(f"%{byte:02x}" for byte in bytes.fromhex(next(lines).strip()))
        query = f"info_hash={info_hash}&peer_id={'-BN0001-' + '0' * 12}&port=9&left=1"
        url = f"http://127.0.0.1:{port}/announce?{query}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                accepted = b"failure reason" not in answer.read()
            if accepted:
                urllib.request.urlopen(f"{url}&event=stopped", timeout=5).close()
            return accepted
        except OSError:
            return False


class Bare(Server):
    name = "bare"
    title = "bare echo"
    foreign_peers = True

    def __init__(self, cpu, folder, binary):
        super().__init__(cpu, folder)
        self.binary = binary

    def start(self):
        self.udp = self.echo("--udp")
        self.http = self.echo("--http")

    def echo(self, kind):
        process = self.spawn(
            [self.binary, kind, "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        address = process.stdout.readline().strip()
        if not address:
            raise BenchError("bench_echo did not start")
        return Target(address, process.pid)


def free_port():
    """A port free for TCP and UDP now; opentracker cannot tell which one it got from port 0."""
    for _ in range(100):
        with contextlib.ExitStack() as stack:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            tcp.bind(("127.0.0.1", 0))
            try:
                udp.bind(tcp.getsockname())
            except OSError:
                continue
            return tcp.getsockname()[1]
    raise BenchError("no port is free for TCP and UDP")

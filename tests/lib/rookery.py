"""The server under test: configuration, process, addresses, API calls."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from lib import http
from lib.http import HttpTracker
from lib.udp import UdpClient
from lib.wait import POLL_S, eventually

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("ROOKERY_BIN", str(REPOSITORY / "build/asan/rookery"))
TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")

DEFAULTS = {
    "log": {"level": "info"},
    "tracker": {"udp": ["127.0.0.1:0", "[::1]:0"], "http": ["127.0.0.1:0", "[::1]:0"],
                "workers": 2},
    "client": {"listen": ["127.0.0.1:0"]},
    "api": {"listen": ["127.0.0.1:0"], "tokens": {"admin": TOKEN}},
}


def merged(base, changes):
    """base with changes laid over it, section by section; None takes a key away."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def to_yaml(config, indent=0):
    """Sections as blocks; everything else as JSON, which is YAML."""
    lines = []
    for key, value in config.items():
        if isinstance(value, dict):
            if value:
                lines.append("  " * indent + f"{key}:")
                lines.append(to_yaml(value, indent + 1))
        else:
            lines.append("  " * indent + f"{key}: {json.dumps(value)}")
    return "\n".join(lines)


def environment(extra=None):
    """Ours without ROOKERY_*; sanitizers report loudly and keep little freed memory."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ROOKERY_")}
    env["ASAN_OPTIONS"] = "exitcode=99:quarantine_size_mb=16:" + env.get("ASAN_OPTIONS", "")
    env["TSAN_OPTIONS"] = "exitcode=99:" + env.get("TSAN_OPTIONS", "")
    env["UBSAN_OPTIONS"] = "exitcode=99:print_stacktrace=1:" + env.get("UBSAN_OPTIONS", "")
    env.update(extra or {})
    return env


def run(*arguments, env=None, timeout_s=60):
    """Run the program to its end: a CompletedProcess with text output."""
    return subprocess.run([BINARY, *map(str, arguments)], env=environment(env), text=True,
                          capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL)


def address_of(text):
    """("::1", 1212) of "[::1]:1212"."""
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def sanitizer_report(text):
    """The part of text where a sanitizer begins to complain, or None."""
    for mark in SANITIZER_MARKS:
        if mark in text:
            return text[max(0, text.index(mark) - 200):]
    return None


def is_postgres(pid):
    with contextlib.suppress(OSError):
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def end_postmaster(pid):
    """End a postmaster that outlived a killed server; None and ended ones are fine."""
    if pid and is_postgres(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        eventually(lambda: not is_postgres(pid), 10, "the postmaster is gone")


class Server:
    """One server in a directory. config is laid over DEFAULTS; wrapper: a command in front of the
    program that ends in exec. Data, configuration and log stay over restarts."""

    def __init__(self, directory, config=None, env=None, wrapper=()):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data_dir = self.directory / "data"
        self.config_file = self.directory / "rookery.yaml"
        self.ready_file = self.directory / "ready.json"
        self.stdout_file = self.directory / "stdout"
        self.stderr_file = self.directory / "stderr"
        self.env = env
        self.wrapper = list(wrapper)
        self.process = None
        self.ready = None
        self.configure(config or {})

    def configure(self, config):
        self.config = merged(merged(DEFAULTS, {"data_dir": str(self.data_dir)}), config)
        self.config_file.write_text(to_yaml(self.config) + "\n")

    # ---- process

    def launch(self):
        """Start without waiting."""
        self.ready_file.unlink(missing_ok=True)
        self.ready = None
        with open(self.stdout_file, "ab") as out, open(self.stderr_file, "ab") as err:
            self.process = subprocess.Popen(
                [*self.wrapper, BINARY, "serve", "--config", str(self.config_file),
                 "--ready-file", str(self.ready_file)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(self.env),
                cwd=self.directory, start_new_session=True)
        return self

    def wait_ready(self, timeout_s=START_TIMEOUT_S):
        """Until the ready file is there; an assertion fails when the process ends before."""
        deadline = time.monotonic() + timeout_s
        while not self.ready_file.exists():
            assert self.process.poll() is None, (
                f"exit {self.process.returncode} before it was ready:\n{self.stderr[-4000:]}")
            assert time.monotonic() < deadline, f"not ready within {timeout_s} s"
            time.sleep(POLL_S)
        self.ready = json.loads(self.ready_file.read_text())
        return self

    def start(self):
        return self.launch().wait_ready()

    def wait_loaded(self):
        """Until the client's stored torrents are in: this call waits for them."""
        self.api("GET", f"/torrents/{'0' * 40}")
        return self

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout_s=STOP_TIMEOUT_S):
        """The exit status."""
        return self.process.wait(timeout_s)

    def stop(self, number=signal.SIGTERM):
        """Stop as an operator does, and hold the server to its word: status 0 within 10 s, and
        nothing that a sanitizer objected to."""
        assert self.process.poll() is None, (
            f"it was gone before it was stopped: exit {self.process.returncode}\n"
            f"{self.stderr[-4000:]}")
        self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"still running {STOP_TIMEOUT_S} s after signal {number}")
        self.process = None
        self.check_sanitizers()
        assert status == 0, f"exit {status} after signal {number}:\n{self.stderr[-4000:]}"

    def check_sanitizers(self):
        report = sanitizer_report(self.stderr)
        assert report is None, report

    def kill9(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        """Stop if it runs, and start on the same data."""
        if self.process:
            self.stop()
        return self.start()

    def destroy(self):
        """After the test: stop with all the checks of stop(), and leave no database behind."""
        postmaster = self.embedded_pid()
        try:
            if self.process:
                self.stop()
            self.check_sanitizers()
        finally:
            if self.process and self.process.poll() is None:
                self.kill9()
            end_postmaster(postmaster or self.embedded_pid())

    # ---- embedded database

    @property
    def data_root(self):
        """The data folder as the server sees it, which may have mounts of its own."""
        return Path(f"/proc/{self.process.pid}/root{self.data_dir}")

    def embedded_pid(self):
        """The postmaster's process id, or None."""
        folder = self.data_root if self.is_running else self.data_dir
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            return pid if is_postgres(pid) else None
        return None

    # ---- what it says

    @property
    def stderr(self):
        return self.stderr_file.read_text(errors="replace") if self.stderr_file.exists() else ""

    @property
    def stdout(self):
        return self.stdout_file.read_text(errors="replace") if self.stdout_file.exists() else ""

    @property
    def rss_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    # ---- addresses and clients

    def _address(self, kind, v6=False):
        return next(a for a in map(address_of, self.ready[kind]) if (":" in a[0]) == v6)

    def api_address(self):
        return self._address("api")

    def http_address(self, v6=False):
        return self._address("tracker_http", v6)

    def udp_address(self, v6=False):
        return self._address("tracker_udp", v6)

    def udp_client(self, source=None, v6=False):
        return UdpClient(self.udp_address(v6), source)

    def http_client(self, source=None, v6=False, tls=None):
        return HttpTracker(self.http_address(v6), source, tls)

    # ---- API

    def api(self, method, path, token=TOKEN, body=None, headers=None, source=None):
        """One API call on a connection of its own. token: goes into the query; None: no token.
        A dict or list as body is sent as JSON."""
        if token is not None:
            path += ("&" if "?" in path else "?") + f"token={token}"
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        with http.Connection(self.api_address(), source) as connection:
            return connection.request(method, path, {"Connection": "close", **headers}, body)

    def get(self, path, **kwargs):
        """The JSON of a GET that must succeed."""
        response = self.api("GET", path, **kwargs)
        assert response.status == 200, (response.status, response.body[:500])
        return response.json()

    def ok(self, method, path, **kwargs):
        """A change that must be answered with {"status": "ok"}."""
        response = self.api(method, path, **kwargs)
        assert (response.status, response.json()) == (200, {"status": "ok"}), response

    def stats(self):
        return self.get("/api/stats")

    def new_key(self, seconds=3600):
        response = self.api("POST", f"/api/key/{seconds}")
        assert response.status == 200, response
        return response.json()["key"]


class Servers:
    """Starts servers for a test or a module, and destroys them all at the end."""

    def __init__(self, directory, cluster):
        self.directory = Path(directory)
        self.cluster = cluster
        self.all = []
        self._by_name = {}
        self._numbers = itertools.count(1)

    def make(self, config=None, database=None, embedded=False, **kwargs):
        """A server that is not started. database: its URL; None: a fresh one; embedded: none."""
        config = config or {}
        if not embedded:
            url = database or self.cluster.new_database()
            config = merged({"database": {"url": url}}, config)
        server = Server(self.directory / f"server{next(self._numbers)}", config, **kwargs)
        self.all.append(server)
        return server

    def __call__(self, config=None, **kwargs):
        """A started server."""
        return self.make(config, **kwargs).start()

    def once(self, name, config):
        """The server of this name, started when it is asked for first."""
        if name not in self._by_name:
            self._by_name[name] = self(config)
        return self._by_name[name]

    def destroy(self):
        problems = []
        for server in self.all:
            try:
                server.destroy()
            except AssertionError as e:
                problems.append(str(e))
        assert not problems, "\n".join(problems)

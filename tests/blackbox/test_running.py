"""The program as a process: start, refusals, files, log, signals."""

import json
import os
import re
import signal
import socket
import stat
import subprocess

import pytest

from lib import rookery
from lib.http import Connection, Failure, HttpTracker
from lib.ids import new_hash
from lib.pg import sql
from lib.rookery import TOKEN, address_of, merged
from lib.udp import COMPLETED, STARTED, TrackerError, UdpClient
from lib.wait import eventually

QUIET = {"log": {"level": "error"}}


def refused(server, status, *parts):
    """Start a server that must refuse: its exit status, and one line on stderr with parts."""
    server.launch()
    try:
        assert server.wait_exit(20) == status, server.stderr
    finally:
        if server.is_running:
            server.kill9()
    server.process = None
    lines = server.stderr.splitlines()
    assert len(lines) == 1, server.stderr
    for part in parts:
        assert str(part) in lines[0], lines[0]


# ---- ready file


def test_ready_file(servers):
    server = servers()
    ready = server.ready
    assert ready["pid"] == server.process.pid
    assert ready["version"] == rookery.run("--version").stdout.split()[-1]
    assert isinstance(ready["client"], list)
    for kind, hosts in (("api", ["127.0.0.1"]), ("tracker_http", ["127.0.0.1", "::1"]),
                        ("tracker_udp", ["127.0.0.1", "::1"])):
        addresses = [address_of(text) for text in ready[kind]]
        assert [host for host, _ in addresses] == hosts
        assert all(port > 0 for _, port in addresses)
    # What it names works, and only the file itself was left behind.
    assert server.api("GET", "/api/stats").status == 200
    assert server.http_client(v6=True).announce(new_hash()).leechers == 1
    assert server.udp_client(v6=True).announce(new_hash()).leechers == 1
    leftover = {p.name for p in server.directory.iterdir()} - {
        "data", "rookery.yaml", "ready.json", "stdout", "stderr"}
    assert leftover == set()


def test_listeners_that_are_off(servers):
    server = servers({"tracker": {"udp": [], "http": []}})
    assert server.ready["tracker_udp"] == server.ready["tracker_http"] == []
    assert server.stats()["torrents"] == 0


def test_a_dual_stack_wildcard_serves_both_families(servers):
    server = servers({"tracker": {"udp": ["[::]:0"], "http": ["[::]:0"]}})
    info_hash = new_hash()
    udp_port = address_of(server.ready["tracker_udp"][0])[1]
    http_port = address_of(server.ready["tracker_http"][0])[1]
    with UdpClient(("127.0.0.1", udp_port), "127.0.0.5") as v4, \
            UdpClient(("::1", udp_port)) as v6, \
            HttpTracker(("127.0.0.1", http_port), "127.0.0.6") as http4:
        v4.announce(info_hash, port=1000)
        v6.announce(info_hash, port=1001)
        assert http4.announce(info_hash, port=1002).peers == [("127.0.0.5", 1000), ("::1", 1001)]
        assert v4.announce(info_hash, port=1003).peers.count(("127.0.0.5", 1000)) == 1
    stats = server.stats()
    assert (stats["udp4_announces_handled"], stats["udp6_announces_handled"]) == (2, 1)
    assert (stats["tcp4_announces_handled"], stats["tcp6_announces_handled"]) == (1, 0)


# ---- environment


def test_environment_overrides(servers, cluster):
    url = cluster.new_database()
    server = servers.make({"tracker": {"mode": "public"}}, embedded=True, env={
        "ROOKERY_DATABASE__URL": url, "ROOKERY_API__TOKENS__ADMIN": "from-the-environment",
        "ROOKERY_TRACKER__MODE": "private", "ROOKERY_TRACKER__UDP": "127.0.0.1:0,127.0.0.2:0"})
    server.start()
    assert server.api("GET", "/api/stats", token="from-the-environment").status == 200
    assert server.api("GET", "/api/stats", token=TOKEN).status == 401
    assert [address_of(a)[0] for a in server.ready["tracker_udp"]] == ["127.0.0.1", "127.0.0.2"]
    with pytest.raises(TrackerError, match="key"):
        server.udp_client().announce(new_hash())
    assert not (server.data_dir / "postgres").exists()
    assert sql(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") != [(0,)]


# ---- refusals


@pytest.mark.parametrize("kind, section, key", [
    (socket.SOCK_STREAM, "api", "listen"), (socket.SOCK_STREAM, "tracker", "http"),
    (socket.SOCK_DGRAM, "tracker", "udp"),
])
def test_a_port_that_is_taken(servers, kind, section, key):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        refused(servers.make(merged(QUIET, {section: {key: [address]}})), 1, address)


def test_the_port_of_another_rookery(servers):
    first = servers()
    for section, key, kind in (("tracker", "udp", "tracker_udp"),
                               ("tracker", "http", "tracker_http"), ("api", "listen", "api")):
        address = first.ready[kind][0]
        refused(servers.make(merged(QUIET, {section: {key: [address]}})), 1, address)


def test_a_data_folder_that_is_a_file(servers):
    server = servers.make(QUIET)
    server.data_dir.write_text("in the way")
    refused(server, 1, server.data_dir)
    assert server.data_dir.read_text() == "in the way"


def test_a_data_folder_below_a_file(servers):
    server = servers.make(QUIET)
    (server.directory / "file").write_text("in the way")
    below = server.directory / "file" / "data"
    server.configure(merged(server.config, {"data_dir": str(below)}))
    refused(server, 1, below)


def test_a_ready_file_that_cannot_be_written(servers):
    server = servers.make(QUIET)
    server.ready_file = server.directory / "absent" / "ready.json"
    refused(server, 1, server.ready_file)


@pytest.mark.parametrize("section", ["tracker", "api"])
@pytest.mark.parametrize("content", [None, "not a certificate\n"])
def test_a_certificate_that_cannot_be_read(servers, section, content):
    server = servers.make(QUIET)
    path = server.directory / "certificate.pem"
    if content:
        path.write_text(content)
    server.configure(merged(server.config,
                            {section: {"tls": {"certificate": str(path), "key": str(path)}}}))
    refused(server, 1, path)


def test_two_servers_on_one_data_folder(servers):
    first = servers()
    second = servers.make(merged(QUIET, {"data_dir": str(first.data_dir)}))
    refused(second, 1, first.data_dir)
    assert first.stats()["torrents"] == 0


# ---- tokens


def test_a_token_is_made_at_first_start(servers):
    server = servers({"api": {"tokens": None}})
    path = server.data_dir / "api-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text().strip()
    assert len(token) >= 16
    assert server.api("GET", "/api/stats", token=token).status == 200
    assert server.api("GET", "/api/stats", token="x" * len(token)).status == 401
    server.restart()
    assert path.read_text().strip() == token
    assert server.api("GET", "/api/stats", token=token).status == 200
    assert token not in server.stderr + server.stdout
    assert str(path) in server.stderr


def test_a_made_token_suits_an_open_address(servers):
    server = servers({"api": {"tokens": None, "listen": ["0.0.0.0:0"]}})
    token = (server.data_dir / "api-token").read_text().strip()
    with Connection(("127.0.0.1", server.api_address()[1])) as connection:
        assert connection.request("GET", f"/api/stats?token={token}").status == 200


# ---- log


def exercise(server):
    """Requests of every kind, good and bad."""
    with server.udp_client() as udp, server.http_client() as http:
        for event in (STARTED, COMPLETED):
            udp.announce(new_hash(), event=event)
        udp.scrape([new_hash()])
        udp.answers_before_connect(b"junk", b"\0" * 98)
        http.announce(new_hash())
        http.scrape([new_hash()])
        with pytest.raises(Failure):
            http.announce(b"short")
        http.get("/nothing-here")
    server.get("/api/torrents")
    server.ok("POST", f"/api/whitelist/{new_hash().hex()}")
    server.api("GET", "/api/stats", token="wrong", source="127.0.0.99")
    server.api("GET", "/nothing-here")


def test_level_error_prints_nothing(servers):
    server = servers(QUIET)
    exercise(server)
    server.stop()
    assert (server.stdout, server.stderr) == ("", "")


def test_no_request_makes_a_line_at_info(servers):
    server = servers()
    server.stats()
    before = server.stderr
    assert before
    exercise(server)
    # A log line of any of these requests would be there by the time the next one was answered.
    server.stats()
    assert server.stderr == before
    server.stop()
    assert TOKEN not in server.stderr


def test_json_log(servers):
    server = servers({"log": {"level": "debug", "format": "json"}})
    exercise(server)
    server.stop()
    lines = [json.loads(line) for line in server.stderr.splitlines()]
    assert len(lines) > 2
    assert all(isinstance(line, dict) for line in lines)
    levels = {line["level"] for line in lines}
    assert "info" in levels and levels <= {"error", "warn", "info", "debug"}
    assert TOKEN not in server.stderr


# ---- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(servers, number):
    server = servers()
    exercise(server)
    server.stop(number)


def test_stop_with_connections_open(servers):
    server = servers()
    with Connection(server.http_address()) as idle, Connection(server.api_address()) as api, \
            Connection(server.http_address()) as half:
        # A connection that has said nothing is the kernel's, and does not hear of the end.
        assert idle.request("GET", "/health_check").status == 200
        half.send(b"GET /announce?info_hash=")
        api.send(b"GET /api/stats HTTP/1.1\r\n")
        server.stop()
        assert idle.is_closed() and half.is_closed()


def test_a_second_signal_exits_at_once(servers, cluster):
    """The first stop is held up by a database that has stopped answering."""
    url = cluster.new_database()
    server = servers(database=url)
    with server.udp_client() as udp:
        info_hash = new_hash()
        udp.announce(info_hash, event=STARTED)
        backends = cluster.backends(url)
        try:
            for pid in backends:
                os.kill(pid, signal.SIGSTOP)
            udp.announce(info_hash, event=COMPLETED, left=0)
            server.send_signal(signal.SIGTERM)
            eventually(lambda: not accepts(server.api_address()), 5, "the API is closed")
            assert server.is_running
            server.send_signal(signal.SIGTERM)
            server.wait_exit(1.5)
        finally:
            for pid in backends:
                os.kill(pid, signal.SIGCONT)
    server.process = None


def accepts(address):
    try:
        socket.create_connection(address, 1).close()
        return True
    except ConnectionRefusedError:
        return False


def test_hangup_drops_nothing(servers):
    server = servers()
    info_hash = new_hash()
    with server.http_client("127.0.0.5") as http, Connection(server.api_address()) as api:
        http.announce(info_hash, port=1000)
        assert api.request("GET", f"/api/stats?token={TOKEN}").json()["torrents"] == 1
        server.send_signal(signal.SIGHUP)
        assert http.announce(info_hash, port=1001).peers == [("127.0.0.5", 1000)]
        assert api.request("GET", f"/api/stats?token={TOKEN}").json()["torrents"] == 1


def test_hangup_reloads_the_log_level(servers):
    server = servers(QUIET)
    server.configure(merged(server.config, {"log": {"level": "debug"}}))
    server.send_signal(signal.SIGHUP)
    eventually(lambda: exercise(server) or server.stderr, 10, "debug lines")
    server.configure(merged(server.config, QUIET))
    server.send_signal(signal.SIGHUP)

    def is_quiet():
        before = server.stderr
        exercise(server)
        return server.stderr == before
    eventually(is_quiet, 10)


def test_hangup_with_a_broken_file_changes_nothing(servers):
    server = servers(QUIET)
    server.config_file.write_text("log:\n  level: loud\n")
    server.send_signal(signal.SIGHUP)
    complaint = eventually(lambda: server.stderr, 10)
    assert "log.level" in complaint
    assert server.stats()["torrents"] == 0


# ---- embedded database


def test_embedded_database_from_migrate_to_restart(servers):
    server = servers.make(embedded=True)
    migrated = rookery.run("migrate", "--config", server.config_file)
    assert migrated.returncode == 0, migrated.stderr
    assert re.search(r"\b0001_\w+", migrated.stdout)
    assert server.embedded_pid() is None, "migrate left its database running"

    server.start()
    listed, key = new_hash(), server.new_key()
    server.ok("POST", f"/api/whitelist/{listed.hex()}")
    pid = server.embedded_pid()
    assert pid, "the postmaster of data_dir/postgres"
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{pid}").st_uid != 0
    assert not tcp_ports_of(pid), "on a Unix socket only"

    server.stop()
    assert server.embedded_pid() is None, "stopped with the server"
    server.configure(merged(server.config, {"tracker": {"mode": "private_listed"}}))
    server.start()
    assert server.http_client().announce(listed, path=f"/announce/{key}").leechers == 1


def tcp_ports_of(pid):
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as lines:
            listening += [line for line in list(lines)[1:] if line.split()[9] in inodes]
    return listening


def test_embedded_two_servers_on_one_data_folder(servers):
    first = servers(embedded=True)
    pid = first.embedded_pid()
    second = servers.make(merged(QUIET, {"data_dir": str(first.data_dir)}), embedded=True)
    refused(second, 1, first.data_dir)
    assert first.embedded_pid() == pid
    first.ok("POST", f"/api/whitelist/{new_hash().hex()}")


def test_embedded_never_touches_a_cluster_of_somebody_else(servers):
    server = servers.make(QUIET, embedded=True)
    foreign = server.data_dir / "postgres"
    (foreign / "base").mkdir(parents=True)
    (foreign / "PG_VERSION").write_text("15\n")
    (foreign / "postgresql.conf").write_text("port = 1\n")

    def listing():
        return subprocess.run(["find", foreign, "-printf", "%p %s %m %u %T@\n"], check=True,
                              capture_output=True).stdout
    before = listing()
    refused(server, 1, foreign)
    assert listing() == before


def test_embedded_kill_minus_nine(servers):
    """No hand is needed after the server was killed: neither for its own files nor for the
    postmaster that is still there."""
    server = servers(embedded=True)
    info_hash = new_hash()
    server.ok("POST", f"/api/whitelist/{info_hash.hex()}")
    server.kill9()
    server.start()
    assert info_hash.hex() in server.api("GET", "/api/v1/whitelist").text


def test_embedded_killed_together_with_its_postmaster(servers):
    server = servers(embedded=True)
    info_hash = new_hash()
    server.ok("POST", f"/api/whitelist/{info_hash.hex()}")
    pid = server.embedded_pid()
    server.kill9()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), 10)
    assert (server.data_dir / "postgres" / "postmaster.pid").exists(), "a stale pid file"
    server.start()
    assert info_hash.hex() in server.api("GET", "/api/v1/whitelist").text


def test_embedded_postmaster_that_dies_is_started_again(servers):
    server = servers(embedded=True)
    pid = server.embedded_pid()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.embedded_pid() not in (None, pid), 20)
    info_hash = new_hash()
    eventually(lambda: server.api("POST", f"/api/whitelist/{info_hash.hex()}").status == 200, 20)
    assert info_hash.hex() in server.api("GET", "/api/v1/whitelist").text

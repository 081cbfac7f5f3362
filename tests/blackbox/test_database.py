"""The database shared by two servers, away, slow, killed, absent, and full."""

import errno
import os
import signal
import threading
import time

import pytest

from lib.http import Failure
from lib.ids import new_hash, new_key
from lib.load import AnnounceLoad
from lib.pg import sql
from lib.rookery import merged
from lib.udp import COMPLETED, STOPPED, TrackerError, add_peers, url_data
from lib.wait import eventually

SPREAD_S = 1.0  # a change reaches every server within this
GIVE_UP_S = 30  # a server that finds no database at its start
PRIVATE_LISTED = {"tracker": {"mode": "private_listed"}}


def admits(server, info_hash, key=None):
    """Is an announce with this hash and key answered with peers?"""
    path = f"/announce/{key}" if key else "/announce"
    try:
        with server.http_client() as http:
            http.announce(info_hash, path=path)
        return True
    except Failure:
        return False


# ---- absent at the start


@pytest.fixture(scope="module", autouse=True)
def without_a_database(shared_servers, tmp_path_factory):
    """Started ahead of all tests of this module, so that its 30 s pass beside them.
    (server, when it was started, a dict that gets "after_s" when it has ended)."""
    absent = tmp_path_factory.mktemp("absent")
    server = shared_servers.make({"log": {"level": "error"}}, database=f"host={absent} dbname=x")
    ended, began = {}, time.monotonic()
    server.launch()

    def watch():
        server.process.wait()
        ended["after_s"] = time.monotonic() - began
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield server, watcher, ended, absent
    if watcher.is_alive():
        server.process.kill()
        watcher.join()
    server.process = None


def test_a_database_that_comes_late(servers, own_cluster):
    url = own_cluster.new_database()
    own_cluster.stop()
    server = servers.make(database=url).launch()
    # Its data folder is made before it looks for the database.
    eventually(lambda: any(server.data_dir.iterdir()), 10)
    assert server.is_running and not server.ready_file.exists()
    own_cluster.start()
    server.wait_ready()
    server.ok("POST", f"/api/whitelist/{new_hash().hex()}")


def test_a_stop_while_waiting_for_the_database(servers, tmp_path):
    server = servers.make(database=f"host={tmp_path} dbname=x").launch()
    eventually(lambda: any(server.data_dir.iterdir()), 10)
    server.send_signal(signal.SIGTERM)
    server.wait_exit(10)
    server.process = None
    server.check_sanitizers()
    assert not server.ready_file.exists()


# ---- two servers, one database


@pytest.fixture
def pair(servers, cluster):
    """Two started at the same moment on an empty database: one of them migrates it."""
    url = cluster.new_database()
    both = [servers.make(PRIVATE_LISTED, database=url).launch() for _ in range(2)]
    for server in both:
        server.wait_ready()
    return *both, url


def test_two_servers_share_whitelist_and_keys(pair):
    one, other, _ = pair
    for here, there in ((one, other), (other, one)):
        info_hash, key = new_hash(), here.new_key()
        here.ok("POST", f"/api/whitelist/{info_hash.hex()}")
        assert admits(here, info_hash, key), "at once where it was made"
        eventually(lambda: admits(there, info_hash, key), SPREAD_S)

        there.ok("DELETE", f"/api/key/{key}")
        assert not admits(there, info_hash, key)
        eventually(lambda: not admits(here, info_hash, key), SPREAD_S)

        another = there.new_key()
        eventually(lambda: admits(here, info_hash, another), SPREAD_S)
        there.ok("DELETE", f"/api/whitelist/{info_hash.hex()}")
        assert not admits(there, info_hash, another)
        eventually(lambda: not admits(here, info_hash, another), SPREAD_S)
        assert here.api("GET", f"/api/torrent/{info_hash.hex()}").status == 404, "peers dropped"


def test_a_bulk_change_reaches_the_other_server(pair):
    one, other, _ = pair
    hashes = [new_hash() for _ in range(3000)]
    key = one.new_key()
    response = one.api("POST", "/api/v1/whitelist", body=[h.hex() for h in hashes])
    assert response.status == 200, response
    for info_hash in (hashes[0], hashes[1500], hashes[-1]):
        eventually(lambda: admits(other, info_hash, key), SPREAD_S)


def test_a_change_made_by_hand_reaches_every_server(pair):
    *both, url = pair
    info_hash, key = new_hash(), new_key()

    def all_admit():
        return all(admits(server, info_hash, key) for server in both)

    def none_admits():
        return not any(admits(server, info_hash, key) for server in both)
    sql(url, "INSERT INTO whitelist (info_hash) VALUES (%s)", info_hash)
    sql(url, "INSERT INTO access_keys (key) VALUES (%s)", key)
    eventually(all_admit, SPREAD_S)
    sql(url, "UPDATE access_keys SET expires_at = now() - interval '1 s' WHERE key = %s", key)
    eventually(none_admits, SPREAD_S)
    sql(url, "UPDATE access_keys SET expires_at = NULL")
    eventually(all_admit, SPREAD_S)
    sql(url, "DELETE FROM whitelist")
    eventually(none_admits, SPREAD_S)
    sql(url, "INSERT INTO whitelist (info_hash) SELECT substring(sha256(i::text::bytea) for 20) "
             "FROM generate_series(1, 2000) i UNION ALL SELECT %s", info_hash)
    eventually(all_admit, SPREAD_S)
    sql(url, "TRUNCATE access_keys")
    eventually(none_admits, SPREAD_S)


def test_completed_counts_of_two_servers_add_up(pair):
    one, other, url = pair
    info_hash, key = new_hash(), one.new_key()
    one.ok("POST", f"/api/whitelist/{info_hash.hex()}")
    eventually(lambda: admits(other, info_hash, key), SPREAD_S)
    for server in (one, other):
        with server.udp_client() as udp:
            options = url_data("/" + key)
            add_peers(udp, info_hash, range(1000, 1005), options=options)
            add_peers(udp, info_hash, range(1000, 1005), left=0, event=COMPLETED,
                      options=options)
    eventually(lambda: sql(url, "SELECT completed FROM completed_counts WHERE info_hash = %s",
                           info_hash) == [(10,)], 10)


@pytest.mark.parametrize("reload", ["signal", "api", "api/v1"])
def test_reload_finds_what_nobody_told(servers, cluster, reload):
    """A change that is made with the triggers off is seen by a reload only."""
    url = cluster.new_database()
    server = servers(PRIVATE_LISTED, database=url)
    info_hash, key = new_hash(), new_key()
    sql(url, "SET session_replication_role = replica; "
             "INSERT INTO whitelist (info_hash) VALUES (%s); "
             "INSERT INTO access_keys (key) VALUES (%s)", info_hash, key)
    if reload == "signal":
        server.send_signal(signal.SIGHUP)
        eventually(lambda: admits(server, info_hash, key), 5)
    else:
        assert not admits(server, info_hash, key)
        server.ok("GET", f"/{reload}/whitelist/reload")
        server.ok("GET", f"/{reload}/keys/reload")
        assert admits(server, info_hash, key)


# ---- away for a while


def check_refused_writes(server, existing_key):
    """Every write says so in its dialect; reads go on."""
    unlisted = new_hash().hex()
    for method, path in (("POST", f"/whitelist/{unlisted}"), ("DELETE", f"/whitelist/{unlisted}"),
                         ("POST", "/key/60"), ("DELETE", f"/key/{existing_key}"),
                         ("GET", "/whitelist/reload"), ("GET", "/keys/reload")):
        response = server.api(method, "/api" + path)
        assert response.status == 503, (path, response)
        assert response.json()["status"] == "err"
    for method, path, reason in (
            ("POST", f"/whitelist/{unlisted}", "failed to whitelist torrent"),
            ("DELETE", f"/whitelist/{unlisted}", "failed to remove torrent from whitelist"),
            ("POST", "/key/60", "failed to generate key"),
            ("DELETE", f"/key/{existing_key}", "failed to delete key"),
            ("GET", "/whitelist/reload", "failed to reload whitelist"),
            ("GET", "/keys/reload", "failed to reload keys")):
        response = server.api(method, "/api/v1" + path)
        assert response.status == 500, (path, response)
        assert response.text.startswith('Unhandled rejection: Err { reason: "' + reason), path
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
    for path in ("/api/stats", "/api/torrents", "/api/v1/torrents", "/api/v1/whitelist",
                 "/api/v1/keys", "/metrics"):
        assert server.api("GET", path).status == 200, path
    return bytes.fromhex(unlisted)


def test_a_database_that_goes_and_comes_back(servers, own_cluster):
    url = own_cluster.new_database()
    server = servers({"tracker": {"mode": "listed"}}, database=url)
    key = server.new_key()
    info_hash, counted = new_hash(), new_hash()
    for listed in (info_hash, counted):
        server.ok("POST", f"/api/whitelist/{listed.hex()}")
    with AnnounceLoad(server, info_hash) as load, server.udp_client() as udp:
        eventually(lambda: load.answered > 100)
        own_cluster.stop(signal.SIGQUIT)
        eventually(lambda: server.api("POST", "/api/key/60").status == 503, 5)
        unlisted = check_refused_writes(server, key)
        health = server.api("GET", "/health_check")
        assert health.status != 200 or "Error" in health.text, health

        done = load.check()
        add_peers(udp, counted, range(1000, 1005))
        add_peers(udp, counted, range(1000, 1005), left=0, event=COMPLETED)
        assert udp.scrape([counted]) == [(5, 5, 0)]
        with pytest.raises(TrackerError, match="whitelist"):
            udp.announce(unlisted)
        eventually(lambda: load.check(done + 200), 10, "announces go on")

        own_cluster.start()
        eventually(lambda: server.api("POST", "/api/key/60").status == 200, 20, "all by itself")
        server.ok("POST", f"/api/whitelist/{new_hash().hex()}")
        assert not admits(server, unlisted), "refused is refused, not put off"
        eventually(lambda: sql(url, "SELECT completed FROM completed_counts WHERE info_hash = %s",
                               counted) == [(5,)], 15, "nothing of the time between is lost")
        load.check()
    assert load.slowest_s < 1.0, "the tracker never waits for the database"
    assert not sql(url, "SELECT 1 FROM whitelist WHERE info_hash = %s", unlisted)


def test_what_changed_while_the_connection_was_away(servers, own_cluster):
    """Notifications of that time are lost, so everything is read again."""
    url = own_cluster.new_database()
    server = servers(PRIVATE_LISTED, database=url)
    removed, added, key = new_hash(), new_hash(), server.new_key()
    server.ok("POST", f"/api/whitelist/{removed.hex()}")
    own_cluster.stop(signal.SIGQUIT)
    own_cluster.start()
    sql(url, "SET session_replication_role = replica; DELETE FROM whitelist; "
             "INSERT INTO whitelist (info_hash) VALUES (%s)", added)
    eventually(lambda: admits(server, added, key) and not admits(server, removed, key), 20)


def test_connections_that_are_cut(servers, cluster):
    url = cluster.new_database()
    server = servers(database=url)
    for _ in range(3):
        for pid in cluster.backends(url):
            sql(url, "SELECT pg_terminate_backend(%s)", pid)
        info_hash = new_hash().hex()
        eventually(lambda: server.api("POST", f"/api/whitelist/{info_hash}").status == 200, 10)


def test_a_database_that_stops_answering(servers, cluster):
    """Reads and announces go on while a write waits; the write ends when the database wakes."""
    url = cluster.new_database()
    server = servers(database=url)
    info_hash = new_hash()
    backends = cluster.backends(url)
    answers = []
    writer = threading.Thread(
        target=lambda: answers.append(server.api("POST", f"/api/whitelist/{info_hash.hex()}")))
    try:
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        writer.start()
        with server.udp_client() as udp:
            for port in range(1000, 1200):
                udp.announce(info_hash, port=port)
        for _ in range(20):
            assert server.stats()["leechers"] == 200
        assert not answers, "no answer before the commit"
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
        writer.join()
    assert answers[0].status == 200
    assert sql(url, "SELECT count(*) FROM whitelist") == [(1,)]


def test_the_completed_table_takes_a_failed_flush_back(servers, cluster):
    """A flush that fails is merged back and written later, once."""
    url = cluster.new_database()
    server = servers(database=url)
    info_hash = new_hash()
    sql(url, "ALTER TABLE completed_counts RENAME TO elsewhere")
    with server.udp_client() as udp:
        add_peers(udp, info_hash, range(1000, 1004))
        add_peers(udp, info_hash, range(1000, 1004), left=0, event=COMPLETED)
        eventually(lambda: server.stderr.count("completed") > 0, 10, "the failure is told")
        add_peers(udp, info_hash, range(1000, 1004), left=0, event=STOPPED)
    sql(url, "ALTER TABLE elsewhere RENAME TO completed_counts")
    eventually(lambda: sql(url, "SELECT completed FROM completed_counts WHERE info_hash = %s",
                           info_hash) == [(4,)], 15)
    server.stop()
    assert sql(url, "SELECT completed FROM completed_counts") == [(4,)]


# ---- the server goes


def test_stop_under_load(servers):
    server = servers()
    loads = [AnnounceLoad(server, new_hash(), f"127.0.0.{n}") for n in (90, 91)]
    with loads[0], loads[1]:
        eventually(lambda: all(load.answered > 200 for load in loads))
        for load in loads:
            load.check()
        server.stop()


def test_kill_minus_nine_under_load(servers, cluster):
    url = cluster.new_database()
    server = servers(database=url)
    info_hash, counted = new_hash(), new_hash()
    server.ok("POST", f"/api/whitelist/{info_hash.hex()}")
    with server.udp_client() as udp:
        add_peers(udp, counted, range(1000, 1003))
        add_peers(udp, counted, range(1000, 1003), left=0, event=COMPLETED)
    eventually(lambda: sql(url, "SELECT completed FROM completed_counts") == [(3,)], 10)
    with AnnounceLoad(server, info_hash) as load:
        eventually(lambda: load.answered > 100)
        server.kill9()
    server.configure(merged(server.config, {"tracker": {"mode": "listed"}}))
    server.start()
    assert admits(server, info_hash)
    assert server.stats()["completed"] == 3


# ---- full

FULL_DISK = ["unshare", "--mount", "sh", "-c",
             'mkdir -p "$0" && mount -t tmpfs -o size=128m tmpfs "$0" && exec "$@"']


@pytest.fixture
def on_a_small_disk(servers):
    """A server with an embedded database whose data folder is a small file system of its own,
    which only the server's processes can see."""
    server = servers.make({"tracker": {"mode": "listed"}}, embedded=True)
    server.wrapper = [*FULL_DISK, str(server.data_dir)]
    return server.start()


def fill(path):
    """Write to path until nothing more fits."""
    with open(path, "wb", buffering=0) as filler:
        for size in (1 << 20, 4096):
            try:
                while filler.write(b"x" * size) == size:
                    pass
            except OSError as e:
                assert e.errno == errno.ENOSPC


def bulk(server, n=20000):
    """Whitelist n fresh hashes in one call."""
    hashes = [new_hash() for _ in range(n)]
    return server.api("POST", "/api/v1/whitelist", body=[h.hex() for h in hashes]), hashes


def test_a_full_disk(on_a_small_disk):
    server = on_a_small_disk
    listed = new_hash()
    server.ok("POST", f"/api/whitelist/{listed.hex()}")
    filler = server.data_root / "filler"
    fill(filler)
    with AnnounceLoad(server, listed) as load:
        for _ in range(20):  # there is some room inside the files of the database
            response, hashes = bulk(server)
            if response.status != 200:
                break
        assert response.status == 500
        assert response.text.startswith(
            'Unhandled rejection: Err { reason: "failed to whitelist torrent')
        assert not admits(server, hashes[0]) and not admits(server, hashes[-1])
        assert server.stats()["torrents"] == 1
        done = load.check()
        eventually(lambda: load.check(done + 100), 10)
        filler.unlink()
        eventually(lambda: bulk(server, 1000)[0].status == 200, 30, "all by itself")
        response, hashes = bulk(server)
        assert response.status == 200 and admits(server, hashes[-1])
        load.check()


# ---- the 30 s of the fixture above


def test_no_database_at_the_start(without_a_database):
    server, watcher, ended, absent = without_a_database
    watcher.join(GIVE_UP_S + 15)
    assert not watcher.is_alive(), "still trying"
    assert server.process.returncode == 1
    assert GIVE_UP_S - 2 <= ended["after_s"] <= GIVE_UP_S + 10
    lines = server.stderr.splitlines()
    assert len(lines) == 1 and str(absent) in lines[0], server.stderr
    assert not server.ready_file.exists()

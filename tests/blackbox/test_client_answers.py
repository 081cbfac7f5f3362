"""What the client has answered is kept, and it ends in time whatever is under way."""

import os
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import http
from lib.pg import sql
from lib.torrent import small_torrents
from lib.udp import STARTED, STOPPED
from lib.wait import eventually

STOP_S = 10


def path(torrent):
    return f"/torrents/{torrent.info_hash.hex()}"


def post(server, torrent):
    headers, body = http.multipart(("torrent_file", "a.torrent", torrent.metainfo))
    return server.api("POST", "/torrents", body=body, headers=headers)


def ask(server, method, target):
    """The answer; while the torrents are being loaded there is none but "later"."""
    def answer():
        got = server.api(method, target)
        return got if got.status != 503 else None
    return eventually(answer, 10)


def outcome(call, *args):
    """The status, or None when the server was gone before it answered."""
    try:
        return call(*args).status
    except (OSError, ValueError, AssertionError):
        return None


def kill(server):
    server.kill9()
    server.start()


def stop_in_time(server):
    server.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.wait_exit() == 0, server.stderr[-4000:]
    assert time.monotonic() - began < STOP_S
    server.process = None
    server.check_sanitizers()


def test_every_answer_outlives_a_kill(servers):
    """Add, pause, resume and remove: answered, killed at once, and still so."""
    server = servers()
    torrent, other = small_torrents(2)
    assert post(server, torrent).status == 200
    assert post(server, other).status == 200
    kill(server)
    assert ask(server, "GET", path(torrent)).json()["paused"] is False
    for what, paused in (("pause", True), ("resume", False), ("pause", True)):
        assert ask(server, "PUT", f"{path(torrent)}/{what}").status == 200
        kill(server)
        assert ask(server, "GET", path(torrent)).json()["paused"] is paused
    assert ask(server, "GET", path(other)).json()["paused"] is False
    assert ask(server, "DELETE", path(torrent)).status == 200
    kill(server)
    assert ask(server, "GET", path(torrent)).status == 404
    assert ask(server, "GET", path(other)).status == 200


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_of_changes(servers, how):
    """Adds and removals from many connections: what was answered is as it was answered."""
    server = servers()
    torrents = list(small_torrents(400))
    before, new = torrents[:100], torrents[100:]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda t: post(server, t).status, before)) == {200}
        added = pool.map(lambda t: outcome(post, server, t), new)
        removed = pool.map(lambda t: outcome(server.api, "DELETE", path(t)), before)
        eventually(lambda: outcome(server.api, "GET", path(new[60])) != 404, 20)
        if how == signal.SIGTERM:
            stop_in_time(server)
        else:
            server.kill9()
        added, removed = list(added), list(removed)
    server.start()
    for torrent, status in zip(new, added):
        assert status in (200, 503, None)
        assert status != 200 or ask(server, "GET", path(torrent)).status == 200
    for torrent, status in zip(before, removed):
        assert status in (200, 503, None)
        assert status != 200 or ask(server, "GET", path(torrent)).status == 404


def test_stopped_while_it_loads(servers):
    """At once after each start; nothing is lost by it."""
    server = servers()
    torrents = list(small_torrents(300))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda t: post(server, t).status, torrents)) == {200}
    server.stop()
    for delay_s in (0, 0.01, 0.05):
        server.start()
        time.sleep(delay_s)
        stop_in_time(server)
    server.start()
    assert all(ask(server, "GET", path(torrent)).status == 200 for torrent in torrents)


def hang(cluster, server):
    """Its database answers nothing from now on; returns what ends that."""
    pids = cluster.backends(server.config["database"]["url"])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    def go_on():
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    return go_on


def callers(server):
    """Connections to the API that are open, but for the one that asks."""
    lines = server.api("GET", "/metrics").body.decode().splitlines()
    return next(int(line.split()[1]) for line in lines
                if line.startswith("rookery_api_connections ")) - 1


def test_stopped_while_the_database_hangs(own_cluster, servers):
    """With an add, a removal and a pause on their way: in time all the same."""
    server = servers(database=own_cluster.new_database())
    running, new = small_torrents(2)
    assert post(server, running).status == 200
    go_on = hang(own_cluster, server)
    try:
        with ThreadPoolExecutor() as pool:
            calls = [pool.submit(outcome, post, server, new),
                     pool.submit(outcome, server.api, "PUT", f"{path(running)}/pause"),
                     pool.submit(outcome, server.api, "DELETE", path(running))]
            eventually(lambda: callers(server) == len(calls), 10, "all have called")
            stop_in_time(server)
            assert all(call.result() in (503, None) for call in calls)
    finally:
        go_on()
    server.start()


def test_stopped_while_a_removal_waits_for_its_tracker(servers):
    """A tracker that takes the announces and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        server = servers()
        torrent, other = small_torrents(2, [f"udp://127.0.0.1:{deaf.getsockname()[1]}/announce"])
        for each in (torrent, other):
            assert post(server, each).status == 200
        deaf.recv(100)
        with ThreadPoolExecutor() as pool:
            removal = pool.submit(outcome, server.api, "DELETE", path(torrent))
            url = server.config["database"]["url"]
            eventually(lambda: sql(url, "SELECT count(*) FROM torrents") == [(1,)], 10,
                       "the removal is stored")
            stop_in_time(server)
            assert removal.result() in (200, 503, None)
    server.start()
    assert ask(server, "GET", path(torrent)).status == 404
    assert ask(server, "GET", path(other)).status == 200


def test_a_whitelist_that_cannot_be_stored(servers):
    """The torrent is there; it is listed, and announced, as soon as that goes."""
    server = servers({"tracker": {"mode": "listed"}})
    url = server.config["database"]["url"]
    torrent, other = small_torrents(2)
    sql(url, "ALTER TABLE whitelist RENAME TO elsewhere")
    assert post(server, torrent).status == 200
    server.stop()
    sql(url, "ALTER TABLE elsewhere RENAME TO whitelist")
    server.start()
    eventually(lambda: server.stats()["torrents"] == 1, 10, "listed by the next start")
    sql(url, "ALTER TABLE whitelist RENAME TO elsewhere")
    assert post(server, other).status == 200
    sql(url, "ALTER TABLE elsewhere RENAME TO whitelist")
    eventually(lambda: server.stats()["torrents"] == 2, 15, "listed by a later try")


def test_an_add_whose_answer_was_lost(servers):
    """Its row is in the database, the client does not know of it: the next add goes on with it."""
    server = servers()
    torrent = next(small_torrents(1))
    assert post(server, torrent).status == 200
    url = server.config["database"]["url"]
    sql(url, "CREATE TABLE put_by AS SELECT * FROM torrents")
    assert server.api("DELETE", path(torrent)).status == 200
    sql(url, "INSERT INTO torrents OVERRIDING SYSTEM VALUE SELECT * FROM put_by")
    assert post(server, torrent).status == 200
    eventually(lambda: server.get(path(torrent))["state"] == "downloading", 10)
    kill(server)
    assert ask(server, "GET", path(torrent)).status == 200


class UdpTracker:
    """Keeps the events of the announces that it answers. While it is deaf it does not."""

    def __init__(self):
        self.events, self.deaf = [], False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"udp://127.0.0.1:{self._socket.getsockname()[1]}/announce"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            packet, peer = self._socket.recvfrom(2048)
            if not packet:
                return
            action, transaction = struct.unpack_from(">II", packet, 8)
            if self.deaf:
                continue
            if action == 0:
                self._socket.sendto(struct.pack(">IIQ", 0, transaction, 1), peer)
            else:
                self.events.append(struct.unpack_from(">I", packet, 80)[0])
                self._socket.sendto(struct.pack(">IIIII", 1, transaction, 1800, 0, 0), peer)

    def close(self):
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def test_killed_before_the_tracker_heard_of_a_pause(servers):
    """It hears it by the next start, though the torrent stays paused, and then it is paid."""
    tracker = UdpTracker()
    server = servers()
    torrent = next(small_torrents(1, [tracker.url]))
    assert post(server, torrent).status == 200
    eventually(lambda: tracker.events == [STARTED], 10)
    tracker.deaf = True
    assert ask(server, "PUT", f"{path(torrent)}/pause").status == 200
    server.kill9()
    tracker.deaf = False
    server.start()
    eventually(lambda: tracker.events == [STARTED, STOPPED], 20)
    assert ask(server, "GET", path(torrent)).json()["paused"] is True
    eventually(lambda: sql(server.config["database"]["url"],
                           "SELECT stop_pending FROM torrents") == [(False,)], 20)
    server.restart()
    assert ask(server, "PUT", f"{path(torrent)}/resume").status == 200
    eventually(lambda: len(tracker.events) > 2, 10)
    assert tracker.events == [STARTED, STOPPED, STARTED]
    tracker.close()


def test_a_row_that_makes_no_sense(servers):
    """It is left out, said so once, and stays as it is; everything else is there."""
    server = servers()
    url = server.config["database"]["url"]
    broken, odd, good = small_torrents(3)
    for torrent in (broken, odd, good):
        assert post(server, torrent).status == 200
    server.kill9()
    sql(url, "UPDATE torrents SET tracker_urls = '{{a,b}}', tracker_tiers = '{0,0}' "
             "WHERE info_hash = %s", broken.info_hash)
    sql(url, "UPDATE torrents SET priorities = '\\x09' WHERE info_hash = %s", odd.info_hash)
    rows = sql(url, "SELECT * FROM torrents WHERE info_hash <> %s ORDER BY id", good.info_hash)
    said = len(server.stderr)
    server.start()
    assert ask(server, "GET", path(good)).status == 200
    log = server.stderr[said:]
    for torrent, why in ((broken, "tracker_urls and tracker_tiers must be lists of the same length"),
                         (odd, "priorities must be 0 to 7")):
        assert ask(server, "GET", path(torrent)).status == 404
        lines = [line for line in log.splitlines() if torrent.info_hash.hex() in line]
        assert len(lines) == 1 and f'why="{why}"' in lines[0], log
        assert post(server, torrent).status == 500
    assert "\nrookery_client_torrents_left_out 2\n" in server.api("GET", "/metrics").text
    assert sql(url, "SELECT * FROM torrents WHERE info_hash <> %s ORDER BY id",
               good.info_hash) == rows
    sql(url, "UPDATE torrents SET priorities = '' WHERE info_hash = %s", odd.info_hash)
    kill(server)
    assert ask(server, "GET", path(odd)).status == 200

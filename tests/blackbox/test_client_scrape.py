"""The client asks for the counts that announces do not tell: BEP 48 over HTTP, BEP 15, and a call."""

import os
from urllib.parse import quote

import pytest

from lib import bencode
from lib.torrentflow import TorrentFlow
from lib.wait import eventually
from lib.web import Web

WAIT_S = 40  # what is due waits 5 s for others, and a second for each announce that waits
TRACKER = {"client": {"enabled": False}, "tracker": {"mode": "public"}}


@pytest.fixture
def flow(server):
    return TorrentFlow(server)


@pytest.fixture
def info_hash():
    return os.urandom(20)


@pytest.fixture
def silent(info_hash):
    """A tracker whose announces name no counts. Its scrape has them."""
    counts = {b"complete": 5, b"downloaded": 50, b"incomplete": 10}
    tracker = Web({
        "/announce": (200, {}, bencode.encode({b"interval": 1800, b"peers": b""})),
        "/scrape": (200, {}, bencode.encode({b"files": {info_hash: counts}})),
    })
    yield tracker
    tracker.close()


def add(flow, info_hash, *trackers):
    link = f"magnet:?xt=urn:btih:{info_hash.hex()}"
    flow.added(flow.post(torrent_url=link + "".join(f"&tr={quote(t, safe='')}" for t in trackers)))


def counts(flow, info_hash):
    status = flow.status(info_hash.hex())
    return status["num_complete"], status["num_incomplete"]


def test_a_tracker_that_announces_no_counts(server, flow, silent, info_hash):
    add(flow, info_hash, silent.url("/announce"))
    eventually(lambda: any(path.startswith("/announce?") for path, _ in silent.requests), WAIT_S)
    eventually(lambda: counts(flow, info_hash) == (5, 10), WAIT_S)
    status = flow.status(info_hash.hex())
    assert 0 <= status["last_scrape"] <= WAIT_S
    scrapes = [path for path, _ in silent.requests if path.startswith("/scrape")]
    assert scrapes == [f"/scrape?info_hash={quote(info_hash, safe='')}"]
    lines = server.api("GET", "/metrics").text.splitlines()
    assert 'rookery_client_scrapes_total{result="ok"} 1' in lines


def test_a_tracker_that_has_no_scrape(server, flow, silent, info_hash):
    silent.pages["/a"] = silent.pages["/announce"]
    del silent.pages["/scrape"]
    add(flow, info_hash, silent.url("/a"))
    other = os.urandom(20)
    add(flow, other, silent.url("/announce"))
    eventually(lambda: 'rookery_client_scrapes_total{result="failed"} 1'
               in server.api("GET", "/metrics").text.splitlines(), WAIT_S)
    for one in (info_hash, other):
        assert counts(flow, one) == (0, 1)  # of the server's own tracker
        assert flow.status(one.hex())["error"] == ""
    assert len([path for path, _ in silent.requests if path.startswith("/scrape")]) == 1


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_paused_torrents(server, flow, servers, info_hash, kind):
    """Nothing is announced after a restart; the tracker is another server."""
    tracker = servers(TRACKER)
    ip, port = tracker.http_address() if kind == "http" else tracker.udp_address()
    others = [os.urandom(20) for _ in range(20)]
    for one in [info_hash, *others]:
        add(flow, one, f"{kind}://{ip}:{port}/announce")
        flow.pause(one.hex())
    server.restart()
    server.wait_loaded()
    announced = tracker.stats()[f"{'tcp' if kind == 'http' else 'udp'}4_announces_handled"]
    with tracker.udp_client(source="127.0.0.7") as peer:
        peer.announce(info_hash, port=1000, left=0)
        peer.announce(others[7], port=1000)
    eventually(lambda: counts(flow, info_hash) == (1, 0), WAIT_S)
    eventually(lambda: counts(flow, others[7]) == (0, 1), WAIT_S)
    stats = tracker.stats()
    name = "tcp4" if kind == "http" else "udp4"
    assert stats[f"{name}_announces_handled"] - announced == (0 if kind == "http" else 2)
    assert 1 <= stats[f"{name}_scrapes_handled"] <= 3


def test_the_own_tracker(server, flow, info_hash):
    add(flow, info_hash)
    flow.pause(info_hash.hex())
    server.restart()
    server.wait_loaded()
    with server.udp_client(source="127.0.0.7") as peer:
        peer.announce(info_hash, port=1000, left=0)
    eventually(lambda: counts(flow, info_hash) == (1, 0), 2 * WAIT_S)

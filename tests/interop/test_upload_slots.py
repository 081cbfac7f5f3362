"""A torrent's own cap of upload slots, with leechers of other makes that all want to download."""

import time

import pytest

from lib.clients import Aria2, LibTorrent, QBittorrent, Swarm
from lib.gotorrent import GoTorrent
from lib.spritzle import Spritzle
from lib.torrent import make_content, make_torrent
from lib.wait import POLL_S, eventually

CONTENT_LEN = 12 << 20
SEEDER = "127.0.14.1"
TRACKER = {"tracker": {"mode": "public", "announce_interval": 2, "min_announce_interval": 1},
           "client": {"enabled": False}}


@pytest.fixture(scope="module")
def url(shared_servers):
    return "http://%s:%d/announce" % shared_servers(TRACKER).http_address()


@pytest.fixture
def swarm(tmp_path):
    path = tmp_path / "content" / "twelve.bin"
    path.parent.mkdir()
    make_content(path, CONTENT_LEN, "slots")
    with Swarm(tmp_path, path) as swarm:
        yield swarm


def until(check, what):
    """Polls it like eventually(), but what fails in it fails at once."""
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


@pytest.mark.parametrize("max_uploads, restart", [(1, True), (2, False), (-1, False)])
def test_three_leechers(swarm, servers, url, max_uploads, restart):
    """Slowly until all three want to download, then to the end: never are more slots in use."""
    torrent = make_torrent(swarm.content, [url])
    server = servers({"client": {"listen": [f"{SEEDER}:0"], "announce_to_own_tracker": False,
                                 "allowed_dirs": [str(swarm.content.parent)]},
                      "tracker": {"udp": [], "http": []}})
    api = Spritzle(server)
    info_hash = api.added(api.upload(torrent.metainfo, args={
        "save_path": str(swarm.content.parent), "max_uploads": max_uploads,
        "upload_limit": 100 << 10}))
    if restart:
        server.kill9()
        server.start().wait_loaded()
    eventually(lambda: api.status(info_hash)["state"] == "seeding", 20)
    assert api.status(info_hash)["uploads_limit"] == max_uploads
    leechers = [swarm.leecher(kind, f"127.0.14.{2 + i}", torrent)
                for i, kind in enumerate((LibTorrent, Aria2, QBittorrent))]
    most = 3 if max_uploads < 0 else max_uploads

    def looked():
        """(who wants to download, slots in use)"""
        n_uploads = api.status(info_hash)["num_uploads"]
        session = api.session()
        assert max(n_uploads, session["peer.num_peers_up_unchoked"]) <= most
        return session["peer.num_peers_up_interested"], session["peer.num_peers_up_unchoked"]

    until(lambda: looked() == (3, most), "all three want to download")
    GoTorrent(server).act("/setuprate", info_hash, uprate="0")
    until(lambda: looked() and all([leecher.is_complete() for leecher in leechers]),
          "all are complete")
    swarm.finish(*leechers)

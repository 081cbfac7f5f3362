"""Two Rookeries and 20 MiB: one is driven through spritzle and nothing else, the other through
GoTorrentServer and nothing else. What both say of it while it runs, and what has come in the end.
"""

import base64
import shutil
from urllib.parse import quote

import pytest

from lib.clients import digests
from lib.gotorrent import GoTorrent
from lib.spritzle import Spritzle
from lib.torrent import make_content, make_torrent
from lib.wait import eventually

CONTENT_LEN = 20 << 20
PIECE_LEN = 1 << 18
N_PIECES = CONTENT_LEN // PIECE_LEN
RATE_KIB = 3072  # a second: slow enough to be looked at
SEEDER, LEECHER = "127.0.12.1", "127.0.12.2"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "twenty.bin"
    make_content(path, CONTENT_LEN, "dialects")
    return path


@pytest.fixture(scope="module")
def tracker(shared_servers):
    return shared_servers({"tracker": {"mode": "public", "announce_interval": 2,
                                       "min_announce_interval": 1},
                           "client": {"enabled": False}})


@pytest.fixture
def url(tracker):
    return "http://%s:%d/announce" % tracker.http_address()


@pytest.fixture
def torrent(url, content, tmp_path):
    return make_torrent(content, [url], PIECE_LEN, source=str(tmp_path))


class Side:
    """A server with a folder, told to add one torrent in its dialect. content: None, or what it
    has already."""

    def __init__(self, servers, ip, folder, torrent, url, content=None):
        folder.mkdir()
        if content:
            shutil.copy(content, folder)
        self.folder = folder
        self.torrent = torrent
        self.url = url
        self.info_hash = torrent.info_hash.hex()
        self.server = servers({
            "client": {"listen": [f"{ip}:0"], "allowed_dirs": [str(folder)],
                       "announce_to_own_tracker": False},
            "tracker": {"udp": [], "http": []}})
        self.address = self.server.ready["client"][0]
        self.begin(seed=content is not None)


class BySpritzle(Side):
    def begin(self, seed):
        self.api = Spritzle(self.server)
        args = {"save_path": str(self.folder)}
        if seed:
            answer = self.api.upload(self.torrent.metainfo, args=args)
        else:
            args.update(trackers=[self.url], download_limit=RATE_KIB * 1024)
            answer = self.api.post(info_hash=self.info_hash, args=args)
        assert self.api.added(answer) == self.info_hash

    def status(self):
        return self.api.status(self.info_hash)

    def is_seeding(self):
        return self.status()["state"] == "seeding"

    def check_downloads(self):
        """In the middle of it."""
        status = self.status()
        assert (status["state"], status["has_metadata"]) == ("downloading", True)
        assert 0 < status["num_pieces"] < N_PIECES == len(status["pieces"])
        assert 0 < status["progress"] < 1
        assert status["total_wanted"] == CONTENT_LEN
        assert status["num_pieces"] * PIECE_LEN <= status["total_done"] < CONTENT_LEN
        assert status["total_payload_download"] == status["all_time_download"] > 0
        assert status["total_download"] > status["total_payload_download"]
        assert 0 < status["download_payload_rate"] < 4 * RATE_KIB * 1024
        assert status["download_rate"] > 0.8 * status["download_payload_rate"]
        assert status["total_payload_upload"] == status["upload_payload_rate"] == 0
        assert (status["num_peers"], status["num_seeds"], status["num_connections"]) == (1, 1, 1)
        assert status["distributed_full_copies"] == 1
        assert (status["num_complete"], status["num_incomplete"]) == (1, 1)
        assert status["current_tracker"] == self.url
        return status["pieces"].count(True)

    def check_uploads(self):
        status = self.status()
        assert status["is_seeding"] and all(status["pieces"])
        assert status["num_uploads"] == status["num_peers"] == status["num_connections"] == 1
        assert status["num_seeds"] == 0
        assert 0 < status["upload_payload_rate"] < 4 * RATE_KIB * 1024
        assert status["upload_rate"] > 0.8 * status["upload_payload_rate"]
        assert 0 < status["total_payload_upload"] < CONTENT_LEN
        assert status["total_payload_download"] == 0
        assert (status["num_complete"], status["num_incomplete"]) == (1, 1)

    def check_downloaded(self):
        status = self.status()
        assert status["num_pieces"] == N_PIECES and status["progress"] == 1
        assert status["total_done"] == status["total_wanted_done"] == CONTENT_LEN
        assert status["completed_time"] >= status["added_time"] > 0
        assert self.api.session()["ses.num_seeding_torrents"] == 1

    def check_uploaded(self):
        assert self.status()["total_payload_upload"] >= CONTENT_LEN
        assert self.api.session()["net.sent_payload_bytes"] >= CONTENT_LEN


class ByGoTorrent(Side):
    def begin(self, seed):
        self.api = GoTorrent(self.server)
        if seed:
            self.api.add_file(base64.b64encode(self.torrent.metainfo).decode(), self.folder)
        else:
            link = f"magnet:?xt=urn:btih:{self.info_hash}&tr=" + quote(self.url, safe="")
            self.api.add_magnet(link, self.folder, maxdown=RATE_KIB)

    def session(self):
        session, = self.api.sessions()
        assert session["infohash"] == self.info_hash
        return session

    def is_seeding(self):
        session = self.session()
        return session["status"] != "checking" and session["pieces"] == "1" * N_PIECES

    def check_tracker(self, session):
        shown, = session["trackers"]
        assert (shown["url"], shown["status"]) == (self.url, "working")
        assert (shown["seeders"], shown["leechers"]) == (1, 1)
        assert shown["lastannounce"]

    def peer(self, session):
        assert session["status"] == "connected" and session["error"] is None
        peer, = session["Peers"]
        assert peer["ID"].startswith("-RK")
        return peer

    def check_downloads(self):
        session = self.session()
        peer = self.peer(session)
        assert session["name"] == self.torrent.name and session["bitfield_length"] == N_PIECES
        assert "1" in session["pieces"] and "0" in session["pieces"]
        bitfield = base64.b64decode(session["bitfield_base64"])
        assert "".join(f"{byte:08b}" for byte in bitfield)[:N_PIECES] == session["pieces"]
        assert peer["pieces"] == "1" * N_PIECES
        assert 0 < peer["down"] < 4 * RATE_KIB and peer["up"] == 0
        assert 0 < session["downloaded"] * 1024 < CONTENT_LEN
        assert session["uploaded"] == session["wasted"] == 0
        assert session["maxdown"] == RATE_KIB
        self.check_tracker(session)
        return session["pieces"].count("1")

    def check_uploads(self):
        session = self.session()
        peer = self.peer(session)
        assert session["pieces"] == "1" * N_PIECES
        assert "1" in peer["pieces"] and "0" in peer["pieces"]
        assert 0 < peer["up"] < 4 * RATE_KIB and peer["down"] == 0
        assert 0 < session["uploaded"] * 1024 < CONTENT_LEN and session["downloaded"] == 0
        self.check_tracker(session)

    def check_downloaded(self):
        session = self.session()
        assert session["downloaded"] * 1024 >= CONTENT_LEN
        assert session["status"] == "disconnected"  # two that have all they want part

    def check_uploaded(self):
        assert self.session()["uploaded"] * 1024 >= CONTENT_LEN


@pytest.mark.parametrize("up, down", [(BySpritzle, ByGoTorrent), (ByGoTorrent, BySpritzle)],
                         ids=["spritzle seeds", "GoTorrentServer seeds"])
def test_twenty_mebibytes(servers, tracker, torrent, url, content, tmp_path, up, down):
    def counts():
        found = tracker.get(f"/api/torrent/{torrent.info_hash.hex()}")
        return found["seeders"], found["leechers"], found["completed"]

    seeder = up(servers, SEEDER, tmp_path / "up", torrent, url, content)
    eventually(seeder.is_seeding, 30, "the content is checked")
    eventually(lambda: counts() == (1, 0, 0), 20, "the tracker knows the seeder")
    leecher = down(servers, LEECHER, tmp_path / "down", torrent, url)
    eventually(lambda: counts() == (1, 1, 0), 20, "the tracker knows both")
    assert {about["ip"]: about["left"] == 0 for _, about in tracker.get(
        f"/api/torrent/{torrent.info_hash.hex()}")["peers"]} == {seeder.address: True,
                                                                  leecher.address: False}

    before = eventually(leecher.check_downloads, 15)
    eventually(lambda: seeder.check_uploads() is None, 10)
    eventually(lambda: leecher.check_downloads() > before, 10, "it goes on")

    eventually(leecher.is_seeding, 45, "complete")
    eventually(lambda: leecher.check_downloaded() is None, 20)
    eventually(lambda: seeder.check_uploaded() is None, 20)
    eventually(lambda: counts() == (2, 0, 1), 20, "the tracker has heard of it")
    assert digests(leecher.folder / content.name) == digests(content)

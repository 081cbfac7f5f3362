"""The TorrentFlow API: its calls, its keys, and the torrents that its tests use."""

import json
from pathlib import Path
from urllib.parse import urlencode

from lib.http import multipart
from lib.rookery import TOKEN

TORRENTS = Path(__file__).resolve().parents[1] / "data" / "torrents"

T1 = (TORRENTS / "hello.torrent").read_bytes()
H1 = "7b5e918f364908afab937ecdd84059dfb61102b7"
H1_BASE32 = "PNPJDDZWJEEK7K4TP3G5QQCZ363BCAVX"
T2 = (TORRENTS / "multi.torrent").read_bytes()
H2 = "92a63ae0210987f37c3c38ea74645034829c482f"
UNKNOWN = "c" * 40
HD = "d" * 40
MAGNET = f"magnet:?xt=urn:btih:{HD}&dn=hello"

# For callers of this machine, and URLs on it.
OPEN = {"api": {"local_without_token": True, "url_fetch": "any"}}

BOOLS = ["paused", "auto_managed", "sequential_download", "is_seeding", "is_finished",
         "has_metadata", "has_incoming", "seed_mode", "upload_mode", "share_mode", "super_seeding"]
TEXTS = ["infohash", "state", "name", "save_path", "error", "storage_mode", "creator", "comment"]
FLOATS = ["progress", "download_rate", "upload_rate", "distributed_copies"]
INTS = ["total_download", "total_upload", "total_done", "total_wanted_done", "total_wanted",
        "num_peers", "num_seeds", "list_peers", "list_seeds", "connect_candidates", "num_complete",
        "num_incomplete", "num_pieces", "pieces_downloaded", "total_pieces", "last_seen_complete",
        "added_time", "completed_time", "time_since_upload", "time_since_download", "last_scrape",
        "active_time", "finished_time", "seeding_time", "seed_rank", "priority", "total_size",
        "num_files", "piece_length", "creation_date"]
STATES = ["queued_for_checking", "checking_files", "downloading_metadata", "downloading",
          "finished", "seeding", "allocating", "checking_resume_data"]


def check_status(status):
    """Every key is there with its type, and nothing else; texts and numbers that must hold."""
    types = {**dict.fromkeys(BOOLS, bool), **dict.fromkeys(TEXTS, str),
             **dict.fromkeys(FLOATS, float), **dict.fromkeys(INTS, int), "files": list}
    assert {k: type(v) for k, v in status.items()} == types
    assert status["state"] in STATES
    assert status["storage_mode"] in ("storage_mode_sparse", "storage_mode_allocate")
    assert 0 <= status["progress"] <= 100
    assert status["num_files"] == len(status["files"])
    assert status["num_pieces"] == status["total_pieces"] >= status["pieces_downloaded"]
    assert status["total_wanted_done"] <= status["total_wanted"] <= status["total_size"]
    for file in status["files"]:
        assert {k: type(v) for k, v in file.items()} == {"path": str, "size": int, "offset": int}
    return status


class TorrentFlow:
    """Calls of one server. token None: none is sent."""

    def __init__(self, server, token=TOKEN):
        self.server = server
        self.token = token

    def call(self, method, path, headers=None, body=None, **kwargs):
        kwargs.setdefault("token", self.token)
        return self.server.api(method, path, headers=headers, body=body, **kwargs)

    def post(self, **fields):
        """A urlencoded form."""
        return self.call("POST", "/torrents", {"Content-Type": "application/x-www-form-urlencoded"},
                         urlencode(fields).encode())

    def upload(self, metainfo, filename="x.torrent", **fields):
        headers, body = multipart(*((k, None, v) for k, v in fields.items()),
                                  ("torrent_file", filename, metainfo))
        return self.call("POST", "/torrents", headers, body)

    def added(self, response):
        """The info-hash that an answer to an add names."""
        assert response.status == 200, (response.status, response.body)
        answer = response.json()
        assert response.headers["content-type"].startswith("application/json")
        assert answer == {"infohash": answer["infohash"], "info_hash": answer["infohash"]}
        return answer["infohash"]

    def status(self, info_hash):
        response = self.call("GET", f"/torrents/{info_hash}")
        assert response.status == 200, (response.status, response.body)
        return check_status(response.json())

    def change(self, method, path, said):
        """A change that must be answered with this text under both names."""
        response = self.call(method, path)
        assert response.status == 200, (response.status, response.body)
        assert response.json() == {"detail": said, "result": said}

    def pause(self, info_hash):
        self.change("PUT", f"/torrents/{info_hash}/pause", "Torrent paused")

    def resume(self, info_hash):
        self.change("PUT", f"/torrents/{info_hash}/resume", "Torrent resumed")

    def remove(self, info_hash):
        self.change("DELETE", f"/torrents/{info_hash}", "Torrent removed")


def failed(response, status, *texts):
    """The detail of a failure, which must hold the texts."""
    assert response.status == status, (response.status, response.body)
    assert response.headers["content-type"].startswith("application/json")
    answer = json.loads(response.body)
    assert list(answer) == ["detail"]
    for text in texts:
        assert text.lower() in answer["detail"].lower(), answer
    return answer["detail"]


def put_content(folder):
    """What T1 and T2 describe."""
    (folder / "hello.txt").write_bytes(b"hello world\n")
    (folder / "multi" / "sub").mkdir(parents=True)
    (folder / "multi" / "a.txt").write_bytes(b"A" * 1000)
    (folder / "multi" / "sub" / "b.txt").write_bytes(b"B" * 50000)

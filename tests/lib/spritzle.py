"""The spritzle API: its calls, its keys and their types."""

import json
from pathlib import Path
from urllib.parse import urlencode

from lib.rookery import TOKEN
from lib.torrentflow import STATES, multipart

DATA = Path(__file__).resolve().parents[1] / "data" / "spritzle"
SESSION_KEYS = json.loads((DATA / "session_keys.json").read_text())
EXAMPLE = json.loads((DATA / "torrent_example.json").read_text())
JSON_TYPE = "application/json; charset=utf-8"

GAUGES = {
    "net.limiter_up_queue", "net.limiter_down_queue", "net.limiter_up_bytes",
    "net.limiter_down_bytes", "net.has_incoming_connections", "ses.num_checking_torrents",
    "ses.num_stopped_torrents", "ses.num_upload_only_torrents", "ses.num_downloading_torrents",
    "ses.num_seeding_torrents", "ses.num_queued_seeding_torrents",
    "ses.num_queued_download_torrents", "ses.num_error_torrents", "ses.num_loaded_torrents",
    "ses.num_pinned_torrents", "ses.non_filter_torrents", "ses.num_unchoke_slots",
    "disk.write_cache_blocks", "disk.read_cache_blocks", "disk.request_latency",
    "disk.pinned_blocks", "disk.disk_blocks_in_use", "disk.queued_disk_jobs",
    "disk.num_running_disk_jobs", "disk.num_read_jobs", "disk.num_write_jobs", "disk.num_jobs",
    "disk.num_writing_threads", "disk.num_running_threads", "disk.blocked_disk_jobs",
    "disk.queued_write_bytes", "dht.dht_nodes", "dht.dht_node_cache", "dht.dht_torrents",
    "dht.dht_peers", "dht.dht_immutable_data", "dht.dht_mutable_data",
    "dht.dht_allocated_observers"}
GAUGES |= {k for k in SESSION_KEYS if k != "peer.num_banned_peers" and
           k.startswith(("peer.num_", "disk.arc_", "disk.num_fenced_", "utp.num_utp_"))}
COUNTERS = set(SESSION_KEYS) - GAUGES
STATE_GAUGES = [f"ses.num_{state}_torrents" for state in (
    "checking", "stopped", "upload_only", "downloading", "seeding", "queued_seeding",
    "queued_download", "error")]


def check_session(session):
    """Exactly the keys, integers, and each torrent in one state."""
    assert sorted(session) == SESSION_KEYS
    assert {type(v) for v in session.values()} == {int}
    assert min(session.values()) >= 0
    assert sum(session[k] for k in STATE_GAUGES) == session["ses.num_loaded_torrents"]
    return session


def check_status(status):
    """Every key of the document's example with its type; numbers that must hold."""
    assert {k: type(v) for k, v in status.items()} == {k: type(v) for k, v in EXAMPLE.items()}
    assert list(status) == list(EXAMPLE)
    errc = status["errc"]
    assert list(errc) == ["message", "value", "category"]
    assert errc["category"] == {"message": errc["message"], "name": "system"}
    assert status["state"] in STATES
    assert 0 <= status["progress"] <= 1
    assert abs(status["progress"] - status["progress_ppm"] / 1e6) < 2e-6
    assert status["block_size"] == 16384
    assert status["storage_mode"] in (0, 1)
    assert all(type(p) is bool for p in status["pieces"] + status["verified_pieces"])
    assert status["num_pieces"] == sum(status["pieces"])
    assert float(status["next_announce"]) >= 0 and "." in status["next_announce"]
    assert status["total_wanted_done"] <= status["total_wanted"]
    full, thousandths = status["distributed_full_copies"], status["distributed_fraction"]
    copies = status["distributed_copies"]
    assert (copies, full, thousandths) == (-1, -1, -1) or abs(copies - full - thousandths / 1e3) < 1e-6
    for key in ("num_complete", "num_incomplete", "time_since_download", "time_since_upload",
                "last_scrape", "queue_position", "connections_limit", "uploads_limit",
                "error_file"):
        assert status[key] >= -1
    return status


class Spritzle:
    """Calls of one server. token None: none is sent."""

    def __init__(self, server, token=TOKEN):
        self.server = server.wait_loaded()
        self.token = token

    def call(self, method, path, headers=None, body=None, **kwargs):
        kwargs.setdefault("token", self.token)
        return self.server.api(method, path, headers=headers, body=body, **kwargs)

    def post(self, headers=None, args=None, **fields):
        """A urlencoded form."""
        if args is not None:
            fields["args"] = args if isinstance(args, str) else json.dumps(args)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.call("POST", "/torrent", headers, urlencode(fields).encode())

    def upload(self, metainfo, filename="x.torrent", args=None, **fields):
        if args is not None:
            fields["args"] = args if isinstance(args, str) else json.dumps(args)
        headers, body = multipart(*((k, None, v) for k, v in fields.items()),
                                  ("file", filename, metainfo))
        return self.call("POST", "/torrent", headers, body)

    def added(self, response):
        """The info-hash that an answer to an add names."""
        assert response.status == 201, (response.status, response.body)
        info_hash = response.json()["info_hash"]
        assert response.headers["content-type"] == JSON_TYPE
        assert response.body == b'{"info_hash": "%s"}' % info_hash.encode()
        host, port = self.server.api_address()
        assert response.headers["location"] == f"http://{host}:{port}/torrent/{info_hash}"
        return info_hash

    def get(self, path):
        response = self.call("GET", path)
        assert response.status == 200, (response.status, response.body)
        assert response.headers["content-type"] == JSON_TYPE
        return response.json()

    def status(self, info_hash):
        return check_status(self.get(f"/torrent/{info_hash}"))

    def session(self):
        return check_session(self.get("/session"))

    def torrents(self):
        return self.get("/torrent")

    def empty_ok(self, method, path, body=None):
        """A change that is answered with 200 and nothing."""
        response = self.call(method, path, body=body)
        assert (response.status, response.body) == (200, b""), (response.status, response.body)
        assert response.headers["content-length"] == "0"

    def remove(self, info_hash, query=""):
        self.empty_ok("DELETE", f"/torrent/{info_hash}{query}")


def failed(response, status, *texts):
    """The reason of a failure, which must hold the texts."""
    assert response.status == status, (response.status, response.body)
    assert response.headers["content-type"] == JSON_TYPE
    answer = response.json()
    assert list(answer) == ["status", "reason", "message"]
    assert answer["status"] == status
    assert answer["message"] == f"{status}: {answer['reason']}"
    for text in texts:
        assert text.lower() in answer["reason"].lower(), answer
    return answer["reason"]

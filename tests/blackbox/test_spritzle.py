"""The spritzle API: session counters, adding in every way, the status, removing, flags, who may
call."""

import base64
import json
import os
import socket
import struct
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from lib import bencode
from lib.http import Connection
from lib.rookery import AUTH, TOKEN, merged
from lib.spritzle import COUNTERS, EXAMPLE, GAUGES, SESSION_KEYS, Spritzle, failed
from lib.torrentflow import (
    H1, H1_BASE32, H2, HD, MAGNET, OPEN, T1, T2, TORRENTS, UNKNOWN, TorrentFlow, multipart)
from lib.torrust import stranger
from lib.wait import eventually
from lib.web import dead_port

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ONE_OF = "One of and only one 'file', 'url' or 'info_hash' allowed."


@pytest.fixture
def start(start):
    """The same, and what the own tracker would say of a torrent is not in its status."""
    def begin(config=None, **kwargs):
        return start(merged(config or OPEN, {"client": {"announce_to_own_tracker": False}}),
                     **kwargs)
    return begin


@pytest.fixture
def api(server):
    return Spritzle(server, token=None)


@pytest.fixture
def shared(shared_servers):
    """A server that no test of it changes."""
    return Spritzle(shared_servers.once("open", OPEN), token=None)


def settled(api, info_hash, state):
    return eventually(lambda: (s := api.status(info_hash))["state"] == state and s, 20)


# ---- session

def test_the_test_data():
    assert len(SESSION_KEYS) == 293 and len(EXAMPLE) == 77
    assert (len(GAUGES), len(COUNTERS)) == (91, 202)


def test_session_without_torrents(shared):
    session = shared.session()
    assert session["ses.num_loaded_torrents"] == 0
    assert session["ses.num_unchoke_slots"] > 0
    assert session["disk.num_running_threads"] == max(4, len(os.sched_getaffinity(0)))
    for key in ("net.sent_bytes", "net.recv_bytes", "ses.num_piece_failed", "dht.dht_nodes",
                "utp.num_utp_connected", "peer.num_peers_connected"):
        assert session[key] == 0, key


def test_the_threads_are_as_many_as_configured(start):
    server = start({**OPEN, "client": {"disk_threads": 3, "hash_threads": 2}})
    assert Spritzle(server).session()["disk.num_running_threads"] == 3 + 2
    tasks = Path(f"/proc/{server.process.pid}/task")
    assert len(list(tasks.iterdir())) >= 3 + 2 + server.config["tracker"]["workers"]


def test_session_as_torrents_come_and_go(api, seed, empty):
    before = api.session()
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    api.added(api.upload(T1, args={"save_path": str(empty), "paused": True}))
    api.added(api.post(info_hash=HD))
    settled(api, H2, "seeding")
    session = api.session()
    assert session["ses.num_loaded_torrents"] == session["ses.num_pinned_torrents"] == 3
    assert session["ses.num_seeding_torrents"] == 1
    assert session["ses.num_stopped_torrents"] == 1
    assert session["ses.num_downloading_torrents"] == 1
    assert session["ses.num_total_pieces_added"] == 4 + 1
    assert session["ses.num_have_pieces"] == 4
    assert session["disk.num_blocks_hashed"] >= 4
    assert session["net.on_disk_counter"] > 0
    api.empty_ok("DELETE", "/torrent")
    after = api.session()
    assert after["ses.num_loaded_torrents"] == 0
    assert after["ses.num_total_pieces_added"] == 5 and after["ses.num_have_pieces"] == 4
    for key in COUNTERS:
        assert before[key] <= session[key] <= after[key], key


def test_session_has_the_shape_of_the_document(shared):
    """Flat, with a blank behind each comma and colon."""
    body = shared.call("GET", "/session").text
    assert body == json.dumps(json.loads(body))


def test_dht(shared):
    response = shared.call("GET", "/session/dht")
    assert (response.status, response.body) == (200, b"false")
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["content-length"] == "5"


# ---- list

def test_the_list(api):
    assert api.call("GET", "/torrent").body == b"[]"
    api.added(api.upload(T2))
    api.added(api.post(info_hash=HD))
    api.added(api.upload(T1))
    assert api.torrents() == [H2, HD, H1]
    assert api.call("GET", "/torrent").body == json.dumps([H2, HD, H1]).encode()
    assert api.get("/torrent/") == [H2, HD, H1]
    api.remove(HD)
    assert api.torrents() == [H2, H1]


def test_a_long_list(api):
    hashes = [f"{i:040x}" for i in range(1, 601)]
    with Connection(api.server.api_address()) as connection:
        for info_hash in hashes:
            body = f"info_hash={info_hash}&args={quote(json.dumps({'paused': True}))}".encode()
            assert connection.request("POST", "/torrent", FORM, body).status == 201
    assert api.torrents() == hashes
    api.empty_ok("DELETE", "/torrent?delete_files")
    assert api.torrents() == []


# ---- adding

@pytest.mark.parametrize("filename", ["x.torrent", "", None])
def test_upload(api, empty, filename):
    assert api.added(api.upload(T1, filename, args={"save_path": str(empty)})) == H1
    status = api.status(H1)
    assert (status["info_hash"], status["name"], status["save_path"]) == (H1, "hello.txt",
                                                                         str(empty))


def test_the_documented_length(api):
    response = api.upload(T1)
    assert response.headers["content-length"] == "57"


def test_upload_in_a_urlencoded_form(api):
    assert api.added(api.call("POST", "/torrent", FORM, b"file=" + quote(T1, safe="").encode())) == H1


@pytest.mark.parametrize("path", ["/t1", "/oct", "/redir"])
def test_by_url(api, web, path):
    assert api.added(api.post(url=web.url(path))) == H1
    assert api.status(H1)["name"] == "hello.txt"


def test_by_url_with_args(api, web, empty):
    """What is given stays until the fetch is done."""
    args = {"save_path": str(empty), "paused": True, "file_priorities": [7],
            "trackers": ["http://127.0.0.1:1/a", "udp://127.0.0.1:1"], "tracker_url": "http://127.0.0.1:2/b"}
    assert api.added(api.post(url=web.url("/t1"), args=args)) == H1
    status = api.status(H1)
    assert status["paused"] and status["save_path"] == str(empty)


@pytest.mark.parametrize("info_hash", [HD, HD.upper(), H1_BASE32, H1_BASE32.lower()])
def test_by_info_hash(api, info_hash):
    wanted = HD if len(info_hash) == 40 else H1
    assert api.added(api.post(info_hash=info_hash)) == wanted
    status = api.status(wanted)
    assert (status["state"], status["name"]) == ("downloading_metadata", "")


def test_by_magnet_in_the_url(api):
    assert api.added(api.post(url=MAGNET)) == HD
    assert api.status(HD)["name"] == "hello"


def test_multipart_without_a_file(api, web, empty):
    headers, body = multipart(("url", None, web.url("/t1")),
                              ("args", None, json.dumps({"save_path": str(empty)})))
    assert api.added(api.call("POST", "/torrent", headers, body)) == H1
    assert api.status(H1)["save_path"] == str(empty)


@pytest.mark.parametrize("body", [
    {"file": base64.b64encode(T1).decode(), "spritzle.tags": ["a", "b"], "paused": True},
    {"info_hash": H1, "paused": True}, {"url": f"magnet:?xt=urn:btih:{H1}", "paused": True}])
def test_a_body_in_json(api, body):
    assert api.added(api.call("POST", "/torrent", body=body)) == H1
    assert api.status(H1)["paused"]


def test_the_last_of_a_repeated_field_wins(api):
    assert api.added(api.call("POST", "/torrent", FORM,
                              f"info_hash=x&info_hash={HD}&args=x&args={{}}".encode())) == HD


def test_expect_100_continue(server):
    headers, body = multipart(("file", "x.torrent", T1))
    with Connection(server.api_address()) as connection:
        response = connection.request("POST", "/torrent",
                                      {**headers, **AUTH, "Expect": "100-continue"}, body)
    assert (response.status, response.json()) == (201, {"info_hash": H1})


def test_added_twice(api, empty, tmp_path):
    api.added(api.upload(T1, args={"save_path": str(empty)}))
    before = api.status(H1)
    other = {"save_path": str(tmp_path / "other"), "paused": True}
    assert api.added(api.upload(T1, args=other)) == H1
    assert api.added(api.post(info_hash=H1, args=other)) == H1
    after = api.status(H1)
    for key in ("save_path", "added_time", "paused"):
        assert before[key] == after[key], key
    failed(api.upload(T1, args={"duplicate_is_error": True}), 409)
    failed(api.post(info_hash=H1, args={"duplicate_is_error": True}), 409)
    assert api.torrents() == [H1]


def test_duplicate_is_error_of_a_new_one(api):
    assert api.added(api.upload(T1, args={"duplicate_is_error": True})) == H1


# ---- Location

@pytest.mark.parametrize("host, named", [
    ("localhost:8080", "localhost:8080"), ("LOCALHOST", "LOCALHOST"), ("[::1]:99", "[::1]:99"),
    ("mine.example", "mine.example"), ("evil.example", None), ("192.0.2.1", None),
    ("localhost.evil.example", None), ("", None)])
def test_location(shared_servers, host, named):
    server = shared_servers.once("named", {"api": {**OPEN["api"], "hosts": ["mine.example"]}})
    api = Spritzle(server)
    response = api.post({"Host": host}, info_hash=HD)
    assert response.status == 201, response
    own = "%s:%d" % server.api_address()
    assert response.headers["location"] == f"http://{named or own}/torrent/{HD}"
    assert TOKEN not in response.headers["location"]


def test_location_without_a_host(server):
    with Connection(server.api_address()) as connection:
        response = connection.request("POST", "/torrent", {**FORM, **AUTH, "Host": None},
                                      f"info_hash={HD}".encode(), version="HTTP/1.0")
    assert response.status == 201
    assert response.headers["location"] == "http://%s:%d/torrent/%s" % (*server.api_address(), HD)


# ---- args

def test_args_that_change_something(api, empty):
    args = {"save_path": str(empty), "storage_mode": 0, "file_priorities": [0, 1], "paused": True,
            "auto_managed": False, "sequential_download": True, "max_connections": 17,
            "max_uploads": 3, "upload_limit": 5000, "download_limit": 6000, "name": "another"}
    api.added(api.upload(T2, args=args))
    status = api.status(H2)
    assert status["storage_mode"] == 0 and status["connections_limit"] == 17
    assert status["uploads_limit"] == 3
    assert status["paused"] and status["sequential_download"] and not status["auto_managed"]
    assert status["total_wanted"] == 50000
    assert status["name"] == "multi"


def test_args_survive(api, empty):
    args = {"save_path": str(empty), "storage_mode": 0, "file_priorities": [0], "paused": True,
            "share_mode": True, "max_connections": 17, "max_uploads": 1}
    api.added(api.upload(T2, args=args))
    before = api.status(H2)
    assert before["total_wanted"] == 50000 and before["share_mode"] and not before["upload_mode"]
    assert before["uploads_limit"] == 1
    api.server.restart()
    api.server.wait_loaded()
    after = api.status(H2)
    for key in ("storage_mode", "total_wanted", "paused", "share_mode", "upload_mode",
                "connections_limit", "uploads_limit", "auto_managed", "save_path", "added_time"):
        assert before[key] == after[key], key


def test_defaults_of_args(api):
    for args in (None, {}, {"paused": None, "max_connections": -1, "max_uploads": -1},
                 {"max_uploads": 0}):
        api.added(api.upload(T1, args=args))
        status = api.status(H1)
        assert status["auto_managed"] and not status["paused"]
        assert (status["storage_mode"], status["connections_limit"]) == (1, -1)
        assert status["uploads_limit"] == -1
        assert status["save_path"] == str(api.server.data_dir / "downloads")
        api.remove(H1)


def test_a_name_before_the_metadata(api):
    api.added(api.post(info_hash=HD, args={"name": "früh"}))
    assert api.status(HD)["name"] == "früh"


def test_args_that_are_ignored(api):
    args = {"dht_nodes": [["router.example", 6881]], "flags": 4711, "apply_ip_filter": False,
            "override_resume_data": True, "merge_resume_trackers": True, "trackerid": "x",
            "url": "http://x/", "uuid": "u", "source_feed_url": "s", "resume_data": "r",
            "ti": {"a": [1]}, "info_hash": UNKNOWN}
    assert api.added(api.upload(T1, args=args)) == H1


def test_trackers(api, web):
    web.pages["/announce"] = (200, {}, bencode.encode(
        {b"interval": 1800, b"complete": 5, b"incomplete": 7, b"peers": b""}))
    before = api.session()
    url = web.url("/announce")
    api.added(api.upload(T1, args={"trackers": [url]}))
    status = eventually(lambda: (s := api.status(H1))["num_complete"] == 5 and s, 10)
    assert (status["num_incomplete"], status["current_tracker"]) == (7, url)
    assert status["last_scrape"] >= 0 and float(status["next_announce"]) > 0
    session = api.session()
    assert session["net.sent_tracker_bytes"] > before["net.sent_tracker_bytes"] + 100
    assert session["net.recv_tracker_bytes"] > before["net.recv_tracker_bytes"] + 50


def test_a_peer_that_nobody_is(api, web):
    with dead_port() as holder:
        port = holder.getsockname()[1]
        web.pages["/announce"] = (200, {}, bencode.encode(
            {b"interval": 1800, b"peers": bytes((127, 0, 0, 1)) + port.to_bytes(2, "big")}))
        api.added(api.upload(T1, args={"trackers": [web.url("/announce")]}))
        session = eventually(lambda: (s := api.session())["peer.connrefused_peers"] and s, 10)
    assert session["peer.connection_attempts"] >= session["peer.error_outgoing_peers"] >= 1
    assert session["peer.error_tcp_peers"] == session["peer.error_peers"] >= 1
    assert session["peer.disconnected_peers"] == session["peer.error_incoming_peers"] == 0


def test_a_peer_that_connects(api, server, empty):
    """Its end is counted as it ends: in order, or not."""
    api.added(api.upload(T2, args={"save_path": str(empty)}))
    settled(api, H2, "downloading")
    host, port = server.ready["client"][0].rsplit(":", 1)
    for i, key in enumerate(("peer.eof_peers", "peer.connreset_peers")):
        with socket.create_connection((host, int(port)), timeout=10) as peer:
            peer.sendall(b"\x13BitTorrent protocol" + bytes(8) + bytes.fromhex(H2)
                         + bytes([65 + i]) * 20)
            assert peer.recv(1)
            session = eventually(lambda: (s := api.session())["peer.num_peers_connected"] and s, 10)
            assert session["peer.num_tcp_peers"] == session["net.has_incoming_connections"] == 1
            assert session["peer.incoming_connections"] == session["net.on_accept_counter"] == i + 1
            if key == "peer.eof_peers":
                peer.shutdown(socket.SHUT_WR)
                eventually(lambda: api.session()[key], 10)
            else:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        session = eventually(lambda: (s := api.session())[key] and s, 10)
        assert session["peer.disconnected_peers"] == i + 1
        assert session["peer.num_peers_connected"] == 0
    assert api.status(H2)["has_incoming"]


def test_seed_mode(api, seed):
    api.added(api.upload(T2, args={"save_path": str(seed), "seed_mode": True}))
    status = settled(api, H2, "seeding")
    assert status["seed_mode"]
    assert status["verified_pieces"] == [False] * 4 and status["pieces"] == [True] * 4


def test_upload_mode(api, empty):
    api.added(api.upload(T2, args={"save_path": str(empty), "upload_mode": True}))
    assert api.status(H2)["upload_mode"]


@pytest.mark.parametrize("args, text", [
    ("{", "not a JSON object"), ("[]", "not a JSON object"), ("1", "not a JSON object"),
    ("", "not a JSON object"), ("null", "not a JSON object"), ('{"a":1}x', "not a JSON object"),
    ('{"name":"a\\u0000b"}', "not a JSON object"),
    ({"nonsense": 1}, "unknown name in torrent params: nonsense"),
    ({"SAVE_PATH": "x"}, "unknown name in torrent params: SAVE_PATH"),
    ({"file": "x"}, "unknown name in torrent params: file"),
    ({"save_path": 1}, "save_path must be a string"), ({"name": []}, "name must be a string"),
    ({"trackers": "x"}, "trackers must be"), ({"trackers": [1]}, "trackers must be"),
    ({"trackers": ["http://x/"] * 201}, "trackers must be"),
    ({"tracker_url": 1}, "tracker_url must be"), ({"storage_mode": 2}, "storage_mode must be"),
    ({"storage_mode": "sparse"}, "storage_mode must be"),
    ({"file_priorities": [8]}, "file_priorities must be"),
    ({"file_priorities": [-1]}, "file_priorities must be"),
    ({"file_priorities": 1}, "file_priorities must be"), ({"paused": "yes"}, "paused must be"),
    ({"max_connections": 1.5}, "max_connections must be"),
    ({"upload_limit": "1"}, "upload_limit must be"),
    ({"download_limit": 1e300}, "download_limit must be"),
    ({"duplicate_is_error": "x"}, "duplicate_is_error must be")])
def test_bad_args(shared, args, text):
    failed(shared.upload(T1, args=args), 400, text)
    failed(shared.post(info_hash=H1, args=args), 400, text)
    failed(shared.call("GET", f"/torrent/{H1}"), 404)


# ---- what is refused

@pytest.mark.parametrize("headers, body", [
    ({}, b""), (FORM, b""), (FORM, b"args={}"), (FORM, f"url=x&info_hash={HD}".encode()),
    ({"Content-Type": "text/plain"}, f"info_hash={HD}".encode()),
    multipart(("file", "x", T1), ("url", None, "http://127.0.0.1/")),
    multipart(("file", "x", T1), ("info_hash", None, H1)),
    multipart(("args", None, "{}")),
    ({"Content-Type": "application/json"}, b"{}"),
    ({"Content-Type": "application/json"}, json.dumps({"url": MAGNET, "info_hash": HD}).encode())])
def test_one_of_and_only_one(shared, headers, body):
    assert failed(shared.call("POST", "/torrent", headers, body), 400) == ONE_OF


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"info_hash": 1}', b'{"file": "***"}',
                                  b'{"info_hash": "' + HD.encode() + b'", "nonsense": 1}'])
def test_bad_json(shared, body):
    failed(shared.call("POST", "/torrent", {"Content-Type": "application/json"}, body), 400)


def test_two_files(shared):
    headers, body = multipart(("file", "a", T1), ("file", "b", T2))
    failed(shared.call("POST", "/torrent", headers, body), 400)


@pytest.mark.parametrize("metainfo", [
    b"", b"hello", b"d", b"de", b"d4:infodee", T1[:-1], T1.replace(b"i12e", b"i-1e"),
    (TORRENTS / "v2_only.torrent").read_bytes()])
def test_files_that_are_no_torrents(shared, metainfo):
    reason = failed(shared.upload(metainfo), 400, "Not a valid torrent file: ")
    assert len(reason) > len("Not a valid torrent file: ")


@pytest.mark.parametrize("info_hash", ["", "x", H1[:8], H1 + "0", "g" * 40, "%zz"])
def test_bad_info_hashes(shared, info_hash):
    failed(shared.post(info_hash=info_hash), 400)


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/x", "file:///etc/passwd", "x", "http://",
                                 "magnet:?dn=x", "javascript:1"])
def test_bad_urls(shared, url):
    failed(shared.post(url=url), 400)


@pytest.mark.parametrize("path", ["/html", "/empty", "/gone", "/nothing"])
def test_urls_without_a_torrent(shared, web, path):
    failed(shared.post(url=web.url(path)), 400)


def test_urls_that_nobody_answers(shared):
    with dead_port() as holder:
        failed(shared.post(url=f"http://127.0.0.1:{holder.getsockname()[1]}/"), 502)
    failed(shared.post(url="http://rookery.invalid/x.torrent"), 502)


def test_urls_that_are_not_allowed(shared, web):
    failed(shared.post(url="http://169.254.169.254/latest/meta-data/"), 403)
    failed(shared.post(url=web.url("/inside")), 403)


@pytest.mark.parametrize("path", ["/etc", "../../../../etc", "{}/../.."])
def test_a_save_path_outside(api, tmp_path, path):
    args = {"save_path": path.replace("{}", str(tmp_path))}
    failed(api.upload(T1, args=args), 403)
    assert api.torrents() == []


def test_a_save_path_that_cannot_be_made(api, tmp_path):
    (tmp_path / "file").write_text("in the way")
    failed(api.upload(T1, args={"save_path": str(tmp_path / "file" / "below")}), 400)


def test_broken_multipart(shared):
    headers, body = multipart(("file", "x.torrent", T1))
    failed(shared.call("POST", "/torrent", headers, body[:-10]), 400)
    failed(shared.call("POST", "/torrent", {"Content-Type": "multipart/form-data"}, body), 400)


def test_a_body_that_is_too_large(start):
    api = Spritzle(start({"api": {**OPEN["api"], "max_body": 4096}}), token=None)
    failed(api.upload(b"x" * 4096), 413, "api.max_body")
    assert api.added(api.upload(T1)) == H1


# ---- status

def test_without_metadata(api):
    api.added(api.post(info_hash=HD))
    status = api.status(HD)
    assert (status["state"], status["name"]) == ("downloading_metadata", "")
    assert not status["has_metadata"] and not status["is_seeding"] and not status["is_finished"]
    assert status["pieces"] == [] and status["verified_pieces"] == []
    assert status["progress"] == 0.0 and status["progress_ppm"] == 0
    for key in ("total_wanted", "total_done", "num_pieces", "completed_time"):
        assert status[key] == 0, key
    for key in ("time_since_download", "time_since_upload", "last_scrape", "num_complete",
                "num_incomplete", "distributed_copies", "error_file", "uploads_limit"):
        assert status[key] == -1, key
    assert (status["next_announce"], status["current_tracker"]) == ("0.0", "")


def test_a_new_download(api, empty):
    before = int(time.time())
    api.added(api.upload(T2, args={"save_path": str(empty)}))
    status = settled(api, H2, "downloading")
    assert status["pieces"] == [False] * 4 and status["num_pieces"] == 0
    assert (status["total_wanted"], status["total_wanted_done"], status["total_done"]) == (
        51000, 0, 0)
    assert before <= status["added_time"] <= time.time()
    assert status["errc"] == EXAMPLE["errc"]
    assert status["queue_position"] == 0
    api.added(api.post(info_hash=HD))
    assert api.status(HD)["queue_position"] == 1


def test_what_is_there_already_is_seeded(api, seed):
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    status = settled(api, H2, "seeding")
    assert status["is_seeding"] and status["is_finished"]
    assert (status["progress"], status["progress_ppm"]) == (1.0, 1000000)
    assert status["pieces"] == [True] * 4 and status["queue_position"] == -1
    assert status["total_done"] == status["total_wanted_done"] == 51000
    assert status["completed_time"] > 0
    assert status["distributed_copies"] == -1.0


def test_a_part_of_it(api, seed):
    (seed / "multi" / "sub" / "b.txt").write_bytes(b"B" * 20000 + b"x" + b"B" * 29999)
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    status = settled(api, H2, "downloading")
    assert status["pieces"] == [True, False, True, True] and status["num_pieces"] == 3
    assert 0 < status["progress"] < 1


def test_wanted_files_alone(api, seed):
    (seed / "multi" / "a.txt").unlink()
    (seed / "multi" / "a.txt").write_bytes(b"x" * 1000)
    api.added(api.upload(T2, args={"save_path": str(seed), "file_priorities": [0, 1]}))
    status = eventually(lambda: (s := api.status(H2))["total_done"] > 0 and s, 20)
    assert status["total_wanted"] == 50000


def test_many_pieces(api, empty):
    """A list of pieces that takes many slices."""
    info = {b"length": 100_000 * 16384, b"name": b"large", b"piece length": 16384,
            b"pieces": b"h" * 20 * 100_000}
    info_hash = api.added(api.upload(bencode.encode({b"info": info}),
                                     args={"save_path": str(empty), "paused": True}))
    status = api.status(info_hash)
    assert status["pieces"] == [False] * 100_000
    assert status["total_wanted"] == 100_000 * 16384
    assert api.call("HEAD", f"/torrent/{info_hash}").status == 200


def test_missing_files_are_an_error(api, seed):
    api.added(api.upload(T1, args={"save_path": str(seed)}))
    settled(api, H1, "seeding")
    (seed / "hello.txt").unlink()
    api.server.restart()
    api.server.wait_loaded()
    status = eventually(lambda: (s := api.status(H1))["errc"]["value"] != 0 and s, 20)
    assert status["errc"]["value"] == 2
    assert status["errc"]["message"] == "No such file or directory"
    session = api.session()
    assert session["ses.num_error_torrents"] == 1


@pytest.mark.parametrize("name", [
    H1.upper(), H1_BASE32, H1_BASE32.lower(), quote(bytes.fromhex(H1), safe=""),
    quote("".join(map(chr, bytes.fromhex(H1))), safe=""), H1 + "/"])
def test_forms_of_an_info_hash(api, name):
    api.added(api.upload(T1))
    assert api.get(f"/torrent/{name}")["info_hash"] == H1


def test_head(api):
    api.added(api.upload(T1))
    for path in ("/session", "/session/dht", "/torrent", f"/torrent/{H1}", f"/torrent/{H1}/flags"):
        response = api.call("HEAD", path)
        assert (response.status, response.body) == (200, b""), path
    assert api.call("HEAD", f"/torrent/{UNKNOWN}").status == 404


# ---- removing

def test_remove(api, seed):
    """The files stay."""
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    settled(api, H2, "seeding")
    api.remove(H2)
    failed(api.call("GET", f"/torrent/{H2}"), 404, "Torrent not found")
    failed(api.call("DELETE", f"/torrent/{H2}"), 404, "Torrent not found")
    assert (seed / "multi" / "a.txt").read_bytes() == b"A" * 1000
    assert api.torrents() == []


@pytest.mark.parametrize("query", ["?delete_files", "?delete_files=", "?delete_files=1",
                                   "?delete_files=true", "?other=1&delete_files=True&x"])
def test_remove_with_files(api, seed, query):
    """Only its own files, and the folders that this leaves empty."""
    (seed / "multi" / "mine").write_text("mine")
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    settled(api, H2, "seeding")
    api.remove(H2, query)
    assert sorted(str(p.relative_to(seed)) for p in seed.rglob("*")) == [
        "hello.txt", "multi", "multi/mine"]


def test_the_folders_go_too(api, seed):
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    api.added(api.upload(T1, args={"save_path": str(seed)}))
    settled(api, H1, "seeding")
    settled(api, H2, "seeding")
    api.remove(H2, "?delete_files")
    api.remove(H1, "?delete_files")
    assert seed.is_dir() and list(seed.iterdir()) == []


@pytest.mark.parametrize("query", ["", "?delete_files=0", "?delete_files=false",
                                   "?delete_files=No", "?delete_filesx", "?xdelete_files=1",
                                   "?x=delete_files"])
def test_remove_and_keep_the_files(api, seed, query):
    api.added(api.upload(T1, args={"save_path": str(seed)}))
    settled(api, H1, "seeding")
    api.remove(H1, query)
    assert (seed / "hello.txt").read_bytes() == b"hello world\n"


def test_remove_all(api, seed):
    api.empty_ok("DELETE", "/torrent")
    api.added(api.upload(T1, args={"save_path": str(seed)}))
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    api.added(api.post(info_hash=HD))
    settled(api, H2, "seeding")
    api.empty_ok("DELETE", "/torrent?delete_files=no")
    assert api.torrents() == [] and (seed / "hello.txt").exists()
    assert "all torrents are removed torrents=3 files=kept" in api.server.stderr
    api.added(api.upload(T1, args={"save_path": str(seed)}))
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    settled(api, H1, "seeding")
    settled(api, H2, "seeding")
    api.empty_ok("DELETE", "/torrent?delete_files")
    assert list(seed.iterdir()) == [] and api.torrents() == []
    api.server.restart()
    api.server.wait_loaded()
    assert api.torrents() == []


def test_remove_all_needs_its_very_path(api):
    """A script with an empty variable removes nothing."""
    api.added(api.upload(T1))
    failed(api.call("DELETE", "/torrent/"), 404)
    failed(api.call("DELETE", "/torrent/?delete_files"), 404)
    failed(api.call("DELETE", "/torrent//"), 404)
    failed(api.call("DELETE", f"/torrent/{H1}/"), 404)
    assert api.torrents() == [H1]


# ---- pause, resume, flags

def test_pause_and_resume(api, seed):
    api.added(api.upload(T1, args={"save_path": str(seed)}))
    settled(api, H1, "seeding")
    for _ in range(2):
        api.empty_ok("POST", f"/torrent/{H1}/pause")
        status = api.status(H1)
        assert status["paused"] and status["state"] == "seeding"
    assert api.session()["ses.num_stopped_torrents"] == 1
    for _ in range(2):
        api.empty_ok("POST", f"/torrent/{H1}/resume", b"[1, {not json")
        assert not api.status(H1)["paused"]


def test_flags(api, empty):
    api.added(api.upload(T2, args={"save_path": str(empty)}))
    path = f"/torrent/{H2}/flags"
    assert api.get(path) == {
        "paused": False, "auto_managed": True, "sequential_download": False, "seed_mode": False,
        "upload_mode": False, "share_mode": False, "super_seeding": False}
    api.empty_ok("PUT", path, b'{"paused": true, "sequential_download": true, "seed_mode": false}')
    flags = api.get(path)
    assert flags["paused"] and flags["sequential_download"] and flags["auto_managed"]
    status = api.status(H2)
    for name, value in flags.items():
        assert status[name] == value, name
    api.empty_ok("PUT", path, b'{"share_mode": true}')
    assert api.get(path)["share_mode"] and not api.get(path)["upload_mode"]
    api.empty_ok("PUT", path, b'{"share_mode": false, "upload_mode": true, "paused": false}')
    flags = api.get(path)
    assert flags["upload_mode"] and not flags["share_mode"] and not flags["paused"]
    api.empty_ok("PUT", path, b"{}")
    assert api.get(path) == flags


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"true", b'{"nonsense": true}',
                                  b'{"paused": 1}', b'{"paused": true, "seed_mode": true}'])
def test_bad_flags(api, body):
    api.added(api.upload(T1))
    failed(api.call("PUT", f"/torrent/{H1}/flags", body=body), 400)
    assert not api.status(H1)["paused"]


# ---- paths and methods

PATHS = [("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("GET", "/flags"),
         ("PUT", "/flags")]


@pytest.mark.parametrize("method, path", PATHS)
def test_unknown_torrents(shared, method, path):
    assert failed(shared.call(method, f"/torrent/{UNKNOWN}{path}", body=b"{}"),
                  404) == "Torrent not found"


@pytest.mark.parametrize("name", ["x", H1[:8], H1 + "0", "g" * 40, "%00", "%ff", "%zz", "a%2Fb"])
@pytest.mark.parametrize("method, path", PATHS)
def test_what_is_no_info_hash(shared, method, path, name):
    failed(shared.call(method, f"/torrent/{name}{path}", body=b"{}"), 400)


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/session", "GET, HEAD"), ("DELETE", "/session/dht", "GET, HEAD"),
    ("PUT", "/torrent", "GET, HEAD, POST, DELETE"),
    ("POST", f"/torrent/{H1}", "GET, HEAD, DELETE"),
    ("GET", f"/torrent/{H1}/pause", "POST"), ("PUT", f"/torrent/{H1}/resume", "POST"),
    ("POST", f"/torrent/{H1}/flags", "GET, HEAD, PUT")])
def test_wrong_methods(shared, method, path, allow):
    response = shared.call(method, path)
    failed(response, 405)
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("method, path", [
    ("GET", "/session/x"), ("POST", "/torrent/"), ("GET", f"/torrent/{H1}/x"),
    ("POST", f"/torrent/{H1}/pause/"), ("GET", "/torrent/a/b/c")])
def test_paths_that_are_none(shared, method, path):
    failed(shared.call(method, path), 404)


# ---- who may call

CALLS = [("GET", "/session"), ("GET", "/session/dht"), ("GET", "/torrent"), ("POST", "/torrent"),
         ("DELETE", "/torrent"), ("PUT", "/torrent"), ("GET", "/torrent/a/b/c"),
         *((method, f"/torrent/{UNKNOWN}{path}") for method, path in PATHS)]


@pytest.mark.parametrize("method, path", CALLS)
def test_a_token_is_needed_by_default(shared_servers, method, path):
    server = shared_servers.once("closed", {}).wait_loaded()
    response = server.api(method, path, token=None, headers={"Host": "localhost"})
    failed(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert server.api(method, path).status in (200, 400, 404, 405)
    assert server.api(method, path, token=None, headers=AUTH).status in (200, 400, 404, 405)


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"X-Forwarded-For": "127.0.0.1"}, {"Origin": "http://evil.example"}])
@pytest.mark.parametrize("method, path", CALLS)
def test_conditions_of_calls_without_a_token(shared, method, path, headers):
    failed(shared.call(method, path, headers, source=stranger()), 401)


@pytest.mark.parametrize("method, path", CALLS)
def test_a_wrong_token_where_none_is_needed(shared, method, path):
    failed(shared.call(method, path, token="wrong", source=stranger()), 401)


def test_nothing_happens_without_a_token(start):
    server = start({"api": {"url_fetch": "any"}})
    api = Spritzle(server)
    anybody = Spritzle(server, token=None)
    api.added(api.upload(T1))
    failed(anybody.upload(T2), 401)
    failed(anybody.call("DELETE", "/torrent?delete_files"), 401)
    failed(anybody.call("DELETE", f"/torrent/{H1}"), 401)
    failed(anybody.call("POST", f"/torrent/{H1}/pause"), 401)
    failed(anybody.upload(b"x" * 20_000_000), 401)
    assert api.torrents() == [H1] and not api.status(H1)["paused"]


# ---- around it

def test_one_engine_many_views(api, seed):
    """What one API adds, the other shows."""
    flow = TorrentFlow(api.server, token=None)
    flow.added(flow.upload(T1, save_path=seed))
    settled(api, H1, "seeding")
    assert api.torrents() == [H1]
    api.empty_ok("POST", f"/torrent/{H1}/pause")
    assert flow.status(H1)["paused"]
    api.added(api.upload(T2, args={"save_path": str(seed)}))
    assert flow.status(H2)["name"] == "multi"
    for mode in ("share_mode", "upload_mode"):
        api.empty_ok("PUT", f"/torrent/{H2}/flags",
                     json.dumps({"share_mode": False, mode: True}).encode())
        for status in (api.status(H2), flow.status(H2)):
            assert status["auto_managed"] and status[mode]
            assert status["share_mode"] != status["upload_mode"]
    flow.remove(H1)
    assert api.torrents() == [H2]


def test_switched_off(start):
    server = start({**OPEN, "client": {"enabled": False}})
    api = Spritzle(server, token=None)
    for method, path in CALLS[:5] + CALLS[7:]:
        assert failed(api.call(method, path), 503) == "the client is switched off"
    failed(api.call("PUT", "/torrent"), 405)


def test_the_database_is_away(start, own_cluster):
    server = start(database=own_cluster.new_database())
    api = Spritzle(server, token=None)
    api.added(api.upload(T1))
    own_cluster.stop()
    eventually(lambda: api.upload(T2).status == 503, 20)
    failed(api.call("DELETE", "/torrent?delete_files"), 503)
    failed(api.call("DELETE", f"/torrent/{H1}"), 503)
    failed(api.call("POST", f"/torrent/{H1}/pause"), 503)
    failed(api.call("PUT", f"/torrent/{H1}/flags", body=b'{"paused": true}'), 503)
    assert api.torrents() == [H1] and not api.status(H1)["paused"]
    own_cluster.start()
    eventually(lambda: api.upload(T2).status == 201, 20)
    api.empty_ok("DELETE", "/torrent")
    assert api.torrents() == []

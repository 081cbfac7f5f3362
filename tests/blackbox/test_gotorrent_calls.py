"""The GoTorrentServer API: who may call, methods, transfers as both sides show them, long answers."""

import base64
import hashlib
import json
import time
from urllib.parse import quote

import pytest

from lib import bencode
from lib.gotorrent import ACTIONS, ADDS, READS, GoTorrent, failed
from lib.http import Connection
from lib.rookery import AUTH, TOKEN
from lib.torrent import make_content, make_torrent, small_torrents, without_trackers
from lib.torrentflow import H1, MAGNET, T1
from lib.torrust import stranger
from lib.wait import eventually

T1_TEXT = base64.b64encode(T1).decode()
RATES = {"downrate": "5", "uprate": "5"}
BASIC = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()


@pytest.fixture(scope="module")
def server(shared_servers):
    """One that would let callers of this machine in without a token, where an API allows that."""
    return shared_servers({"api": {"local_without_token": True, "max_body": 100_000}})


@pytest.fixture
def go(server):
    go = GoTorrent(server)
    yield go
    for session in go.sessions():
        go.act("/remove", session["infohash"])


@pytest.fixture
def hello(go):
    """A torrent that is there; what it was before."""
    go.add_file(T1_TEXT, "hello")
    return eventually(lambda: (s := go.session(H1))["status"] == "disconnected" and s)


def body_of(path):
    return {"/addmagnet": {"url": MAGNET, "targetdir": "x"},
            "/addtorrentfile": {"file": T1_TEXT, "targetdir": "x"}}[path]


# ---- who may call

@pytest.mark.parametrize("auth", [
    None, {"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "wrong"},
    {"Authorization": "Basic " + base64.b64encode(b"a:wrong").decode()},
    {"Authorization": f"Bearer {TOKEN}x"}])
def test_without_the_token(go, hello, auth):
    """Also for a caller on this machine; and nothing happens."""
    source = stranger()
    for path in READS + ACTIONS:
        response = go.call("GET", path, {"infohash": H1, **RATES}, auth=auth, source=source)
        assert response.status in ((401,) if auth is None else (401, 429)), (path, response)
        if response.status == 401:
            assert response.headers["www-authenticate"] == "Bearer"
            failed(response, 401)
    source = stranger()
    for path in ADDS:
        failed(go.call("POST", path, body=json.dumps(body_of(path)).encode(), auth=auth,
                       source=source), 401)
    assert go.sessions() == [hello]


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", TOKEN, f"Basic {BASIC}", f"bearer {TOKEN}"])
def test_every_form_of_the_token(go, hello, value):
    assert go.call("GET", "/alldata", auth={"Authorization": value}).status == 200
    go.done(go.call("GET", "/pause", {"infohash": H1}, auth={"authorization": value}))


def test_the_token_in_the_query(go, hello):
    """It counts with header parameters; an action by its query needs the header."""
    assert go.call("GET", f"/alldata?token={TOKEN}", auth=None).status == 200
    assert go.call("GET", f"/torrentdata?token={TOKEN}&infohash={H1}", auth=None).status == 200
    go.done(go.call("GET", f"/pause?token={TOKEN}", {"infohash": H1}, auth=None))
    go.done(go.call("GET", f"/resume?token={TOKEN}", {"infohash": H1}, auth=None))
    for path, query in [(p, f"infohash={H1}&downrate=5&uprate=5") for p in ACTIONS] + [
            ("/remove", "deletedata=true"), ("/setdownrate", "downrate=5"), ("/setuprate", "uprate=5")]:
        response = go.call("GET", f"{path}?{query}&token={TOKEN}", {"infohash": H1, **RATES}, auth=None)
        failed(response, 401, "Authorization")
        assert response.headers["www-authenticate"] == "Bearer"
    session = go.session(H1)
    assert (session["status"], session["maxdown"], session["maxup"]) == ("disconnected", 0, 0)


def test_the_token_is_looked_at_first(go):
    source = stranger()
    for method, path, status in [("GET", "/addmagnet", 405), ("POST", "/pause", 405),
                                 ("GET", "/pause/x", 404), ("POST", "/addmagnet", 400)]:
        failed(go.call(method, path, auth=None, source=source), 401)
        failed(go.call(method, path), status)
    too_long = b"x" * 100_001
    failed(go.call("POST", "/addmagnet", body=too_long, auth=None, source=source), 401)
    failed(go.call("POST", "/addmagnet", body=too_long), 413)


# ---- methods

@pytest.mark.parametrize("path", READS + ACTIONS + ADDS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_wrong_methods(go, hello, path, method):
    allowed = {**dict.fromkeys(READS, ["GET", "HEAD"]), **dict.fromkeys(ACTIONS, ["GET"]),
               **dict.fromkeys(ADDS, ["POST"])}[path]
    if method in allowed:
        return
    response = go.call(method, path, {"infohash": H1, "deletedata": "true", **RATES},
                       body=b"" if method in ("POST", "PUT", "PATCH") else None)
    assert response.status == 405
    assert response.headers["allow"] == ", ".join(allowed)
    assert go.sessions() == [hello]


def test_head_does_nothing(go, hello):
    """It reads where a GET reads; it never acts, not by the query either."""
    for path in READS:
        response = go.call("HEAD", path, {"infohash": H1})
        assert (response.status, response.body) == (200, b"")
    for path in ACTIONS:
        for target in (path, f"{path}?infohash={H1}&deletedata=true&downrate=5&uprate=5"):
            assert go.call("HEAD", target, {"infohash": H1, **RATES}).status == 405
    assert go.sessions() == [hello]


def test_slashes(go, hello):
    """One at the end is forgiven to who reads."""
    for path in READS:
        assert go.call("GET", path + "/", {"infohash": H1}).status == 200
    for path in ACTIONS:
        failed(go.call("GET", path + "/", {"infohash": H1, **RATES}), 404)
        failed(go.call("GET", f"{path}/{H1}", RATES), 404)
    for path in ADDS:
        failed(go.call("POST", path + "/", body=json.dumps(body_of(path)).encode()), 404)
    assert go.sessions() == [hello]


def test_header_names_of_any_case(go, hello):
    go.done(go.call("GET", "/setdownrate", {"InfoHash": H1, "DOWNRATE": "7"}))
    assert go.session(H1)["maxdown"] == 7


def test_a_switched_off_client(servers):
    go = GoTorrent(servers({"client": {"enabled": False}}))
    for path in READS + ACTIONS:
        failed(go.get(path, infohash=H1, **RATES), 503)
    for path in ADDS:
        failed(go.post(path, body_of(path)), 503)


def test_without_the_database(servers, own_cluster):
    go = GoTorrent(servers(database=own_cluster.new_database()))
    go.add_file(T1_TEXT, "x")
    before = go.session(H1)["maxdown"]
    own_cluster.stop()
    for path in ("/pause", "/setdownrate", "/setuprate", "/remove"):
        failed(go.get(path, infohash=H1, **RATES), 503)
    failed(go.post("/addmagnet", {"url": MAGNET, "targetdir": "x"}), 503)
    session = go.session(H1)
    assert session["status"] != "paused"
    assert (session["maxdown"], session["maxup"]) == (before, 0)
    assert [s["infohash"] for s in go.sessions()] == [H1]


# ---- transfers

def test_peers_with_their_rates_and_pieces(servers, tmp_path):
    """A download of 20 MiB at a limited rate, as both sides show it while it runs and after."""
    (tmp_path / "a").mkdir()
    content = tmp_path / "a" / "twenty.bin"
    make_content(content, 20 << 20, "gotorrent")
    torrent = without_trackers(make_torrent(content, ["http://127.0.0.1:1/announce"]))
    n_pieces = 80
    config = {"client": {"allowed_dirs": [str(tmp_path)]}}
    seeder, leecher = GoTorrent(servers(config)), GoTorrent(servers(config))
    info_hash = torrent.info_hash.hex()
    seeder.add_file(base64.b64encode(torrent.metainfo).decode(), tmp_path / "a")
    eventually(lambda: seeder.session(info_hash)["pieces"] == "1" * n_pieces, 30)
    at = seeder.server.ready["client"][0]
    leecher.add_magnet(f"magnet:?xt=urn:btih:{info_hash}&x.pe={at}", tmp_path / "b", maxdown=4096)

    def both_in_the_middle():
        down, up = leecher.session(info_hash), seeder.session(info_hash)
        (from_seeder,), (to_leecher,) = down["Peers"], up["Peers"]
        assert 0 < down["pieces"].count("1") < n_pieces
        assert from_seeder["down"] > 512 and to_leecher["up"] > 512
        return down, up, from_seeder, to_leecher
    down, up, from_seeder, to_leecher = eventually(both_in_the_middle, 20)
    assert (down["status"], up["status"]) == ("connected", "connected")
    assert from_seeder["host"] == at
    assert from_seeder["pieces"] == "1" * n_pieces
    assert from_seeder["ID"].startswith("-RK") and len(from_seeder["ID"]) == 20
    assert from_seeder["down"] < 8192 and to_leecher["up"] < 8192
    assert from_seeder["up"] < 64 and to_leecher["down"] < 64
    assert to_leecher["ID"] != from_seeder["ID"]

    # A third one sees what the second one has so far.
    leecher.act("/setdownrate", info_hash, downrate="128")
    had = leecher.session(info_hash)["pieces"]
    third, at = GoTorrent(servers(config)), leecher.server.ready["client"][0]
    third.add_magnet(f"magnet:?xt=urn:btih:{info_hash}&x.pe={at}", tmp_path / "c", maxdown=64)

    def seen_by_third():
        (pieces,) = (p["pieces"] for p in third.session(info_hash)["Peers"] if p["host"] == at)
        return pieces
    pieces = eventually(seen_by_third, 20)
    assert 0 < pieces.count("1") < n_pieces
    assert all(a == "1" for a, b in zip(pieces, had) if b == "1")
    third.act("/remove", info_hash)

    leecher.act("/setdownrate", info_hash, downrate="0")
    down = eventually(lambda: (s := leecher.session(info_hash))["pieces"] == "1" * n_pieces and s, 30)
    assert down["downloaded"] == 20480
    assert seeder.session(info_hash)["uploaded"] >= 20480
    assert seeder.session(info_hash)["downloaded"] == 0
    copy = tmp_path / "b" / content.name
    assert eventually(lambda: hashlib.sha256(copy.read_bytes()).digest() ==
                      hashlib.sha256(content.read_bytes()).digest())


# ---- long answers

def test_a_torrent_of_100000_pieces(servers, tmp_path):
    """Every other piece is known to be there; others are served meanwhile."""
    n = 100_000
    folder = tmp_path / "big"
    folder.mkdir()
    zeros, piece_len = hashlib.sha1(bytes(16384)).digest(), 16384
    pieces = (zeros + b"x" * 20) * (n // 2)
    with open(folder / "sparse", "wb") as file:
        file.truncate(n * piece_len)
    info = {"length": n * piece_len, "name": "sparse", "piece length": piece_len, "pieces": pieces}
    metainfo = bencode.encode({"info": info})
    go = GoTorrent(servers({"client": {"allowed_dirs": [str(tmp_path)]}}))
    go.done(go.post(f"/addtorrentfile?start=false&path={quote(str(folder))}", metainfo,
                    "application/x-bittorrent"))
    info_hash = hashlib.sha1(bencode.encode(info)).hexdigest()
    session = go.session(info_hash)
    assert session["bitfield_length"] == len(session["pieces"]) == n
    bits = base64.b64decode(session["bitfield_base64"])
    assert "".join(f"{byte:08b}" for byte in bits)[:n] == session["pieces"]
    go.act("/remove", info_hash)


def test_all_data_of_many_torrents(servers, tmp_path):
    """In slices: small calls are answered while the long answer is being read."""
    n = 1500
    go = GoTorrent(servers({"client": {"allowed_dirs": [str(tmp_path)]}}))
    hashes = []
    with Connection(go.server.api_address()) as connection:
        for torrent in small_torrents(n):
            response = connection.request(
                "POST", f"/addtorrentfile?start=false&targetdir={quote(str(tmp_path))}",
                {**AUTH, "content-type": "application/octet-stream"}, torrent.metainfo)
            assert response.status == 200
            hashes.append(torrent.info_hash.hex())
    with Connection(go.server.api_address()) as slow:
        slow.send(f"GET /alldata HTTP/1.1\r\nHost: x\r\nAuthorization: {TOKEN}\r\n\r\n".encode())
        begin = time.monotonic()
        assert go.session(hashes[-1])["infohash"] == hashes[-1]
        assert time.monotonic() - begin < 2
        go.act("/remove", hashes[n // 2])
        answer = slow.response().json()
    listed = [s["infohash"] for s in answer["sessions"]]
    assert [h for h in listed if h != hashes[n // 2]] == hashes[:n // 2] + hashes[n // 2 + 1:]
    assert len(go.sessions()) == n - 1

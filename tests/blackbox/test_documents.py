"""The examples of the five documents as they stand there: spritzle's curl lines by curl, RestTorrent's
socket.emit by npm's client, Torrust's requests. Host, port and token are ours, and so are the torrents,
where a document names one that nobody has. TorrentFlow has endpoints and no examples; what
GoTorrentServer has of bodies is in test_gotorrent.py."""

import json
import os
import subprocess

import pytest

from lib import http
from lib.ids import new_peer_id
from lib.socketio import SocketIo
from lib.spritzle import EXAMPLE, SESSION_KEYS
from lib.torrent import make_content, make_torrent
from lib.torrentflow import H1, MAGNET, T1, TorrentFlow
from lib.torrust import STATS
from lib.web import Web

# ---- spritzle

SPRITZLE = {"api": {"local_without_token": True, "url_fetch": "any"},
            "client": {"allowed_dirs": ["/tmp"], "announce_to_own_tracker": False}}
# Of the status in the document: which torrent and when; and its client had a DHT.
OF_THE_MOMENT = {"info_hash", "added_time", "active_time", "next_announce", "announcing_to_dht",
                 "announcing_to_lsd"}


@pytest.fixture(scope="module")
def spritzle(shared_servers):
    return shared_servers(SPRITZLE).wait_loaded()


@pytest.fixture(scope="module")
def random_one_file(tmp_path_factory):
    """A torrent as that of the document: a file of 4 MiB in 256 pieces."""
    folder = tmp_path_factory.mktemp("random")
    make_content(folder / "tmprandomfile", 4 << 20, "random one file")
    torrent = make_torrent(folder / "tmprandomfile", ["http://127.0.0.1:9/announce"], 16384)
    (folder / "random_one_file.torrent").write_bytes(torrent.metainfo)
    return folder, torrent.info_hash.hex()


def curl(server, line, folder="/"):
    """The line of a shell, with our port in it; the last of its answers."""
    line = line.replace("localhost:8080", f"localhost:{server.api_address()[1]}")
    done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, timeout=30,
                          env={"PATH": os.environ["PATH"], "HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    said = done.stdout
    while said.startswith(b"HTTP/1.1 100 "):
        said = said.split(b"\r\n\r\n", 1)[1]
    head, body = said.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return first, {name.upper(): value for name, value in headers.items()}, body


def created(server, answer, info_hash):
    first, headers, body = answer
    assert first == "HTTP/1.1 201 Created"
    port = server.api_address()[1]
    assert headers["LOCATION"] == f"http://localhost:{port}/torrent/{info_hash}"
    assert headers["CONTENT-TYPE"] == "application/json; charset=utf-8"
    assert headers["CONTENT-LENGTH"] == "57"
    assert body.decode() == '{"info_hash": "%s"}' % info_hash


def shown(answer):
    """The JSON of a 200."""
    first, headers, body = answer
    assert first == "HTTP/1.1 200 OK"
    assert headers["CONTENT-TYPE"] == "application/json; charset=utf-8"
    return json.loads(body)


def emptied(answer):
    first, headers, body = answer
    assert (first, headers["CONTENT-LENGTH"], body) == ("HTTP/1.1 200 OK", "0", b"")


def test_spritzle_session(spritzle):
    session = shown(curl(spritzle, "curl -i -X GET http://localhost:8080/session"))
    assert sorted(session) == SESSION_KEYS
    # The document's true is of a client with a DHT.
    assert shown(curl(spritzle, "curl -i -X GET http://localhost:8080/session/dht")) is False


def test_spritzle_file(spritzle, random_one_file):
    folder, info_hash = random_one_file
    created(spritzle, curl(
        spritzle, """curl -i -X POST -F "file=@random_one_file.torrent" """
        """-F 'args={"save_path": "/tmp"}' http://localhost:8080/torrent""", folder), info_hash)
    answer = curl(spritzle, "curl -i -X GET http://localhost:8080/torrent")
    assert shown(answer) == [info_hash]
    assert len(answer[2]) == 44  # as the document's
    status = shown(curl(spritzle, f"curl -i -X GET http://localhost:8080/torrent/{info_hash}"))
    assert list(status) == list(EXAMPLE)
    assert {k: v for k, v in status.items() if k not in OF_THE_MOMENT} == {
        k: v for k, v in EXAMPLE.items() if k not in OF_THE_MOMENT}
    emptied(curl(spritzle, "curl -i -X DELETE http://localhost:8080/torrent?delete_files"))
    assert shown(curl(spritzle, "curl -i -X GET http://localhost:8080/torrent")) == []


def test_spritzle_url(spritzle):
    web = Web({"/releng/releases/2016.02.01/torrent/": (200, {}, T1)})
    url = web.url("/releng/releases/2016.02.01/torrent/")
    created(spritzle, curl(spritzle, f"""curl -i -X POST -d "url={url}" """
                           """-d 'args={"save_path": "/tmp"}' http://localhost:8080/torrent"""), H1)
    web.close()
    emptied(curl(spritzle, f"curl -i -X DELETE http://localhost:8080/torrent/{H1}?delete_files"))


def test_spritzle_info_hash(spritzle):
    info_hash = "88066b90278f2de655ee2dd44e784c340b54e45c"
    created(spritzle, curl(
        spritzle, """curl -i -X POST -d "info_hash=88066b90278f2de655ee2dd44e784c340b54e45c" """
        """-d 'args={"save_path": "/tmp"}' http://localhost:8080/torrent"""), info_hash)
    emptied(curl(spritzle, "curl -i -X DELETE http://localhost:8080/torrent/"
                 "88066b90278f2de655ee2dd44e784c340b54e45c?delete_files"))


# ---- RestTorrent

@pytest.fixture
def rest(servers, tmp_path):
    """The port of the document is nobody's on this address."""
    listen = f"127.68.{os.getpid() // 200 % 200}.{os.getpid() % 200 + 1}:0"
    return servers({"client": {"listen": [listen], "allowed_dirs": [str(tmp_path)]}})


@pytest.mark.parametrize("version", [4, 2])
def test_resttorrent_emit(rest, version):
    with SocketIo(rest, version) as client:
        client.connected().do("run", code=(
            "socket.emit('v1', { t_id:'1', command:'create_session', ports:[6881] });"))
        answer = client.wait("v1")["data"]
        assert (answer["t_id"], answer["status"]) == ("1", "success")
        assert answer["session"]["port"] == 6881
        # The document's answer to the second one.
        client.do("run", code=(
            "socket.emit('v1', { t_id:'1', command:'create_session', ports:[6881] });"))
        refused = client.wait("v1")["data"]
        assert (refused["status"], refused["message"]) == (
            "fail", "bind failed address already in use")


def test_resttorrent_requests(rest, tmp_path):
    def ask(method, path, status=200, **kwargs):
        answer = rest.api(method, path, **kwargs)
        assert answer.status == status, answer
        return answer.json()

    rest.wait_loaded()
    made = ask("POST", "/v1/sessions", body=b"")
    assert made["status"] == "success" and made["session"]["port"] == 6881
    name = made["session"]["id"]
    assert len(name) == 32
    listed, = ask("GET", "/v1/sessions")["sessions"]
    assert (listed["id"], listed["ports"]) == (name, [6881, 6891])
    one = ask("GET", f"/v1/sessions/{name}")
    assert (one["id"], one["port"]) == (name, 6881)
    refused = ask("POST", "/v1/sessions?port_range=6881,6881", 409, body=b"")
    assert (refused["status"], refused["message"]) == ("fail", "bind failed address already in use")
    headers, body = http.multipart(("file", "hello.torrent", T1), ("save_path", None, tmp_path))
    added = ask("POST", f"/v1/sessions/{name}/torrents", headers=headers, body=body)
    assert added["status"] == "success"
    assert ask("GET", f"/v1/sessions/{name}/torrents?fields=infohash")["torrents"] == [
        {"infohash": H1}]
    assert ask("GET", f"/v1/sessions/{name}/torrents/{H1}")["infohash"] == H1
    for pause in (1, 0):
        assert ask("PUT", f"/v1/sessions/{name}/torrents/{H1}?pause={pause}", body=b"")[
            "status"] == "success"
    assert ask("GET", f"/v1/sessions/{name}/torrents/{H1}/peers")["peers"] == []
    assert ask("DELETE", f"/v1/sessions/{name}") == {"status": "success"}


# ---- TorrentFlow

def test_torrentflow_requests(rest, tmp_path):
    """Every endpoint with what the document says of it."""
    rest.wait_loaded()
    flow = TorrentFlow(rest)
    assert flow.added(flow.upload(T1, save_path=tmp_path)) == H1
    assert flow.added(flow.post(torrent_url=MAGNET)) == MAGNET[20:60]
    for method, path in [("PUT", f"/torrents/{H1}/pause"), ("PUT", f"/torrents/{H1}/resume"),
                         ("DELETE", f"/torrents/{H1}")]:
        answer = flow.call(method, path)
        assert answer.status == 200 and isinstance(answer.json()["detail"], str)
    assert flow.status(MAGNET[20:60])["infohash"] == MAGNET[20:60]


# ---- Torrust

@pytest.fixture
def torrust(servers):
    return servers({"api": {"tokens": {"admin": "MyAccessToken"}},
                    "tracker": {"mode": "public"}})


def ask(server, example):
    """A line "GET /api/stats?token=MyAccessToken"."""
    method, target = example.split()
    answer = server.api(method, target, token=None)
    assert answer.status == 200, (example, answer.status, answer.body)
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


def test_torrust_stats(torrust):
    """One scrape over HTTP is all that has happened."""
    with torrust.http_client() as client:
        client.scrape([bytes(20)])
    assert ask(torrust, "GET /api/stats?token=MyAccessToken") == {
        **dict.fromkeys(STATS, 0), "tcp4_connections_handled": 1, "tcp4_scrapes_handled": 1}


def test_torrust_torrents(torrust):
    first = bytes.fromhex("67000d5d41a7da853b78621dc8316e3e0e89ab3c")
    second = bytes.fromhex("e940a7a57294e4c98f62514b32611e38181b6cae")
    qbittorrent = bytes.fromhex("2d7142343338302d616e33476269721111111111")
    with torrust.http_client() as client:
        client.announce(first, peer_id=qbittorrent, port=1122, left=0, event="started")
        for port in range(1, 9):
            client.announce(second, peer_id=new_peer_id(), port=port, left=0 if port == 1 else 1)
        client.announce(second, peer_id=new_peer_id(), port=2, left=0, event="completed")
    assert ask(torrust, "GET /api/torrents?token=MyAccessToken") == [
        {"info_hash": "67000d5d41a7da853b78621dc8316e3e0e89ab3c", "completed": 0, "seeders": 1,
         "leechers": 0},
        {"info_hash": "e940a7a57294e4c98f62514b32611e38181b6cae", "completed": 1, "seeders": 2,
         "leechers": 6}]
    torrent = ask(torrust, "GET /api/torrent/67000d5d41a7da853b78621dc8316e3e0e89ab3c"
                           "?token=MyAccessToken")
    (who, about), = torrent.pop("peers")
    assert torrent == {"info_hash": first.hex(), "completed": 0, "seeders": 1, "leechers": 0}
    assert who == {"id": "2d7142343338302d616e33476269721111111111", "client": "qBittorrent"}
    assert about.pop("updated") > 1630621883
    assert about == {"ip": "127.0.0.1:1122", "uploaded": 0, "downloaded": 0, "left": 0,
                     "event": "Started"}


def test_torrust_changes(torrust):
    for method in ("POST", "DELETE"):
        assert ask(torrust, f"{method} /api/whitelist/67000d5d41a7da853b78621dc8316e3e0e89ab3c"
                            "?token=MyAccessToken") == {"status": "ok"}
    key = ask(torrust, "POST /api/key/3600?token=MyAccessToken")
    assert list(key) == ["key", "valid_until"] and len(key["key"]) == 32
    assert key["valid_until"] > 1630627378
    assert ask(torrust, f"DELETE /api/key/{key['key']}?token=MyAccessToken") == {"status": "ok"}

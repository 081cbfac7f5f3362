"""The five APIs, Socket.IO by polling and the tracker's API, mixed on one keep-alive connection."""

import base64
import json

import pytest

from lib import http
from lib.gotorrent import check_session
from lib.resttorrent import check_torrent
from lib.rookery import AUTH, TOKEN
from lib.spritzle import check_status as check_spritzle
from lib.torrentflow import H1, H2, T1, T2, UNKNOWN, check_status as check_flow

ALL = {"gotorrent": "/alldata", "resttorrent": "/v1/sessions", "spritzle": "/torrent",
       "torrentflow": f"/torrents/{H1}", "torrust": f"/api/stats?token={TOKEN}"}


@pytest.fixture
def connection(server):
    server.wait_loaded()
    with http.Connection(server.api_address()) as connection:
        yield connection


@pytest.fixture
def ask(connection):
    """The answer to a request on the one connection, which stays open."""
    def request(method, target, status=200, headers=None, body=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        answer = connection.request(method, target, {**AUTH, **(headers or {})}, body)
        assert answer.status == status, (method, target, answer.status, answer.body)
        assert answer.headers.get("connection", "keep-alive").lower() == "keep-alive"
        return answer
    return request


def test_all_of_them_take_turns(ask, empty):
    """A torrent is added, seen, paused, resumed and removed, each time by another one."""
    folder = str(empty)
    ask("POST", "/addtorrentfile", body={"file": base64.b64encode(T1).decode(),
                                         "targetdir": folder})
    assert ask("GET", "/torrent").json() == [H1]
    assert ask("PUT", f"/torrents/{H1}/pause").json()["detail"] == "Torrent paused"
    assert check_session(ask("GET", "/torrentdata", headers={"infohash": H1}).json())[
        "status"] == "paused"
    session = ask("POST", "/v1/sessions?port_range=0", body=b"").json()["session"]["id"]
    torrents = f"/v1/sessions/{session}/torrents"
    headers, body = http.multipart(("file", "multi.torrent", T2), ("save_path", None, folder))
    assert ask("POST", torrents, headers=headers, body=body).json()["infohash"] == H2
    assert ask("GET", f"/api/torrent/{UNKNOWN}", 404).json() == "torrent not known"
    assert check_spritzle(ask("GET", f"/torrent/{H2}").json())["name"] == "multi"
    assert ask("GET", "/torrent").json() == [H1, H2]
    ask("GET", "/pause", headers={"infohash": H2})
    assert check_torrent({k: v for k, v in ask("GET", f"{torrents}/{H2}").json().items()
                          if k != "status"})["paused"] is True
    ask("PUT", f"{torrents}/{H2}?pause=0", body=b"")
    assert check_flow(ask("GET", f"/torrents/{H2}").json())["paused"] is False
    key = ask("POST", "/api/key/60", body=b"").json()["key"]
    assert ask("DELETE", f"/api/key/{key}").json() == {"status": "ok"}
    ask("DELETE", f"/v1/sessions/{session}")
    assert [s["infohash"] for s in ask("GET", "/alldata").json()["sessions"]] == [H1]
    ask("DELETE", f"/torrent/{H1}?delete_files")
    ask("GET", f"/torrents/{H1}", 404)


def test_socketio_among_them(ask):
    opened = ask("GET", "/socket.io/?EIO=4&transport=polling").text
    target = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened[1:])['sid']}"
    assert ask("POST", target, body=b"40").body == b"ok"
    assert ask("GET", "/alldata").json()["sessions"] == []
    assert ask("GET", target).text.startswith("40{")
    assert ask("POST", target, body=b'420["v1",{"command":"create_session","ports":[0]}]').body
    answer, = json.loads(ask("GET", target).text.removeprefix("430"))
    shown = ask("GET", "/v1/sessions").json()["sessions"]
    assert [s["id"] for s in shown] == [answer["session"]["id"]]
    assert ask("POST", target, body=b"1").body == b"ok"
    ask("GET", target, 400)


def test_failures_leave_the_connection_open(ask):
    """Each in the form of its family."""
    assert ask("GET", "/torrentdata", 422).text == "Infohash missing\n"
    assert ask("GET", "/v1/sessions/none", 404).json()["error"]["code"] == "session.notfound"
    assert ask("GET", f"/torrent/{UNKNOWN}", 404).json()["status"] == 404
    assert ask("GET", f"/torrents/{UNKNOWN}", 404).json()["detail"]
    assert ask("POST", "/api/key/soon", 400, body=b"").json()["status"] == "err"
    assert ask("PUT", "/torrent", 405, body=b"").headers["allow"]
    assert ask("POST", "/addmagnet", 400, body=b"{").text.count("\n") == 1
    assert ask("POST", "/torrents", 400, body=b"").json()["detail"]
    assert ask("HEAD", "/torrent").body == b""
    assert ask("GET", "/nothing", 404)
    assert ask("GET", "/torrent").json() == []


def test_all_of_them_at_once(connection, ask, empty):
    """Pipelined: the answers come whole, and in the order of the requests."""
    ask("POST", "/addtorrentfile", body={"file": base64.b64encode(T1).decode(),
                                         "targetdir": str(empty)})
    names = list(ALL) * 4
    connection.send(b"".join(http.head("GET", ALL[name], connection.address, AUTH)
                             for name in names))
    for name in names:
        answer = connection.response()
        assert answer.status == 200
        said = answer.json()
        kept = {"gotorrent": lambda: [s["infohash"] for s in said["sessions"]] == [H1],
                "resttorrent": lambda: said == {"status": "success", "sessions": []},
                "spritzle": lambda: said == [H1],
                "torrentflow": lambda: said["infohash"] == H1,
                "torrust": lambda: said["torrents"] >= 0 and "tcp4_announces_handled" in said}
        assert kept[name](), (name, said)

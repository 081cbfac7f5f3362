"""RestTorrent's Socket.IO part with npm's own clients, 4.x and 2.x, and byte by byte."""

import base64
import json
import os
import re
import signal

import pytest

from lib import http
from lib.engineio import KEY, PATH, SEPARATOR, Polling, WebSocket, read_head
from lib.rookery import AUTH, TOKEN
from lib.socketio import SocketIo
from lib.tls import make_certificate
from lib.torrent import make_torrent
from lib.torrentflow import H1, H2, HD, MAGNET, T1, T2, UNKNOWN, TorrentFlow
from lib.wait import eventually

VERSIONS = [4, 2]
MODES = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": None}
QUICK = {"api": {"socketio_ping_interval_ms": 300, "socketio_ping_timeout_ms": 200}}


@pytest.fixture
def server(shared_servers):
    return shared_servers.once("plain", {"client": {"allowed_dirs": ["/tmp"]}})


@pytest.fixture
def quick(shared_servers):
    return shared_servers.once("quick", QUICK)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(params=sorted(MODES))
def transports(request):
    return MODES[request.param]


# ---- the clients of npm

def test_every_way_to_connect(server, version, transports):
    with SocketIo(server, version, transports) as client:
        client.connected()
        assert client.opened_by == (transports or ["polling"])[0]
        if transports is None:
            client.upgraded()
        # As an acknowledgement, and as an event.
        assert client.command("get_session_list", t_id="1")["sessions"] == []
        client.emit({"t_id": [1, {"a": None}], "command": "get_session_list"})
        data = client.wait("v1")["data"]
        assert data["t_id"] == [1, {"a": None}] and data["status"] == "success"
        client.do("disconnect")
        assert client.wait("disconnect")["reason"] == "io client disconnect"


def test_many_at_once_come_back_in_order(server, version, transports):
    with SocketIo(server, version, transports) as client:
        client.connected()
        for i in range(200):
            client.emit({"t_id": i, "command": "get_session_list", "pad": "é😀" * 20})
        assert [client.wait("v1")["data"]["t_id"] for _ in range(200)] == list(range(200))


def test_reconnects_after_a_restart(servers, version, transports):
    server = servers()
    port = server.api_address()[1]
    server.configure({**server.config, "api": {**server.config["api"],
                                               "listen": [f"127.0.0.1:{port}"]}})
    with SocketIo(server, version, transports, reconnection=True) as client:
        client.connected()
        if transports is None:
            client.upgraded()
        server.stop()
        assert client.wait("disconnect")["reason"] in ("transport close", "transport error")
        server.start()
        client.wait("connect")
        assert client.command("get_session_list")["sessions"] == []


def test_every_command(server, version, transports, tmp_path):
    server.wait_loaded()
    with SocketIo(server, version, transports) as client:
        client.connected()
        session = client.succeed("create_session", ports=[0])["session"]
        assert re.fullmatch("[0-9a-f]{32}", session["id"]) and session["port"] > 0
        sid = session["id"]
        assert sid in [s["id"] for s in client.succeed("get_session_list")["sessions"]]
        assert client.succeed("get_session", session_id=sid)["port"] == session["port"]
        added = client.succeed("upload_torrent", session_id=sid, file=T1,
                               save_path=str(tmp_path), autostart=0)
        assert added["infohash"] == H1
        listed = client.succeed("get_torrent_list", session_id=sid, fields="infohash")
        assert listed["torrents"] == [{"infohash": H1}]
        assert client.succeed("get_torrent", session_id=sid, info_hash=H1)["paused"] is True
        client.succeed("command_torrent", session_id=sid, infohash=H1, pause=0)
        assert client.succeed("get_torrent", session_id=sid, infohash=H1)["paused"] is False
        assert client.succeed("get_peers", session_id=sid, info_hash=H1)["peers"] == []
        assert client.succeed("delete_session", session_id=sid) == {}
        gone = client.command("get_session", session_id=sid)
        assert gone["status"] == "fail" and gone["error"]["code"] == "session.notfound"


def test_files_of_every_kind(server, version, tmp_path):
    server.wait_loaded()
    with SocketIo(server, version) as client:
        sid = client.connected().succeed("create_session", port_range="0")["session"]["id"]
        given = {"session_id": sid, "save_path": str(tmp_path), "autostart": 0}
        text = base64.b64encode(T2).decode()
        assert client.succeed("upload_torrent", file=text, **given)["infohash"] == H2
        assert client.succeed("upload_torrent", magnet=MAGNET, **given)["infohash"] == "d" * 40
        bad = client.command("upload_torrent", file=b"no torrent", **given)
        assert (bad["status"], bad["error"]["code"]) == ("fail", "upload.invalid")
        both = client.command("upload_torrent", file=T1, magnet=MAGNET, **given)
        assert both["error"]["code"] == "upload.target.selectone"
        client.succeed("delete_session", session_id=sid)


@pytest.mark.parametrize("name", ["zażółć 日本 😀", "Ã© as if encoded twice", "🏴‍☠️" * 10,
                                  "e\u0301\u2028\ufeff"], ids=range(4))
def test_names_of_every_script(server, version, transports, tmp_path, name):
    """In the text next to a binary attachment, in text alone, and in answers; the file is found by
    that very name."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / name).write_bytes(b"hello world")
    torrent = make_torrent(folder / name, ["http://127.0.0.1:9/announce"])
    with SocketIo(server, version, transports) as client:
        client.connected()
        if transports is None:
            client.upgraded()
        sid = client.succeed("create_session", ports=[0])["session"]["id"]

        def shown(info_hash, save_path):
            there = client.succeed("get_torrent", session_id=sid, info_hash=info_hash)
            assert (there["name"], there["save_path"]) == (name, str(save_path))
            return there

        client.succeed("upload_torrent", t_id=name, session_id=sid, file=torrent.metainfo,
                       save_path=str(folder))
        eventually(lambda: shown(torrent.info_hash.hex(), folder)["state"] == "seeding")
        client.succeed("upload_torrent", session_id=sid, magnet=f"{MAGNET[:-5]}{name}",
                       save_path=str(folder / "more"))
        shown(HD, folder / "more")
        both = client.succeed("get_torrent_list", session_id=sid, fields="name")
        assert both["torrents"] == [{"name": name}, {"name": name}]
        client.succeed("delete_session", session_id=sid)


def test_a_file_as_large_as_torrents_get(server, version, transports, tmp_path):
    with SocketIo(server, version, transports) as client:
        client.connected()
        if transports is None:
            client.upgraded()
        answer = client.command("upload_torrent", session_id="f" * 32, file=os.urandom(3_000_000),
                                save_path=str(tmp_path))
        assert answer["error"]["code"] == "session.notfound"


def test_failures_are_answers(server, version):
    with SocketIo(server, version) as client:
        client.connected()
        unknown = client.ask({"t_id": 7, "command": "nothing"})
        assert (unknown["t_id"], unknown["command"], unknown["status"], unknown["message"]) == (
            7, "nothing", "fail", "unknown command")
        for argument in ["text", 5, None, [1], {}, {"t_id": None}, {"command": 5}]:
            answer = client.ask(argument)
            assert (answer["t_id"], answer["status"]) == (None, "fail"), argument
        client.emit({"command": "get_session_list"}, event="v2")  # is passed over
        long = client.ask({"t_id": "x" * 5000, "command": "get_session_list"})
        assert (long["t_id"], long["status"]) == (None, "fail")
        missing = client.command("get_torrent", session_id="0" * 32, info_hash=UNKNOWN)
        assert missing["error"]["code"] == "session.notfound"
        assert client.command("get_session_list")["status"] == "success"


def test_pushes(server, version, tmp_path):
    torrents = TorrentFlow(server)
    (tmp_path / "hello.txt").write_bytes(b"hello world\n")
    with SocketIo(server, version) as client, SocketIo(server, version) as other:
        other.connected()
        assert client.connected().succeed("subscribe") == {}
        sid = client.succeed("create_session", port_range="0")["session"]["id"]
        client.succeed("upload_torrent", session_id=sid, file=T1, save_path=str(tmp_path))
        for event in ["torrent_added", "torrent_removed"]:
            if event == "torrent_removed":
                torrents.remove(H1)
            assert client.pushed(event=event, info_hash=H1) == {
                "event": event, "session_id": sid, "info_hash": H1}
        other.succeed("delete_session", session_id=sid)
        assert not [p for p in other.passed if p["is"] == "v1"]  # who has not asked hears nothing


def test_over_tls(servers, version, transports, tmp_path):
    server = servers({"api": {"tls": make_certificate(tmp_path).section}})
    with SocketIo(server, version, transports, scheme="https", rejectUnauthorized=False) as client:
        client.connected()
        if transports is None:
            client.upgraded()
        large = client.command("upload_torrent", session_id="f" * 32, file=bytes(300_000),
                               save_path=str(tmp_path))
        assert large["error"]["code"] == "session.notfound"


def test_other_namespaces_are_refused(server, version):
    with SocketIo(server, version) as client:
        client.connected().do("other", name="/other")
        assert "namespace" in json.dumps(client.wait("other_refused"))
        assert client.command("get_session_list")["status"] == "success"


def test_namespace_left_and_entered_again(server):
    with SocketIo(server, 4) as client, SocketIo(server, 4) as _:
        client.connected().do("disconnect")
        client.wait("disconnect")
        client.do("connect")
        client.connected()
        assert client.command("get_session_list")["status"] == "success"


# ---- who may

def test_a_wrong_token(servers, version, transports):
    server = servers()
    with SocketIo(server, version, transports, token="wrong") as client:
        client.wait("connect_error")


def test_no_token(server, version, transports):
    with SocketIo(server, version, transports, token=None) as client:
        refusal = client.wait("connect_error")
        if version == 4:  # could still have come with CONNECT
            assert refusal["message"] == "unauthorized"


def test_strangers_take_no_place_from_others(servers):
    server = servers()
    open_one = f"{PATH}?EIO=4&transport=polling"
    with http.Connection(server.api_address()) as connection:
        answers = [connection.request("GET", open_one).status for _ in range(129)]
        assert answers == [200] * 128 + [503]
        assert connection.request("GET", open_one, AUTH).status == 200


def test_what_metrics_show(servers):
    server = servers()

    def shown():
        text = server.api("GET", "/metrics").text
        return {name.removeprefix("rookery_api_socketio_"): int(value) for name, value in
                (line.rsplit(" ", 1) for line in text.splitlines())
                if name.startswith("rookery_api_socketio_")}

    assert set(shown().values()) == {0}
    open_one = f"{PATH}?EIO=4&transport=polling"
    assert server.api("GET", open_one, token="wrong").status == 401
    assert server.api("GET", open_one, headers={"Origin": "http://evil.example"}).status == 403
    for _ in range(128):
        assert server.api("GET", open_one, token=None).status == 200
    assert server.api("GET", open_one, token=None).status == 503
    session = Polling(server)
    with WebSocket(server, "?EIO=4&transport=websocket") as ws:
        ws.text()
        session.post("40")  # its answer is not fetched
        session.request("POST", b"4abc")
        assert shown() == {
            'sessions{transport="polling"}': 128, 'sessions{transport="websocket"}': 1,
            "sessions_total": 130, 'refused_total{reason="limit"}': 1,
            'refused_total{reason="origin"}': 1, 'refused_total{reason="token"}': 1,
            "packets_dropped_total": 1}


def test_token_in_a_header(server, version):
    with SocketIo(server, version, ["polling"], token=None, headers=AUTH) as client:
        assert client.connected().command("get_session_list")["status"] == "success"


def test_token_in_connect(servers, transports, tmp_path):
    server = servers()
    with SocketIo(server, 4, transports, token=None, auth={"token": TOKEN}) as client:
        assert client.connected().command("get_session_list")["status"] == "success"
        # What strangers may not: long messages.
        large = client.command("upload_torrent", session_id="f" * 32, file=bytes(200_000),
                               save_path=str(tmp_path))
        assert large["error"]["code"] == "session.notfound"
    with SocketIo(server, 4, transports, token=None, auth={"token": "wrong"}) as client:
        assert client.wait("connect_error")["message"] == "unauthorized"


def test_token_in_connect_as_json_may_write_it(servers):
    server = servers({"api": {"tokens": {"slash": "a/b"}, "local_without_token": True}})
    for payload, right in [(r'{"token":"a\/b"}', True), (r'{"token":"\u0061/b"}', True),
                           (r'{"token":"a\\/b"}', False), ('{"token":""}', False),
                           ('{"token":null}', True)]:  # null: no token, and none is needed
        session = Polling(server, token=None)
        session.post("40" + payload)
        assert session.get().startswith(b"40" if right else b"44"), payload


def test_local_clients_without_a_token(servers, version):
    server = servers({"api": {"local_without_token": True}})
    with SocketIo(server, version, token=None) as client:
        assert client.connected().command("get_session_list")["status"] == "success"
    with SocketIo(server, 4, token=None, auth={"token": "wrong"}) as client:
        assert client.wait("connect_error")["message"] == "unauthorized"


@pytest.mark.parametrize("websocket", [False, True])
def test_pages_of_other_hosts(servers, websocket):
    server = servers({"api": {"cors_origins": ["https://good.example"]}})
    host = "%s:%d" % server.api_address()
    kind = "websocket" if websocket else "polling"
    good = 101 if websocket else 200
    for origin, wanted in [("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:1", 403),
                           ("https://good.example", good), (f"http://{host}", good), (None, good)]:
        with http.Connection(server.api_address()) as connection:
            headers = {**(KEY if websocket else {}), **({"Origin": origin} if origin else {}), **AUTH}
            connection.send(http.head("GET", f"{PATH}?EIO=4&transport={kind}", connection.address,
                                      headers))
            head = read_head(connection)
            assert head.status == wanted, origin
            allowed = head.headers.get("access-control-allow-origin")
            assert allowed == (origin if origin == "https://good.example" else None)


# ---- heartbeats

def test_heartbeats_keep_it_alive(quick, version, transports):
    with SocketIo(quick, version, transports) as client:
        client.connected()
        with pytest.raises(AssertionError, match="no disconnect"):
            client.wait("disconnect", timeout_s=2)
        assert client.command("get_session_list")["status"] == "success"


def test_a_client_without_heartbeats_is_dropped(quick, version, transports):
    with SocketIo(quick, version, transports) as client:
        client.connected()
        if transports is None:
            client.upgraded()
        client.do("silence")
        assert client.wait("disconnect", timeout_s=5)["reason"] in ("transport close",
                                                                    "transport error")


def test_a_server_without_heartbeats_is_noticed(servers, version):
    server = servers(QUICK)
    with SocketIo(server, version) as client:
        client.connected().upgraded()
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert client.wait("disconnect", timeout_s=5)["reason"] == "ping timeout"
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
    eventually(lambda: server.stats(), 5)


# ---- byte by byte

def test_polling_of_revision_4(server):
    session = Polling(server)
    assert re.fullmatch(r'0\{"sid":"[\w-]{20}","upgrades":\["websocket"\],"pingInterval":25000,'
                        r'"pingTimeout":20000,"maxPayload":1000000\}', session.opened)
    session.post("40")
    connected = session.get()
    assert re.fullmatch(rb'40\{"sid":"[\w-]{20}"\}', connected)
    assert session.sid.encode() not in connected
    session.post(b'42["v1",{"t_id":"1"}]' + SEPARATOR + b'4212["v1",{"t_id":"\xc3\xa9"}]')
    one, two = session.get().split(SEPARATOR)
    assert one.startswith(b'42["v1",{"t_id":"1","status":"fail"')
    assert two.startswith(b'4312[{"t_id":"\\u00e9",')
    session.post("41")
    with http.Connection(server.api_address()) as hanging:
        hanging.send(http.head("GET", f"{PATH}{session.query}&sid={session.sid}", hanging.address))
        eventually(lambda: session.request("POST", b"1").status == 200)
        assert hanging.response().body == b"6"
    assert session.is_gone()


def test_polling_of_revision_3(server):
    session = Polling(server, eio=3)
    length, packet = session.opened.split(":", 1)
    assert int(length) == len(packet) and packet.startswith('0{"sid":"')
    assert session.get() == b"2:40"
    text = '420["v1",{"t_id":"1","u":"é€😀"}]'
    units = len(text.encode("utf-16-le")) // 2
    session.post(f"1:2{units}:{text}")
    answer = session.get()
    assert answer.startswith(b"1:3")
    length, packet = answer[3:].split(b":", 1)
    assert int(length) == len(packet) and packet.startswith(b'430[{"t_id":"1",')
    session.post("13:40/x?token=Q,")
    refusal = b'44/x,{"message":"Invalid namespace"}'
    assert session.get() == b"%d:%s" % (len(refusal), refusal)
    packet = ('451-["v1",{"t_id":"é€😀","command":"upload_torrent",'
              '"file":{"_placeholder":true,"num":0}}]').encode()  # here it is bytes that count
    digits = bytes(map(int, str(len(packet))))
    session.post(b"\x00" + digits + b"\xff" + packet + b"\x01\x05\xff\x04\xde\xad\xbe\xef",
                 {"Content-Type": "application/octet-stream"})
    assert b'"t_id":"\\u00e9\\u20ac\\ud83d\\ude00"' in session.get()
    session.post("2:41")
    session.post("1:1")
    assert session.is_gone()


def test_refusals_of_requests(server):
    for method, query, body, code in [
            ("GET", "?EIO=4", None, 0), ("GET", "?EIO=4&transport=smoke", None, 0),
            ("GET", "?transport=polling", None, 5), ("GET", "?EIO=5&transport=polling", None, 5),
            ("GET", "?EIO=abc&transport=polling", None, 5),
            ("GET", "?EIO=4&transport=websocket", None, 3),
            ("GET", "?EIO=4&transport=polling&sid=none", None, 1),
            ("POST", "?EIO=4&transport=polling&sid=none", b"1", 1),
            ("POST", "?EIO=4&transport=polling", b"1", 2),
            ("PUT", "?EIO=4&transport=polling", b"1", 2)]:
        answer = server.api(method, PATH + query, body=body)
        assert (answer.status, answer.json()["code"]) == (400, code), (method, query)
        assert answer.headers["content-type"] == "application/json"
    assert server.api("GET", "/socket.io?EIO=4&transport=polling").status == 200
    with WebSocket(server, "?EIO=4&transport=websocket&sid=none") as ws:
        assert ws.head.status == 400
    with WebSocket(server, "?EIO=4&transport=websocket", {"Sec-WebSocket-Version": "8"}) as ws:
        assert ws.head.status == 400


def test_revision_3_needs_a_token_at_once(server):
    for query in ["?EIO=3&transport=polling", "?EIO=3&transport=websocket"]:
        answer = server.api("GET", PATH + query, token=None, headers=KEY)
        assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("packet", ["abc", "4abc", "42{}", "42[]", "421a[\"v1\"]", "4", "", "2",
                                    '42["v1",{}]x', "451-[\"v1\",{}]" + "\x1e" + "4x", "4\x00",
                                    "42[" + "[" * 40 + "]" * 40 + "]", "bAAAA", "b!"])
def test_what_is_no_packet_ends_the_session(server, packet):
    session = Polling(server)
    session.post("40")
    answer = session.request("POST", packet.encode())
    assert answer.status in (200, 400)
    assert session.is_gone()


def test_an_event_before_connect_ends_the_session(server):
    session = Polling(server)
    session.request("POST", b'42["v1",{"command":"get_session_list"}]')
    assert session.is_gone()


def test_two_gets_at_once(server):
    session = Polling(server)
    with http.Connection(server.api_address()) as first:
        first.send(http.head("GET", f"{PATH}{session.query}&sid={session.sid}", first.address))
        with http.Connection(server.api_address()) as second:
            eventually(lambda: second.request(
                "GET", f"{PATH}{session.query}&sid={session.sid}").status == 400)
        assert first.response().body == b"1"
    assert session.is_gone()


def test_websocket_of_revision_4(server):
    with WebSocket(server, "?EIO=4&transport=websocket") as ws:
        assert ws.head.status == 101
        assert ws.head.headers["sec-websocket-accept"] == "s3pplmbitxaq9kygzzhzrbk+xoo="
        assert "sec-websocket-extensions" not in ws.head.headers
        assert re.fullmatch(r'0\{"sid":"[\w-]{20}","upgrades":\[\],.*\}', ws.text())
        ws.send("40")
        assert re.fullmatch(r'40\{"sid":"[\w-]{20}"\}', ws.text())
        # The document's own example, in fragments with a ping between them.
        ws.send('42["v1",{"t_id":"1",', fin=False)
        ws.send(b"hello", opcode=9)
        assert ws.frame() == (10, b"hello")
        ws.send('"command":"create_sess', opcode=0, fin=False)
        ws.send('ion","ports":[0]}]', opcode=0)
        answer = ws.text()
        assert answer.startswith('42["v1",{"t_id":"1","command":"create_session","status":"success"')
        session = json.loads(answer[2:])[1]["session"]["id"]
        ws.send('453-["v1",{"command":"upload_torrent","session_id":"%s","save_path":"x",'
                '"file":{"_placeholder":true,"num":2}}]' % session)
        for data in (b"one", b"", T1):
            ws.send(data, opcode=2)
        assert f'"infohash":"{H1}"' in ws.text()
        ws.send('42["v1",{"command":"delete_session","session_id":"%s"}]' % session)
        assert '"status":"success"' in ws.text()
        ws.send("41")
        ws.send(b"", opcode=8)
        assert ws.frame() == (8, b"")
        assert ws.connection.read_to_end() == b""


def test_websocket_of_revision_3(server):
    with WebSocket(server, "?EIO=3&transport=websocket") as ws:
        assert ws.text().startswith('0{"sid"')
        assert ws.text() == "40"
        ws.send("2")
        assert ws.text() == "3"
        ws.send('451-3["v1",{"t_id":9,"command":"upload_torrent",'
                '"file":{"_placeholder":true,"num":0}}]')
        ws.send(b"\x04\xde\xad\xbe\xef", opcode=2)
        assert '"t_id":9' in ws.text()


@pytest.mark.parametrize("code, opcode, payload, masked", [
    (1002, 1, "40", False), (1007, 1, b"\xff\xfe", True), (1002, 1, "abc", True),
    (1002, 1, "4abc", True), (1002, 2, b"\xde\xad", True), (1002, 3, "40", True),
    (1009, 1, b"4" + b"0" * 20_000, True)])
def test_websockets_that_break_the_rules(server, code, opcode, payload, masked):
    headers = {"Authorization": None}  # a stranger's messages are short
    with WebSocket(server, "?EIO=4&transport=websocket", headers) as ws:
        ws.text()
        ws.send(payload, opcode=opcode, masked=masked)
        assert ws.closed() == code


def test_long_bodies_are_for_clients_with_a_token(server):
    connect = b'40{"token":"%s","pad":"%s"}' % (TOKEN.encode(), b"x" * 20_000)
    stranger = Polling(server, token=None)
    assert stranger.request("POST", connect).status == 413
    assert stranger.request("POST", connect, AUTH).status == 200
    assert stranger.get().startswith(b"40{")
    stranger.post(b'42["v2","%s"]' % (b"x" * 20_000))  # no stranger any more


def test_upgrade_step_by_step(server):
    session = Polling(server)
    session.post("40")
    session.get()
    query = f"?EIO=4&transport=websocket&sid={session.sid}"
    with http.Connection(server.api_address()) as hanging, WebSocket(server, query) as ws:
        hanging.send(http.head("GET", f"{PATH}{session.query}&sid={session.sid}", hanging.address))
        ws.send("2probe")
        assert ws.text() == "3probe"
        assert hanging.response().body == b"6"
        session.post('42["v1",{"t_id":"a"}]')  # still goes out by polling, or waits
        ws.send("5")
        assert ws.text().startswith('42["v1",{"t_id":"a"')
        for method, body in (("GET", None), ("POST", b"40")):
            answer = session.request(method, body)
            assert (answer.status, answer.json()) == (400, {"code": 3, "message": "Bad request"})
        with WebSocket(server, query) as second:
            assert second.head.status == 101
            second.closed()
        ws.send('42["v1",{"t_id":"b"}]')
        assert ws.text().startswith('42["v1",{"t_id":"b"')


def test_a_probe_that_is_none_changes_nothing(server):
    session = Polling(server)
    for said in ("3probe", "5", "2", "40", "2other"):
        with WebSocket(server, f"?EIO=4&transport=websocket&sid={session.sid}") as ws:
            ws.send(said)
            ws.closed()
    session.post("40")
    assert session.get().startswith(b"40{")


def test_pings_of_the_server_and_their_end(quick):
    session = Polling(quick)
    session.post("40")
    session.get()
    for _ in range(3):
        assert session.get() == b"2"
        session.post("3")
    assert session.get() == b"2"
    assert session.get() == b"1"
    assert session.is_gone()


def test_a_stop_is_told(servers):
    server = servers()
    session = Polling(server)
    with http.Connection(server.api_address()) as hanging, \
            WebSocket(server, "?EIO=4&transport=websocket") as ws:
        ws.text()
        hanging.send(http.head("GET", f"{PATH}{session.query}&sid={session.sid}", hanging.address))
        eventually(lambda: server.stats())
        server.send_signal(signal.SIGTERM)
        assert hanging.response().body == b"1"
        assert ws.closed() == 1001
        assert server.wait_exit() == 0
        server.process = None
        server.check_sanitizers()

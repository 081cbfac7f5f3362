"""What the protocols' own suites ask of a server, group by group: Engine.IO (handshake, message,
heartbeat, close, upgrade) of revisions 3 and 4, and Socket.IO of version 5 and the one before
(connect, disconnect, message), by polling and by WebSocket.

Those suites have a server that echoes; ours answers the event v1, and has one namespace.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import http
from lib.engineio import PATH, ByPolling, ByWebSocket, Polling, WebSocket, payload
from lib.rookery import TOKEN
from lib.torrentflow import H1, T1
from lib.wait import eventually

INTERVAL_MS, TIMEOUT_MS = 300, 200
NOOP, CLOSE = {3: b"1:6", 4: b"6"}, {3: b"1:1", 4: b"1"}


@pytest.fixture
def server(shared_servers):
    return shared_servers.once("slow", {"client": {"allowed_dirs": ["/tmp"]}})


@pytest.fixture
def quick(shared_servers):
    return shared_servers.once("quick", {"api": {"socketio_ping_interval_ms": INTERVAL_MS,
                                                 "socketio_ping_timeout_ms": TIMEOUT_MS}})


@pytest.fixture(params=[4, 3])
def eio(request):
    return request.param


@pytest.fixture(params=[ByPolling, ByWebSocket], ids=["polling", "websocket"])
def kind(request):
    return request.param


def connect(session):
    """Into the main namespace; its sid, which revision 3 has none of."""
    if session.eio == 3:
        assert session.next() == "40"
        return None
    session.send("40")
    said = session.next()
    assert said.startswith("40")
    answer = json.loads(said[2:])
    assert list(answer) == ["sid"] and isinstance(answer["sid"], str)
    return answer["sid"]


@pytest.fixture
def session(server, kind, eio):
    with kind(server, eio) as session:
        connect(session)
        yield session


def answer_of(said, head):
    """The object that an event or an acknowledgement carries."""
    assert said.startswith(head), said
    values = json.loads(said[len(head):])
    if head.startswith("42"):
        assert values.pop(0) == "v1"
    answer, = values
    return answer


def still_answers(session):
    session.send('4277["v1",{"t_id":"still","command":"get_session_list"}]')
    assert answer_of(session.next(), "4377")["t_id"] == "still"


# ---- Engine.IO: handshake

def test_handshake(quick, kind, eio):
    with kind(quick, eio) as session:
        assert session.opened[0] == "0"
        about = json.loads(session.opened[1:])
        assert isinstance(about.pop("sid"), str)
        assert about == {"upgrades": ["websocket"] if kind is ByPolling else [],
                         "pingInterval": INTERVAL_MS, "pingTimeout": TIMEOUT_MS,
                         "maxPayload": 1000000}


@pytest.mark.parametrize("query", ["transport={}", "EIO=&transport={}", "EIO=abc&transport={}",
                                   "EIO=-4&transport={}", "EIO=4.0&transport={}",
                                   "EIO=2&transport={}", "EIO=44&transport={}", "EIO=4", "EIO=3",
                                   "EIO=4&transport=", "EIO=4&transport=abc",
                                   "EIO=3&transport=abc"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_handshake_of_what_there_is_not(server, transport, query):
    query = "?" + query.format(transport)
    if transport == "polling":
        assert server.api("GET", PATH + query).status == 400
    else:
        with WebSocket(server, query) as refused:
            assert refused.head.status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_handshake_by_another_method(server, eio, method):
    answer = server.api(method, f"{PATH}?EIO={eio}&transport=polling", body=b"")
    assert answer.status == 400


# ---- Engine.IO: message

def test_one_text_packet(session):
    session.send('42["v1",{"t_id":"hello"}]')
    assert answer_of(session.next(), "42")["t_id"] == "hello"


def test_several_text_packets(session):
    session.send(*(f'42["v1",{{"t_id":{i}}}]' for i in range(3)))
    assert [answer_of(session.next(), "42")["t_id"] for _ in range(3)] == [0, 1, 2]


def test_several_packets_come_in_one_poll(server, eio):
    with ByPolling(server, eio) as session:
        connect(session)
        session.send(*(f'42["v1",{{"t_id":{i}}}]' for i in range(3)))
        assert answer_of(session.next(), "42")["t_id"] == 0
        assert len(session._came) == 2


def test_text_and_binary_packets(session):
    session.send('451-0["v1",{"t_id":"b","command":"upload_torrent",'
                 '"file":{"_placeholder":true,"num":0}}]', b"\x01\x02\x03\x04",
                 '421["v1",{"t_id":"a"}]')
    assert answer_of(session.next(), "430")["t_id"] == "b"
    assert answer_of(session.next(), "431")["t_id"] == "a"


def test_a_binary_message_that_nobody_announced(session):
    session.send(b"\x01\x02\x03\x04")
    assert session.is_over()


def test_a_packet_that_is_none(session):
    session.send("abc")
    assert session.is_over()


def test_two_polls_at_once(server, eio):
    session = Polling(server, eio)
    if eio == 3:
        session.get()  # the connect packet
    with http.Connection(server.api_address()) as first:
        first.send(http.head("GET", f"{PATH}{session.query}&sid={session.sid}", first.address))
        eventually(lambda: session.request("GET").status == 400)
        answer = first.response()
        assert (answer.status, answer.body) == (200, CLOSE[eio])
    assert session.is_gone()


# ---- Engine.IO: heartbeat

def test_pings_and_pongs(quick, kind, eio):
    with kind(quick, eio) as session:
        connect(session)
        for _ in range(3):
            if eio == 3:
                session.send("2")
                assert session.next() == "3"
            else:
                assert session.next() == "2"
                session.send("3")
        still_answers(session)


def test_no_pings_and_no_pongs(quick, kind, eio):
    with kind(quick, eio) as session:
        if eio == 3:
            assert session.next() == "40"
        else:
            assert session.next() == "2"
        assert session.is_over()


def test_nobody_polls(quick, eio):
    """The session is gone without a poll that would have told so."""
    session = Polling(quick, eio)
    with ByWebSocket(quick, eio) as later:  # begins behind it, and so ends behind it
        assert later.is_over()
    eventually(lambda: session.request("POST", payload(eio, ["41"])).status == 400)
    assert session.is_gone()


# ---- Engine.IO: close

def test_close_while_a_poll_hangs(server, eio):
    session = Polling(server, eio)
    if eio == 3:
        session.get()
    with ThreadPoolExecutor(1) as pool:
        with http.Connection(server.api_address()) as hanging:
            hanging.send(http.head("GET", f"{PATH}{session.query}&sid={session.sid}",
                                   hanging.address))
            hung = pool.submit(hanging.response)
            session.post(payload(eio, ["1"]))
            # The poll may have come behind the close.
            assert hung.result(10).body == NOOP[eio] or hung.result().status == 400
    assert session.is_gone()


def test_close(server, kind, eio):
    with kind(server, eio) as session:
        session.send("1")
        assert session.is_over()


# ---- Engine.IO: upgrade

def probed(server, session):
    """Its WebSocket, of which the server knows."""
    ws = WebSocket(server, f"{session.query.replace('polling', 'websocket')}&sid={session.sid}")
    assert ws.head.status == 101
    ws.send("2probe")
    assert ws.text() == "3probe"
    return ws


def test_upgrade(server, eio):
    session = Polling(server, eio)
    if eio == 3:
        session.get()
    with probed(server, session) as ws:
        assert session.get() == NOOP[eio]
        ws.send("5")
        if eio == 4:
            ws.send("40")
            assert ws.text().startswith("40{")
        ws.send('42["v1",{"t_id":"up"}]')
        assert answer_of(ws.text(), "42")["t_id"] == "up"


def test_requests_behind_an_upgrade(server, eio):
    session = Polling(server, eio)
    if eio == 3:
        session.get()
    with probed(server, session) as ws:
        ws.send("5")
        eventually(lambda: session.request("GET").status == 400)
        assert session.request("POST", payload(eio, ["41"])).status == 400
        with WebSocket(server, f"?EIO={eio}&transport=websocket&sid={session.sid}") as second:
            second.closed()
        ws.send("40" if eio == 4 else "2")
        assert ws.text()[:2] == ("40" if eio == 4 else "3")


# ---- Socket.IO: connect

@pytest.mark.parametrize("with_payload", ["", '{"token":"%s"}' % TOKEN, '{"more":[1,{"2":null}]}'])
def test_connect(server, kind, with_payload):
    with kind(server, 4) as session:
        session.send("40" + with_payload)
        about = json.loads(session.next()[2:])
        assert list(about) == ["sid"]
        assert about["sid"] != json.loads(session.opened[1:])["sid"]
        still_answers(session)


@pytest.mark.parametrize("packet, name", [
    ("40/custom,", "/custom"), ('40/custom,{"token":"abc"}', "/custom"), ("40/random", "/random"),
    ("40/a/b-c,", "/a/b-c")])
def test_connect_to_another_namespace(server, kind, packet, name):
    with kind(server, 4) as session:
        session.send(packet)
        assert session.next() == f'44{name},{{"message":"Invalid namespace"}}'
        connect(session)
        still_answers(session)


def test_connect_to_another_namespace_of_revision_3(server, kind):
    with kind(server, 3) as session:
        connect(session)
        session.send("40/custom?token=abc,")
        assert session.next() == '44/custom,{"message":"Invalid namespace"}'
        still_answers(session)


@pytest.mark.parametrize("packet", ["4abc", "40{", "40[]", '40"text"', "40{}x", "4", "49"])
def test_connect_that_is_none(server, kind, packet):
    with kind(server, 4) as session:
        session.send(packet)
        assert session.is_over()


def test_an_event_before_the_connect(server, kind):
    with kind(server, 4) as session:
        session.send('42["v1",{}]')
        assert session.is_over()


# ---- Socket.IO: disconnect

def test_disconnect_and_connect_again(server, kind):
    with kind(server, 4) as session:
        first = connect(session)
        session.send("41")
        assert connect(session) != first
        still_answers(session)


def test_disconnect_from_another_namespace(session):
    session.send("40/custom" if session.eio == 4 else "40/custom,")
    assert session.next().startswith("44/custom,")
    session.send("41/custom", '42["v1",{"t_id":"main"}]')
    assert answer_of(session.next(), "42")["t_id"] == "main"


# ---- Socket.IO: message

def test_arguments_of_every_kind(session):
    session.send('42["v1",1,"2",{"3":[true]}]')
    failure = answer_of(session.next(), "42")
    assert (failure["t_id"], failure["status"]) == (None, "fail")
    t_id = [1, "2", {"3": [True, None, -0.5]}]
    session.send('42["v1",{"t_id":%s}]' % json.dumps(t_id))
    assert answer_of(session.next(), "42")["t_id"] == t_id


def test_an_event_that_nobody_hears(session):
    session.send('42["message",1]', '427["message",1]', '42["v1",{"t_id":"heard"}]')
    assert answer_of(session.next(), "42")["t_id"] == "heard"


@pytest.mark.parametrize("number", ["0", "7", "456", "4294967295"])
def test_acknowledgement(session, number):
    session.send(f'42{number}["v1",{{"t_id":"x","command":"get_session_list"}}]')
    answer = answer_of(session.next(), f"43{number}")
    assert (answer["t_id"], answer["status"]) == ("x", "success")


def test_binary_attachments(session, tmp_path):
    """Each placeholder gets the bytes of its number, and only those that are used count."""
    session.send('42["v1",{"command":"create_session","ports":[0]}]')
    sid = answer_of(session.next(), "42")["session"]["id"]
    message = {"t_id": 5, "command": "upload_torrent", "session_id": sid,
               "save_path": str(tmp_path), "autostart": 0,
               "file": {"_placeholder": True, "num": 1}, "other": {"_placeholder": True, "num": 0}}
    session.send('452-789["v1",%s]' % json.dumps(message), b"\x01\x02\x03", T1)
    answer = answer_of(session.next(), "43789")
    assert (answer["t_id"], answer["infohash"]) == (5, H1)
    session.send('42["v1",{"command":"delete_session","session_id":"%s"}]' % sid)
    assert answer_of(session.next(), "42")["status"] == "success"


@pytest.mark.parametrize("packet", ["4abc", "42{}", '42["v1",', "42[]", '42abc["v1",{}]',
                                    '42[{"not":"a name"}]', '45["v1",{}]', '45-["v1",{}]',
                                    "43[]", '463-["v1"]', "45x-[]"])
def test_packets_that_are_none(session, packet):
    session.send(packet, '42["v1",{"t_id":"behind"}]')
    assert session.is_over()


def test_text_where_an_attachment_is_due(session):
    session.send('451-["v1",{"file":{"_placeholder":true,"num":0}}]', '42["v1",{}]')
    assert session.is_over()

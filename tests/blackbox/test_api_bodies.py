"""What the API reads of a request's body, for whom, and when: the token comes before all of it."""

import contextlib
import json
import socket
import ssl
import struct
import time

import pytest

from lib.http import Connection, head
from lib.rookery import AUTH
from lib.tls import make_certificate
from lib.torrentflow import OPEN
from lib.torrust import stranger

HUGE = str(50_000_000)
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
FRAMINGS = {
    "length": {"Content-Length": HUGE},
    "length, 100": {"Content-Length": HUGE, "Expect": "100-continue"},
    "chunked": {"Transfer-Encoding": "chunked"},
    "chunked, 100": {"Transfer-Encoding": "chunked", "Expect": "100-continue"},
}
ALWAYS = ["/api/key/60", "/addmagnet", "/addtorrentfile"]  # these want a token from everybody
PERHAPS = ["/v1/sessions", "/torrent", "/torrents"]  # these may be open on the same machine
CONNECTIONS_MAX = 256
RESET = struct.pack("ii", 1, 0)
TLS_BUFFER = 8192  # bytes that libh2o reads at a time


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers()


@pytest.fixture(scope="module")
def local(shared_servers):
    """Callers of this machine need no token where there is a choice."""
    return shared_servers(OPEN)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_server(shared_servers, certificate):
    return shared_servers({"api": {"tls": certificate.section}})


def refusal(address, path, fields, method="POST", tls=None):
    """The answer to a head with no byte of a body behind it, which must end the connection."""
    with Connection(address, stranger(), tls) as connection:
        connection.send(head(method, path, address, fields))
        answers = connection.read_to_end()
    assert b"100 Continue" not in answers
    assert answers.count(b"HTTP/1.1 ") == 1 and b"\r\nConnection: close\r\n" in answers
    return answers


def goes_on(address, path, fields):
    """Is the body asked for?"""
    with Connection(address) as connection:
        connection.send(head("POST", path, address, {**fields, "Expect": "100-continue"}))
        return connection.socket.recv(len(GO_ON), socket.MSG_WAITALL) == GO_ON


# ---- nobody's body


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("path", ALWAYS + PERHAPS)
@pytest.mark.parametrize("token", [{}, {"Authorization": "Bearer wrong"}], ids=["none", "wrong"])
def test_no_byte_is_wanted_of_a_stranger(server, path, framing, token):
    answer = refusal(server.api_address(), path, {**FRAMINGS[framing], **token})
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"WWW-Authenticate: Bearer".lower() in answer.lower()


@pytest.mark.parametrize("path", ["/", "/health_check", "/nothing"])
def test_an_open_page_takes_no_body_of_a_stranger(server, path):
    for framing in FRAMINGS.values():
        answer = refusal(server.api_address(), path, framing, method="GET")
        assert answer.startswith(b"HTTP/1.1 401 ")
    assert server.api("GET", path, token=None).status == (404 if path == "/nothing" else 200)


def test_each_dialect_refuses_in_its_own_words(server):
    bodies = {path: refusal(server.api_address(), path, FRAMINGS["length"]).split(b"\r\n\r\n", 1)[1]
              for path in ALWAYS + PERHAPS}
    assert json.loads(bodies["/api/key/60"]) == {"status": "err", "reason": "unauthorized"}
    assert json.loads(bodies["/v1/sessions"])["status"] == "fail"
    assert json.loads(bodies["/torrent"])["status"] == 401
    assert bodies["/addmagnet"] == b"unauthorized\n"


def test_callers_of_this_machine(local):
    address = local.api_address()
    for path in PERHAPS:
        assert goes_on(address, path, {"Content-Length": "100"})
        foreign = {**FRAMINGS["length, 100"], "X-Forwarded-For": "192.0.2.1"}
        assert refusal(address, path, foreign).startswith(b"HTTP/1.1 401 ")
    for path in ALWAYS:
        assert refusal(address, path, FRAMINGS["length, 100"]).startswith(b"HTTP/1.1 401 ")


def test_what_is_sent_anyway_does_not_destroy_the_answer(server):
    with Connection(server.api_address(), stranger()) as connection:
        connection.send(head("POST", "/torrents", connection.address, FRAMINGS["length"]))
        connection.send(b"x" * (8 << 20))
        assert connection.response().status == 401
        assert connection.is_closed()


def test_what_is_in_a_refused_body_is_no_request(server):
    info_hash = "5" * 40
    inner = head("POST", f"/api/whitelist/{info_hash}", server.api_address(), AUTH, b"")
    for framing in ({"Content-Length": str(len(inner))}, {"Transfer-Encoding": "chunked"}):
        with Connection(server.api_address(), stranger()) as connection:
            connection.send(head("POST", "/torrents", connection.address, framing) + inner)
            assert connection.read_to_end().count(b"HTTP/1.1 ") == 1
    assert info_hash not in server.api("GET", "/api/v1/whitelist").text


def test_memory_is_not_for_strangers(shared_servers):
    server = shared_servers()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Connection(server.api_address(), stranger()))
                 for _ in range(100)]
        before = server.rss_kib
        for connection in crowd:
            connection.send(head("POST", "/torrents", connection.address,
                                 {"Content-Length": str(15 << 20)}))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(b"x" * (1 << 20))
        assert server.get("/api/stats")["torrents"] == 0
        assert server.rss_kib - before < 20 << 10, "kept a part of 100 MiB"


def test_a_socket_io_session_without_a_token(server):
    address = server.api_address()
    opened = server.api("GET", "/socket.io/?EIO=4&transport=polling", token=None).text
    sid = json.loads(opened[1:])["sid"]
    path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
    assert refusal(address, path, {"Content-Length": "16385", "Expect": "100-continue"}).startswith(
        b"HTTP/1.1 413 ")
    assert refusal(address, path + "x", FRAMINGS["length, 100"]).startswith(b"HTTP/1.1 400 ")
    assert goes_on(address, path, {"Content-Length": "16384"})
    assert goes_on(address, path, {"Content-Length": "1000000", **AUTH})


# ---- somebody's body


def test_an_admitted_body_in_single_bytes(server):
    body = json.dumps(["%040x" % n for n in range(20)]).encode()
    with Connection(server.api_address()) as connection:
        for fields, sent in (
                ({"Content-Length": str(len(body))}, body),
                ({"Transfer-Encoding": "chunked"},
                 b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))):
            connection.send(head("POST", "/api/v1/whitelist", connection.address, {
                "Content-Type": "application/json", "Expect": "100-continue", **AUTH, **fields}))
            assert connection.socket.recv(len(GO_ON), socket.MSG_WAITALL) == GO_ON
            for byte in sent:
                connection.send(bytes([byte]))
            response = connection.response()
            assert response.status == 200, response
            assert response.headers["connection"] == "keep-alive"


def test_too_large_is_known_from_the_head(server):
    answer = refusal(server.api_address(), "/torrents", {**FRAMINGS["length, 100"], **AUTH})
    assert answer.startswith(b"HTTP/1.1 413 ") and b"api.max_body" in answer


@pytest.mark.parametrize("path, status", [("/torrents/x/y/z", 404), ("/api/stats", 405)])
def test_where_there_is_nothing_no_body_is_wanted(server, path, status):
    answer = refusal(server.api_address(), path, {**FRAMINGS["length, 100"], **AUTH})
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_pipelined_bodies(server):
    with Connection(server.api_address()) as connection:
        requests = b""
        for n in range(20):
            body = json.dumps(["%040x" % n]).encode()
            chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            fields = {**AUTH, "Content-Type": "application/json"}
            requests += head("POST", "/api/v1/whitelist", connection.address, fields, body) + body
            requests += head("POST", "/api/v1/whitelist", connection.address,
                             {**fields, "Transfer-Encoding": "chunked"}) + chunked
            requests += head("GET", "/api/stats", connection.address, AUTH)
        connection.send(requests)
        assert {connection.response().status for _ in range(60)} == {200}


@pytest.mark.parametrize("request_head", [
    b"POST /torrents HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /torrents HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /torrents HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
    b"POST /torrents HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n 2\r\n\r\n",
    b"POST /torrents HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
], ids=["two lengths", "both", "two codings", "folded", "1.0"])
def test_where_a_body_ends_is_never_guessed(server, request_head):
    address = server.api_address()
    with Connection(address, stranger()) as connection:
        connection.send(request_head + head("GET", "/api/stats", address, AUTH))
        answers = connection.read_to_end()
    assert answers.startswith(b"HTTP/1.1 400 ") and answers.count(b"HTTP/1.1 ") == 1


# ---- TLS


def test_no_byte_is_wanted_of_a_stranger_over_tls(tls_server, certificate):
    for framing in FRAMINGS.values():
        answer = refusal(tls_server.api_address(), "/torrents", framing, tls=certificate.context)
        assert answer.startswith(b"HTTP/1.1 401 ")


def test_tls_clients_that_reset_leave_nothing_behind(tls_server, certificate):
    address = tls_server.api_address()
    for n in range(CONNECTIONS_MAX + 10):
        with Connection(address, tls=certificate.context) as connection:
            if n % 2:
                assert connection.request("GET", "/api/stats", AUTH).status == 200
            else:
                connection.send(head("POST", "/torrents", address, {**AUTH, "Content-Length": "9"}))
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with Connection(address, tls=certificate.context) as connection:
        assert connection.request("GET", "/api/stats", AUTH).status == 200


def test_http_2_is_not_offered(tls_server, certificate):
    context = certificate.context
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Connection(tls_server.api_address(), tls=context) as connection:
        assert connection.socket.selected_alpn_protocol() in (None, "http/1.1")
        assert connection.request("GET", "/api/stats", AUTH).status == 200


def test_tls_that_pauses_where_the_buffer_is_full(tls_server, certificate):
    """The server finds nothing behind a read that filled its buffer, and waits for more."""
    address = tls_server.api_address()
    body = b" " * 40_000
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = certificate.context.wrap_bio(incoming, outgoing, server_hostname=address[0])

    def run(step):
        """A step of TLS, with what it sends and waits for."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                data = connection.recv(65536)
                assert data, "closed by the server"
                incoming.write(data)

    with socket.create_connection(address, 10) as connection:
        run(tls.do_handshake)
        tls.write(head("GET", "/api/stats", address, AUTH))
        assert b"torrents" in run(lambda: tls.read(65536)) + run(lambda: tls.read(65536))
        tls.write(head("POST", "/api/v1/keys", address, AUTH, body) + body)
        request = outgoing.read()
        connection.sendall(request[:TLS_BUFFER])
        time.sleep(0.2)  # so that the server reads just this
        connection.sendall(request[TLS_BUFFER:])
        assert run(lambda: tls.read(65536)).startswith(b"HTTP/1.1 415 ")

"""The HTTP that the HTTP tracker speaks: connections, heads, limits, TLS."""

import socket
import ssl
import struct

import pytest

from lib import bencode
from lib.http import Connection, announce_query, head, scrape_query
from lib.ids import new_hash
from lib.tls import make_certificate
from lib.udp import add_peers
from lib.wait import eventually

HEAD_LIMIT = 8192


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers()


@pytest.fixture
def http(server):
    with server.http_client() as client:
        yield client


@pytest.fixture
def connection(server):
    with Connection(server.http_address()) as connection:
        yield connection


@pytest.fixture
def impatient(shared_servers):
    return shared_servers.once("impatient", {
        "tracker": {"http_idle_timeout": 1, "http_request_timeout": 1}})


def target(info_hash):
    return "/announce?" + announce_query(info_hash)


def test_keep_alive(connection):
    info_hash = new_hash()
    for _ in range(5):
        response = connection.request("GET", target(info_hash))
        assert response.status == 200
        assert response.headers.get("connection", "keep-alive").lower() == "keep-alive"


def test_connection_close(connection):
    assert connection.request("GET", target(new_hash()), {"Connection": "close"}).status == 200
    assert connection.is_closed()


def test_http_1_0_closes(connection):
    response = connection.request("GET", target(new_hash()), version="HTTP/1.0")
    assert response.status == 200
    assert connection.is_closed()


def test_http_1_0_without_host(connection):
    connection.send(f"GET {target(new_hash())} HTTP/1.0\r\n\r\n".encode())
    assert b"peers" in connection.response().body
    assert connection.is_closed()


def test_http_1_0_keep_alive(connection):
    for _ in range(3):
        response = connection.request("GET", target(new_hash()), {"Connection": "keep-alive"},
                                      version="HTTP/1.0")
        assert response.status == 200
        assert response.headers["connection"].lower() == "keep-alive"


def test_pipelining(server, connection):
    hashes = [new_hash() for _ in range(30)]
    with server.udp_client() as udp:
        for count, info_hash in enumerate(hashes):
            add_peers(udp, info_hash, range(1000, 1000 + count))
    requests = [head("GET", "/scrape?" + scrape_query([h]), connection.address) for h in hashes]
    connection.send(b"".join(requests))
    for count, info_hash in enumerate(hashes):
        files = bencode.decode(connection.response().body)[b"files"]
        assert files == {info_hash: {b"complete": 0, b"downloaded": 0, b"incomplete": count}}


def test_a_request_in_single_bytes(connection):
    for byte in head("GET", target(new_hash()), connection.address):
        connection.send(bytes([byte]))
    assert b"peers" in connection.response().body


def test_head_is_get_without_the_body(http, connection):
    info_hash = new_hash()
    http.announce(info_hash)
    got = connection.request("GET", "/scrape?" + scrape_query([info_hash]))
    headed = connection.request("HEAD", "/scrape?" + scrape_query([info_hash]))
    assert headed.status == 200
    assert headed.headers["content-length"] == got.headers["content-length"]
    assert headed.headers.get("content-type") == got.headers.get("content-type")
    assert connection.request("GET", target(info_hash)).status == 200, "nothing is left over"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods(server, method):
    info_hash = new_hash()
    with Connection(server.http_address()) as connection:
        response = connection.request(method, target(info_hash))
        assert response.status == 405
        assert {m.strip() for m in response.headers["allow"].split(",")} == {"GET", "HEAD"}
    assert server.api("GET", f"/api/torrent/{info_hash.hex()}").status == 404


@pytest.mark.parametrize("path", ["/nothing", "/announcer", "/announce/a/b", "/scrape/a/b/c"])
def test_unknown_paths(connection, path):
    assert connection.request("GET", path).status == 404


def test_health_check(connection):
    assert connection.request("GET", "/health_check").status == 200


def test_a_head_at_the_limit(connection):
    info_hash = new_hash()
    plain = head("GET", target(info_hash), connection.address, {"X-Pad": "x"})
    request = head("GET", target(info_hash), connection.address,
                   {"X-Pad": "x" * (HEAD_LIMIT - len(plain) + 1)})
    assert len(request) == HEAD_LIMIT
    connection.send(request)
    assert connection.response().status == 200


def test_a_head_over_the_limit(connection):
    connection.send(b"GET /announce HTTP/1.1\r\nX-Pad: " + b"x" * HEAD_LIMIT)
    assert connection.response().status == 431
    assert connection.is_closed()


def test_a_target_over_the_limit(connection):
    connection.send(b"GET /" + b"x" * HEAD_LIMIT)
    assert connection.response().status == 431
    assert connection.is_closed()


@pytest.mark.parametrize("request_head", [
    b"nonsense\r\n\r\n",
    b"GET /announce\r\n\r\n",
    b"GET /announce HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET /announce HTTP/1.1\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET /announce HTTP/1.1\r\nHost: x\0\r\n\r\n",
    b"GET /ann\x01ounce HTTP/1.1\r\nHost: x\r\n\r\n",
])
def test_a_malformed_request(server, request_head):
    with Connection(server.http_address()) as connection:
        connection.send(request_head)
        response = connection.response()
        assert 400 <= response.status < 600 and response.status != 404
        assert connection.is_closed()


def test_a_body_is_not_taken_for_a_request(server):
    """What may be the body of one request must never be read as the next."""
    info_hash = new_hash()
    inner = head("GET", target(info_hash), server.http_address())
    for fields in ({"Content-Length": str(len(inner))}, {"Transfer-Encoding": "chunked"}):
        with Connection(server.http_address()) as connection:
            connection.send(head("GET", target(new_hash()), connection.address,
                                 {"Connection": "close", **fields}) + inner)
            connection.read_to_end()
    assert server.api("GET", f"/api/torrent/{info_hash.hex()}").status == 404


def test_an_idle_connection_is_closed(impatient):
    with Connection(impatient.http_address()) as connection:
        assert connection.is_closed()
    with Connection(impatient.http_address()) as connection:
        assert connection.request("GET", target(new_hash())).status == 200
        assert connection.is_closed()


def test_a_slow_client_is_cut(impatient):
    """A byte now and then does not keep it: the clock runs from the first byte of the head."""
    with Connection(impatient.http_address()) as slow:
        slow.socket.settimeout(0.2)
        for byte in head("GET", target(new_hash()), slow.address, {"X-Pad": "x" * 100}):
            try:
                slow.send(bytes([byte]))
                if slow.is_closed():
                    return
                assert b"408" in slow.read_to_end()
                return
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return
    raise AssertionError("a request of more than 20 s was served")


def test_other_connections_do_not_wait_for_a_slow_one(impatient):
    with Connection(impatient.http_address()) as slow, impatient.http_client() as http:
        slow.send(b"GET /announce?info")
        assert http.announce(new_hash()).leechers == 1


# ---- connections of one answer, and others that are short

CLOSE = {"Connection": "close"}


def connections(server):
    """(accepted, closed, refused) of the HTTP tracker so far."""
    values = dict(line.rsplit(" ", 1) for line in server.api("GET", "/metrics").text.splitlines()
                  if not line.startswith("#"))
    return tuple(int(value) for what in ("", "_closed", "_refused")
                 for name, value in values.items()
                 if name.startswith(f"rookery_connections{what}_total{{"))


@pytest.fixture
def quiet(shared_servers):
    """Nobody else connects to it."""
    return shared_servers.once("quiet", {})


def test_many_connections_of_one_answer(server):
    """All are open before the first of them asks, and all ask before the first is answered."""
    info_hash = new_hash()
    with server.udp_client() as udp:
        add_peers(udp, info_hash, range(1000, 1050))
    clients = [Connection(server.http_address()) for _ in range(150)]
    for client in clients:
        client.send(head("GET", "/scrape?" + scrape_query([info_hash]), client.address, CLOSE))
    for client in clients:
        response = client.response()
        assert bencode.decode(response.body)[b"files"][info_hash][b"incomplete"] == 50
        assert response.headers["connection"] == "close"
        assert client.is_closed()
        client.close()


@pytest.mark.parametrize("headers", [CLOSE, {}], ids=["close", "keep-alive"])
@pytest.mark.parametrize("cut", [1, 40, -1])
def test_half_a_request_at_first(server, http, headers, cut):
    with Connection(server.http_address()) as client:
        request = head("GET", target(new_hash()), client.address, headers)
        client.send(request[:cut])
        http.announce(new_hash())  # the server goes on meanwhile
        client.send(request[cut:])
        assert b"peers" in client.response().body
        if headers:
            assert client.is_closed()
        else:
            assert client.request("GET", target(new_hash()), CLOSE).status == 200


def test_a_connection_that_says_nothing_at_first(quiet):
    """The kernel keeps it for a second, and then the server knows it."""
    accepted = connections(quiet)[0]
    with Connection(quiet.http_address()) as client:
        eventually(lambda: connections(quiet)[0] == accepted + 1)
        assert client.request("GET", target(new_hash())).status == 200
        assert client.request("GET", target(new_hash()), CLOSE).status == 200
        assert client.is_closed()


def test_pipelining_to_the_end_of_the_connection(server):
    """What comes behind the last request is not answered, and takes no answer away."""
    with Connection(server.http_address()) as client:
        ask = [head("GET", "/health_check", client.address)] * 20
        last = head("GET", "/", client.address, CLOSE)
        client.send(b"".join(ask) + last + ask[0])
        answers = client.read_to_end()
    assert answers.count(b"HTTP/1.1 200 OK") == 21
    assert b"Connection: close" in answers
    assert answers.endswith(b"/health_check\n")


def test_whole_answers_for_a_slow_reader_that_wants_the_end(server):
    """Far more than the kernel holds, then the end: nothing may be missing."""
    client = Connection(server.http_address())
    client.close()
    client.socket = socket.socket()
    with client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        client.socket.settimeout(30)
        client.socket.connect(server.http_address())
        n = 3_000
        client.send(head("GET", "/", client.address) * n
                    + head("GET", "/", client.address, CLOSE))
        answers = client.read_to_end()
    assert answers.count(b"This is a BitTorrent tracker") == n + 1
    assert answers.count(b"Connection: close") == 1
    assert answers.endswith(b"/health_check\n")


@pytest.mark.parametrize("headers", [CLOSE, {}], ids=["close", "keep-alive"])
def test_a_client_that_half_closes_before_it_reads(server, headers):
    with Connection(server.http_address()) as client:
        client.send(head("GET", target(new_hash()), client.address, headers))
        client.socket.shutdown(socket.SHUT_WR)
        assert b"peers" in client.response().body
        assert client.is_closed()


def test_half_a_request_and_a_half_close(server):
    with Connection(server.http_address()) as client:
        client.send(head("GET", target(new_hash()), client.address)[:-2])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()


def test_clients_that_close_at_once(quiet):
    """With nothing said, with half a request, and with a whole one; softly and hard. The server
    has nothing of them left, and it has heard the announces of those who did not wait."""
    info_hash = new_hash()
    requests = [head("GET", target(info_hash), quiet.http_address(), headers)
                for headers in ({}, CLOSE)]
    for abort in (False, True):
        for data in (b"", b"GET /ann", *requests):
            for _ in range(20):
                client = Connection(quiet.http_address())
                client.send(data)
                if abort:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                             struct.pack("ii", 1, 0))
                client.close()

    def none_left():
        accepted, closed, refused = connections(quiet)
        return accepted == closed and refused == 0

    eventually(none_left)
    assert quiet.get(f"/api/torrent/{info_hash.hex()}")["leechers"] == 1


def test_connections_over_the_limit(shared_servers):
    server = shared_servers.once("crowded", {"tracker": {"max_connections": 3}})
    kept = [Connection(server.http_address()) for _ in range(3)]
    for client in kept:
        assert client.request("GET", target(new_hash())).status == 200
    for _ in range(5):
        with Connection(server.http_address()) as client:
            client.send(head("GET", target(new_hash()), client.address, CLOSE))
            assert client.read_to_end() == b""
    assert connections(server)[2] == 5
    for client in kept:
        assert client.request("GET", target(new_hash())).status == 200
        client.close()
    eventually(lambda: len(set(connections(server)[:2])) == 1)
    for _ in range(10):  # each gives its place to the next
        with Connection(server.http_address()) as client:
            assert client.request("GET", target(new_hash()), CLOSE).status == 200
            assert client.is_closed()
    assert connections(server)[2] == 5


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_server(shared_servers, certificate):
    return shared_servers.once("tls", {"tracker": {"tls": certificate.section}})


def test_tls(tls_server, certificate):
    info_hash = new_hash()
    with tls_server.http_client(tls=certificate.context) as http:
        http.announce(info_hash, port=1000)
        assert http.announce(info_hash, port=1001).peers == [("127.0.0.1", 1000)]
        assert http.scrape([info_hash]) == {info_hash: (0, 0, 2)}


def test_tls_pipelining(tls_server, certificate):
    with Connection(tls_server.http_address(), tls=certificate.context) as connection:
        connection.send(b"".join(head("GET", target(new_hash()), connection.address)
                                 for _ in range(20)))
        for _ in range(20):
            assert b"peers" in connection.response().body


def test_tls_connections_of_one_answer(tls_server, certificate):
    clients = [Connection(tls_server.http_address(), tls=certificate.context) for _ in range(20)]
    for client in clients:
        client.send(head("GET", target(new_hash()), client.address, CLOSE))
    for client in clients:
        assert b"peers" in client.response().body
        client.close()


def test_plain_http_on_the_tls_port(tls_server, certificate):
    with Connection(tls_server.http_address()) as connection:
        connection.send(head("GET", target(new_hash()), connection.address))
        assert b"peers" not in connection.read_to_end()
    with tls_server.http_client(tls=certificate.context) as http:
        assert http.announce(new_hash()).leechers == 1


def test_tls_with_a_certificate_nobody_trusts(tls_server, certificate):
    with pytest.raises(ssl.SSLError):
        Connection(tls_server.http_address(), tls=ssl.create_default_context())
    with tls_server.http_client(tls=certificate.context) as http:
        assert http.announce(new_hash()).leechers == 1

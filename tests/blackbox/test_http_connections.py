"""The HTTP that the HTTP tracker speaks: connections, heads, limits, TLS."""

import ssl

import pytest

from lib import bencode
from lib.http import Connection, announce_query, head, scrape_query
from lib.ids import new_hash
from lib.tls import make_certificate
from lib.udp import add_peers

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

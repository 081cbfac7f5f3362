"""The Torrust API as the seed document has it (base /api), and what is common to both bases."""

import base64
import json
import socket
import struct
import time

import pytest

from lib.http import Connection, Failure, head
from lib.ids import new_hash, new_key, new_peer_id
from lib.rookery import AUTH, TOKEN
from lib.tls import make_certificate
from lib.torrust import BASES, STATS, stranger
from lib.udp import COMPLETED, STARTED, STOPPED, add_peers, add_torrents
from lib.wait import eventually

@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers()


@pytest.fixture
def udp(server):
    with server.udp_client() as client:
        yield client


@pytest.fixture(scope="module")
def crowded(shared_servers):
    """A server with more torrents than one page of either base holds."""
    server = shared_servers()
    hashes = sorted(new_hash() for _ in range(4100))
    with server.udp_client() as udp:
        add_torrents(udp, hashes)
    return server, [h.hex() for h in hashes]


# ---- tokens

READS = ["/api/stats", "/api/torrents", "/api/torrent/" + "a" * 40, "/api/whitelist/reload",
         "/api/keys/reload"]


@pytest.mark.parametrize("path", READS)
def test_without_a_token(server, path):
    response = server.api("GET", path, token=None, source=stranger())
    assert (response.status, response.json()) == (
        401, {"status": "err", "reason": "unauthorized"})
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%00"])
def test_with_a_wrong_token(server, path, token):
    response = server.api("GET", path, token=token, source=stranger())
    assert (response.status, response.json()) == (
        401, {"status": "err", "reason": "token not valid"})


@pytest.mark.parametrize("headers", [
    {"Authorization": f"Bearer {TOKEN}"},
    {"Authorization": f"bearer {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()},
    {"Authorization": "Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()},
])
@pytest.mark.parametrize("base", BASES)
def test_a_token_in_the_head(server, base, headers):
    assert server.api("GET", base + "/stats", token=None, headers=headers).status == 200


@pytest.mark.parametrize("query", [
    "?token={}", "?a=b&token={}", "?token={}&a=b", "?&&token={}&", "?offset=0&token={}&limit=1"])
@pytest.mark.parametrize("base", BASES)
def test_a_token_anywhere_in_the_query(server, base, query):
    path = base + "/torrents" + query.format(TOKEN)
    assert server.api("GET", path, token=None).status == 200


def test_a_percent_encoded_token(server):
    encoded = "".join(f"%{ord(c):02x}" for c in TOKEN)
    assert server.api("GET", "/api/stats", token=encoded).status == 200


@pytest.mark.parametrize("header", [
    "Bearer wrong", "Bearer", "Basic " + base64.b64encode(b"x:wrong").decode(), "Basic %%%",
    "wrong"])
def test_a_wrong_token_in_the_head(server, header):
    response = server.api("GET", "/api/stats", token=None, headers={"Authorization": header},
                          source=stranger())
    assert (response.status, response.json()["reason"]) == (401, "token not valid")


def test_each_label_has_its_token(servers):
    server = servers({"api": {"tokens": {"admin": TOKEN, "script": "token-of-the-script"}}})
    assert server.api("GET", "/api/stats", token=TOKEN).status == 200
    assert server.api("GET", "/api/stats", token="token-of-the-script").status == 200
    assert server.api("GET", "/api/stats", token="script").status == 401


@pytest.mark.parametrize("base, status", [("/api", 401), ("/api/v1", 500)])
def test_nothing_happens_without_a_token(shared_servers, base, status):
    """Upstream once ran the action first and refused afterwards."""
    server = shared_servers.once("listed", {"tracker": {"mode": "private_listed"}})
    listed, unlisted = new_hash().hex(), new_hash().hex()
    server.ok("POST", f"/api/whitelist/{listed}")
    key = server.new_key()
    for token in (None, "wrong"):
        source = stranger()
        for method, path in (("POST", f"/whitelist/{unlisted}"), ("DELETE", f"/whitelist/{listed}"),
                             ("POST", "/key/3600"), ("DELETE", f"/key/{key}")):
            response = server.api(method, base + path, token=token, source=source)
            assert response.status == status, response
            assert b"key\"" not in response.body
    with server.http_client() as http:
        assert http.announce(bytes.fromhex(listed), path=f"/announce/{key}").leechers == 1
        with pytest.raises(Failure, match="whitelist"):
            http.announce(bytes.fromhex(unlisted), path=f"/announce/{key}")


@pytest.mark.parametrize("base, status", [("/api", 401), ("/api/v1", 500)])
def test_many_failed_tokens(servers, base, status):
    server = servers()
    attacker = "127.7.7.7"
    statuses = [server.api("GET", base + "/stats", token=f"guess{n}", source=attacker).status
                for n in range(12)]
    assert statuses == [status] * 10 + [429] * 2
    limited = server.api("GET", base + "/stats", token="guess", source=attacker)
    assert 1 <= int(limited.headers["retry-after"]) <= 10
    assert server.api("GET", base + "/stats", source=attacker).status == 200, "a right token works"
    other = server.api("GET", base + "/stats", token="guess", source="127.7.7.8")
    assert other.status == status, "another address"


def test_a_token_is_never_echoed(server):
    for path in ("/api/torrents?offset=x", "/api/torrent/zz", "/api/nothing", "/api/key/x"):
        response = server.api("GET", path)
        assert TOKEN.encode() not in response.body
        assert TOKEN not in str(response.headers)


# ---- stats


def test_stats(server, udp):
    info_hash = new_hash()
    before = server.stats()
    assert sorted(before) == sorted(STATS)
    assert all(type(value) is int and value >= 0 for value in before.values())
    udp.announce(info_hash, event=STARTED)
    udp.announce(info_hash, event=COMPLETED, left=0)
    udp.announce(info_hash, port=1000)
    after = server.stats()
    assert [after[name] - before[name] for name in STATS[:4]] == [1, 1, 1, 1]


def test_the_document_s_example(servers):
    """Seen on a fresh server: all zeros."""
    server = servers({"api": {"tokens": {"admin": "MyAccessToken"}}})
    response = server.api("GET", "/api/stats", token="MyAccessToken")
    assert response.status == 200
    assert response.headers["content-type"].startswith("application/json")
    assert response.json() == dict.fromkeys(STATS, 0)


# ---- torrents


def test_torrents(server, udp):
    one, two = sorted([new_hash(), new_hash()])
    udp.announce(one)
    udp.announce(two, left=0)
    udp.announce(two, port=1000)
    udp.announce(two, port=1000, left=0, event=COMPLETED)
    rows = [row for row in server.get("/api/torrents") if row["info_hash"] in (one.hex(),
                                                                              two.hex())]
    assert rows == [{"info_hash": one.hex(), "completed": 0, "seeders": 0, "leechers": 1},
                    {"info_hash": two.hex(), "completed": 1, "seeders": 2, "leechers": 0}]


def test_no_torrents(servers):
    assert servers().get("/api/torrents") == []


def test_the_list_is_whole_and_ordered(crowded):
    server, hashes = crowded
    assert [row["info_hash"] for row in server.get("/api/torrents")] == hashes


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("offset, limit", [
    (0, 1), (0, 1000), (1, 1), (999, 1000), (4050, 100), (4099, 1), (4100, 10), (5000, 10),
    (0, 0), (18446744073709551615, 1)])
def test_paging(crowded, base, offset, limit):
    server, hashes = crowded
    rows = server.get(f"{base}/torrents?offset={offset}&limit={limit}")
    assert [row["info_hash"] for row in rows] == hashes[offset:offset + limit]


@pytest.mark.parametrize("base", BASES)
def test_all_pages_make_the_list(crowded, base):
    server, hashes = crowded
    pages = [server.get(f"{base}/torrents?offset={at}&limit=700") for at in range(0, 4900, 700)]
    assert [row["info_hash"] for page in pages for row in page] == hashes


@pytest.mark.parametrize("base", BASES)
def test_the_filter_by_info_hash(crowded, base):
    server, hashes = crowded
    asked = [hashes[7], hashes[3], "f" * 40, hashes[7], hashes[4099].upper()]
    query = "&".join(f"info_hash={h}" for h in asked)
    found = [row["info_hash"] for row in server.get(f"{base}/torrents?{query}&limit=1")]
    assert found == [hashes[7], hashes[3], hashes[7], hashes[4099]]


@pytest.mark.parametrize("query", ["offset=x", "offset=-1", "limit=1.1", "limit=%20",
                                   "limit=18446744073709551616", "info_hash=zz"])
def test_a_bad_query(server, query):
    response = server.api("GET", "/api/torrents?" + query)
    assert response.status == 400
    assert response.json()["status"] == "err" and response.json()["reason"]


def test_a_torrent(server):
    info_hash = new_hash()
    qbittorrent, unknown = new_peer_id(), new_peer_id(b"-ZZ9999-")
    with server.udp_client("127.0.0.5") as v4, server.udp_client(v6=True) as v6:
        v4.announce(info_hash, port=1122, peer_id=qbittorrent, event=STARTED, uploaded=11,
                    downloaded=22, left=33)
        v6.announce(info_hash, port=1123, peer_id=unknown, left=1)
        v6.announce(info_hash, port=1123, peer_id=unknown, left=0, event=COMPLETED)
    now = time.time()
    found = server.get(f"/api/torrent/{info_hash.hex()}")
    peers = sorted(found.pop("peers"), key=lambda pair: pair[1]["ip"])
    assert found == {"info_hash": info_hash.hex(), "completed": 1, "seeders": 1, "leechers": 1}
    for _, about in peers:
        assert abs(about.pop("updated") - now) <= 2, "epoch seconds"
    assert peers == [
        [{"id": qbittorrent.hex(), "client": "qBittorrent"},
         {"ip": "127.0.0.5:1122", "uploaded": 11, "downloaded": 22, "left": 33,
          "event": "Started"}],
        [{"id": unknown.hex(), "client": None},
         {"ip": "[::1]:1123", "uploaded": 0, "downloaded": 0, "left": 0,
          "event": "Completed"}]]


@pytest.mark.parametrize("prefix, client", [
    (b"-qB4480-", "qBittorrent"), (b"-TR3000-", "Transmission"), (b"-UT3550-", "\u00b5Torrent"),
    (b"-lt0D80-", "libTorrent"), (b"-LT2080-", "libtorrent"), (b"-DE2110-", "DelugeTorrent"),
    (b"-AZ5750-", "Azureus"), (b"-WW0007-", "WebTorrent"), (b"M7-10-5-", "BitTorrent"),
    (b"-xx1234-", None), (b"A2-1-36-0-", "aria2"), (b"\0" * 8, None), (b"\xff\"\\\n\r<", None)])
def test_the_client_of_a_peer(server, udp, prefix, client):
    info_hash = new_hash()
    udp.announce(info_hash, peer_id=new_peer_id(prefix))
    who, about = server.get(f"/api/torrent/{info_hash.hex()}")["peers"][0]
    assert (who["client"], about["event"]) == (client, "None")


def test_a_torrent_with_many_peers(server, udp):
    info_hash = new_hash()
    add_peers(udp, info_hash, range(1000, 1500))
    found = server.get(f"/api/torrent/{info_hash.hex()}")
    assert found["leechers"] == len({about["ip"] for _, about in found["peers"]}) == 500


def test_the_forms_of_an_info_hash(server, udp):
    info_hash = new_hash()
    udp.announce(info_hash)
    base32 = base64.b32encode(info_hash).decode()
    for form in (info_hash.hex(), info_hash.hex().upper(), base32, base32.lower()):
        assert server.get(f"/api/torrent/{form}")["info_hash"] == info_hash.hex()
    assert server.get(f"/api/torrent/{info_hash.hex()}/")["leechers"] == 1, "a trailing slash"


def test_an_unknown_torrent(server):
    response = server.api("GET", "/api/torrent/" + new_hash().hex())
    assert (response.status, response.json()) == (404, "torrent not known")


BAD_HASHES = ["0", "-1", "1.1", "INVALID%20INFOHASH", "a" * 39, "a" * 41, "a" * 39 + "g",
              "%00"]


@pytest.mark.parametrize("info_hash", BAD_HASHES)
@pytest.mark.parametrize("method, path", [
    ("GET", "/api/torrent/"), ("POST", "/api/whitelist/"), ("DELETE", "/api/whitelist/")])
def test_a_malformed_info_hash(server, method, path, info_hash):
    response = server.api(method, path + info_hash)
    assert response.status == 400
    assert response.json()["status"] == "err"


# ---- whitelist and keys


@pytest.mark.parametrize("base", BASES)
def test_the_whitelist_is_idempotent(server, base):
    info_hash = new_hash().hex()
    for method in ("POST", "POST", "DELETE", "DELETE"):
        server.ok(method, f"{base}/whitelist/{info_hash}")
    server.ok("POST", f"{base}/whitelist/{info_hash.upper()}")


@pytest.mark.parametrize("base", BASES)
def test_reload(server, base):
    server.ok("GET", f"{base}/whitelist/reload")
    server.ok("GET", f"{base}/keys/reload")


def test_a_new_key(server):
    before = int(time.time())
    response = server.api("POST", "/api/key/3600")
    after = int(time.time())
    assert response.status == 200
    found = response.json()
    assert sorted(found) == ["key", "valid_until"]
    assert len(found["key"]) == 32 and found["key"].isascii() and found["key"].isalnum()
    assert before + 3600 <= found["valid_until"] <= after + 3600 + 1
    assert server.new_key() != found["key"]


@pytest.mark.parametrize("seconds", ["-1", "abc", "1.5", "1e3", "+5", "0x10", "5s",
                                     "18446744073709551615", "18446744073709551616",
                                     "9223372036854775807", "9" * 40])
def test_a_key_for_no_time(server, seconds):
    response = server.api("POST", f"/api/key/{seconds}")
    assert response.status == 400
    assert response.json()["status"] == "err"


def test_deleting_keys(server):
    key = server.new_key()
    server.ok("DELETE", f"/api/key/{key}")
    for unknown in (key, new_key()):
        response = server.api("DELETE", f"/api/key/{unknown}")
        assert (response.status, response.json()) == (
            404, {"status": "err", "reason": "failed to delete key"})
    for malformed in ("x", "x" * 31, "x" * 33):
        assert server.api("DELETE", f"/api/key/{malformed}").status == 400


def test_whitelist_and_keys_survive_a_restart(servers):
    server = servers({"tracker": {"mode": "private_listed"}})
    listed, removed = new_hash(), new_hash()
    for info_hash in (listed, removed):
        server.ok("POST", f"/api/whitelist/{info_hash.hex()}")
    server.ok("DELETE", f"/api/whitelist/{removed.hex()}")
    key, deleted = server.new_key(), server.new_key()
    server.ok("DELETE", f"/api/key/{deleted}")
    server.restart()
    with server.http_client() as http:
        assert http.announce(listed, path=f"/announce/{key}").leechers == 1
        with pytest.raises(Failure, match="whitelist"):
            http.announce(removed, path=f"/announce/{key}")
        with pytest.raises(Failure, match="key"):
            http.announce(listed, path=f"/announce/{deleted}")


def test_an_expired_key_stays_expired_over_a_restart(servers):
    server = servers({"tracker": {"mode": "private"}})
    key = server.new_key(seconds=1)

    def is_refused():
        with server.http_client() as http:
            try:
                http.announce(new_hash(), path=f"/announce/{key}")
                return False
            except Failure as e:
                return "key" in str(e)
    assert not is_refused()
    eventually(is_refused, 4)
    server.restart()
    assert is_refused()


def test_completed_counts_survive_a_restart(servers):
    server = servers()
    info_hash = new_hash()
    with server.udp_client() as udp:
        add_peers(udp, info_hash, range(1000, 1003))
        add_peers(udp, info_hash, range(1000, 1003), left=0, event=COMPLETED)
        assert udp.scrape([info_hash]) == [(3, 3, 0)]
    server.restart()
    with server.udp_client() as udp:
        assert udp.announce(info_hash, left=0).seeders == 1
        assert udp.scrape([info_hash]) == [(1, 3, 0)]
        udp.announce(info_hash, port=1000)
        udp.announce(info_hash, port=1000, left=0, event=COMPLETED)
    assert server.stats()["completed"] == 4
    server.restart()
    assert server.stats()["completed"] == 4


def test_completed_counts_may_be_left_out_of_the_database(servers):
    server = servers({"tracker": {"persist_completed": False}})
    info_hash = new_hash()
    with server.udp_client() as udp:
        udp.announce(info_hash)
        udp.announce(info_hash, left=0, event=COMPLETED)
        assert udp.scrape([info_hash]) == [(1, 1, 0)]
    server.restart()
    with server.udp_client() as udp:
        udp.announce(info_hash)
        assert udp.scrape([info_hash]) == [(0, 0, 1)]


def test_the_completed_count_outlives_the_swarm(servers):
    server = servers()
    info_hash = new_hash()
    with server.udp_client() as udp:
        udp.announce(info_hash)
        udp.announce(info_hash, left=0, event=COMPLETED)
        udp.announce(info_hash, left=0, event=STOPPED)
        assert server.stats()["torrents"] == 0
        udp.announce(info_hash, port=1000)
        assert udp.scrape([info_hash]) == [(0, 1, 1)]


# ---- methods, paths, limits

ROUTES = [("/api/stats", {"GET", "HEAD"}), ("/api/torrents", {"GET", "HEAD"}),
          ("/api/torrent/" + "a" * 40, {"GET", "HEAD"}),
          ("/api/whitelist/" + "a" * 40, {"POST", "DELETE"}),
          ("/api/key/3600", {"POST", "DELETE"}),
          ("/api/v1/stats", {"GET", "HEAD"}), ("/api/v1/keys", {"GET", "HEAD", "POST"}),
          ("/api/v1/whitelist", {"GET", "HEAD", "POST"}),
          ("/api/v1/torrent/" + "a" * 40, {"GET", "HEAD", "DELETE"})]


@pytest.mark.parametrize("path, allowed", ROUTES)
def test_a_wrong_method(server, path, allowed):
    for method in {"PUT", "PATCH", "POST", "DELETE", "GET"} - allowed:
        response = server.api(method, path, body=b"")
        assert response.status == 405, (method, path)
        named = {m.strip() for m in response.headers["allow"].split(",")}
        assert named - {"OPTIONS"} == allowed


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/stats/x", "/api/torrent",
                                  "/api/whitelist/" + "a" * 40 + "/x", "/apistats", "/nothing",
                                  "/api/statsx", "/api/key/"])
def test_an_unknown_path(server, path):
    assert server.api("GET", path).status == 404


def test_head(server, udp):
    info_hash = new_hash()
    udp.announce(info_hash)
    for path in (f"/api/torrent/{info_hash.hex()}", "/api/stats", "/api/v1/stats",
                 "/api/health_check"):
        got, headed = server.api("GET", path), server.api("HEAD", path)
        assert (headed.status, headed.body) == (200, b"")
        assert headed.headers["content-type"] == got.headers["content-type"]
    assert server.api("HEAD", "/api/torrent/" + "e" * 40).status == 404


@pytest.fixture
def small_bodies(shared_servers):
    return shared_servers.once("small bodies", {"api": {"max_body": 4096}})


@pytest.mark.parametrize("path", ["/api/v1/keys", "/api/v1/whitelist"])
def test_a_body_over_the_limit(small_bodies, path):
    headers = {"Content-Type": "application/json"}
    assert small_bodies.api("POST", path, body=b"[" + b" " * 4095 + b"]",
                            headers=headers).status == 413
    refused = small_bodies.api("POST", path, body=b" " * 5000, headers=headers, token="wrong",
                               source=stranger())
    assert refused.status == 500, "the token comes before the size"
    assert small_bodies.stats()["torrents"] == 0


def test_a_chunked_body_over_the_limit(small_bodies):
    with Connection(small_bodies.api_address()) as connection:
        connection.send(head("POST", "/api/v1/whitelist", connection.address, {
            "Transfer-Encoding": "chunked", "Content-Type": "application/json", **AUTH}))
        try:
            for _ in range(5):
                connection.send(b"400\r\n" + b" " * 1024 + b"\r\n")
            assert connection.response().status == 413
        except (BrokenPipeError, ConnectionError) as e:
            raise AssertionError(f"no answer: {e}") from e


def test_expect_100_continue(server):
    body = json.dumps({"key": None, "seconds_valid": 60}).encode()
    with Connection(server.api_address()) as connection:
        connection.send(head("POST", "/api/v1/keys", connection.address, {
            "Expect": "100-continue", "Content-Type": "application/json", **AUTH}, body))
        go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert connection.socket.recv(len(go_on), socket.MSG_WAITALL) == go_on
        connection.send(body)
        assert connection.response().status == 200


def test_keep_alive_and_pipelining(server):
    with Connection(server.api_address()) as connection:
        requests = [head("GET", path, connection.address, AUTH)
                    for path in ("/api/stats", "/api/torrent/" + "e" * 40, "/api/stats")]
        connection.send(b"".join(requests))
        assert [connection.response().status for _ in requests] == [200, 404, 200]


def test_http_1_0(server):
    with Connection(server.api_address()) as connection:
        connection.send(f"GET /api/stats?token={TOKEN} HTTP/1.0\r\n\r\n".encode())
        response = connection.response()
        assert response.status == 200 and sorted(response.json()) == sorted(STATS)
        assert connection.is_closed()


def test_a_caller_who_leaves_in_the_middle(crowded):
    server, hashes = crowded
    for _ in range(20):
        with Connection(server.api_address()) as connection:
            connection.send(head("GET", "/api/torrents", connection.address, AUTH))
    assert len(server.get("/api/torrents")) == len(hashes)


# ---- browsers


@pytest.fixture
def with_origins(shared_servers):
    return shared_servers.once("origins", {"api": {"cors_origins": ["http://panel.example"]}})


@pytest.mark.parametrize("origin, allowed", [
    ("http://panel.example", "http://panel.example"), ("http://evil.example", None),
    ("https://panel.example", None), ("http://panel.example.evil.example", None),
    ("null", None)])
def test_origins_of_browsers(with_origins, origin, allowed):
    name = "access-control-allow-origin"
    asked = with_origins.api("OPTIONS", "/api/v1/keys", token=None, headers={
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type"})
    assert asked.headers.get(name) == allowed
    if allowed:
        assert asked.status == 204
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    got = with_origins.api("GET", "/api/stats", headers={"Origin": origin})
    assert got.headers.get(name) == allowed
    exposed = got.headers.get("access-control-expose-headers")
    assert exposed == ("location, retry-after" if allowed else None)


@pytest.mark.parametrize("header", ["authorization", "content-type", "infohash", "deletedata",
                                    "downrate", "uprate", "time"])
def test_headers_that_pages_may_send(with_origins, header):
    asked = with_origins.api("OPTIONS", "/remove", token=None, headers={
        "Origin": "http://panel.example", "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": header})
    assert asked.status == 204
    assert header in asked.headers["access-control-allow-headers"].split(", ")


# ---- what is beside the Torrust routes


def test_health_check(server):
    response = server.api("GET", "/api/health_check", token=None)
    assert (response.status, response.json()) == (200, {"status": "Ok"})
    response = server.api("GET", "/health_check")
    assert response.status == 200 and "Ok" in response.text


def test_the_root_page(server):
    response = server.api("GET", "/", token=None)
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert "/api" in response.text


def test_tls_connections_that_are_reset_go_away(servers, tmp_path):
    made = make_certificate(tmp_path)
    server = servers({"api": {"tls": made.section}})
    for _ in range(20):
        with Connection(server.api_address(), tls=made.context) as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
    eventually(lambda: open_connections(server, made) == 1)


def open_connections(server, made):
    with Connection(server.api_address(), tls=made.context) as connection:
        lines = connection.request("GET", "/metrics", AUTH).text.splitlines()
    return next(int(line.split()[1]) for line in lines
                if line.startswith("rookery_api_connections "))


def test_tls(servers, tmp_path):
    made = make_certificate(tmp_path)
    server = servers({"api": {"tls": made.section}})
    with Connection(server.api_address(), tls=made.context) as connection:
        assert connection.request("GET", f"/api/stats?token={TOKEN}").status == 200

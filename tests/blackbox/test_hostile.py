"""Random and mutated bytes in every door: bounded refusals, steady memory, service goes on."""

import random
import struct

import pytest

from lib.http import Connection, HttpTracker, announce_query, head, scrape_query
from lib.ids import new_hash
from lib.rookery import AUTH, TOKEN
from lib.udp import CONNECT, PROTOCOL_ID, SCRAPE, Announce, url_data

MESSAGES = 10_000
RSS_GROWTH_MAX_KIB = 32 << 10  # from the first half of the messages to the second
SEEDS = [1, 2]  # one for each half
EDGES = [0, 1, 2, 0x7F, 0x80, 0xFF]


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers({"tracker": {"mode": "public"}})


def is_alive(server):
    """Every door still serves."""
    info_hash = new_hash()
    with server.udp_client() as udp, server.http_client() as http:
        udp.announce(info_hash, port=1000)
        assert http.announce(info_hash, port=1001).peers == [("127.0.0.1", 1000)]
    assert server.get(f"/api/torrent/{info_hash.hex()}")["leechers"] == 2


def hold_steady(server, attack):
    """attack(rng, n) twice; memory must not grow from the first time to the second."""
    sizes = []
    for seed in SEEDS:
        attack(random.Random(seed), MESSAGES // len(SEEDS))
        is_alive(server)
        sizes.append(server.rss_kib)
    assert sizes[1] - sizes[0] < RSS_GROWTH_MAX_KIB, sizes


def mutate(rng, data):
    """A few small changes: bytes set, bits flipped, pieces cut, doubled or put in."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice(EDGES)
        elif kind == 2:
            del data[at:at + rng.randint(1, 20)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 20))
        elif kind == 4:
            data[at:at] = data[at:at + rng.randint(1, 60)]
        else:
            del data[at:]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


# ---- UDP


def flood(server, make, n):
    """Send n datagrams, a few at a time, so that the socket's buffer drops none of them."""
    with server.udp_client() as udp:
        udp.connect()
        for _ in range(n // 50):
            udp.answers_before_connect(*[make(udp) for _ in range(50)])


def test_random_datagrams(server):
    def attack(rng, n):
        def make(udp):
            data = rng.randbytes(rng.choice([0, 1, 15, 16, 17, 36, 98, 99, 120, 512, 1500, 4000]))
            if rng.random() < 0.5 and len(data) >= 12:  # past the first check
                data = struct.pack(">QI", udp.connection_id, rng.randrange(5)) + data[12:]
            return data
        flood(server, make, n)
    hold_steady(server, attack)


def test_mutated_datagrams(server):
    def attack(rng, n):
        known = [rng.randbytes(20) for _ in range(10)]

        def make(udp):
            cid, tid = udp.connection_id, rng.getrandbits(32)
            whole = rng.choice([
                struct.pack(">QII", PROTOCOL_ID, CONNECT, tid),
                Announce(rng.choice(known), port=rng.randint(1, 50)).encode(cid, tid),
                Announce(rng.choice(known), event=rng.randrange(5), left=0, numwant=200,
                         options=url_data("/announce/" + "k" * 32)).encode(cid, tid),
                struct.pack(">QII", cid, SCRAPE, tid) + b"".join(rng.choices(known, k=20)),
            ])
            # Half of them keep the connection id whole, so that what is behind it is reached.
            if rng.random() < 0.5:
                return whole[:8] + mutate(rng, whole[8:])
            return mutate(rng, whole)
        flood(server, make, n)
    hold_steady(server, attack)


# ---- HTTP


def shout(address, data):
    """Send and read whatever comes; a cut connection is a fine answer."""
    try:
        with Connection(address) as connection:
            connection.send(data)
            connection.socket.shutdown(1)
            connection.read_to_end()
    except (ConnectionError, BrokenPipeError):
        pass


def random_request(rng):
    data = rng.randbytes(rng.choice([1, 10, 100, 1000, 9000]))
    if rng.random() < 0.5:
        data = b"GET /announce?" + data.replace(b"\n", b"").replace(b"\r", b"") + \
            b" HTTP/1.1\r\nHost: x\r\n\r\n"
    return data


def test_random_http_requests(server):
    def attack(rng, n):
        for _ in range(n):
            shout(server.http_address(), random_request(rng))
    hold_steady(server, attack)


def test_mutated_http_requests(server):
    address = server.http_address()

    def attack(rng, n):
        known = [rng.randbytes(20) for _ in range(10)]
        for _ in range(n):
            query = announce_query(rng.choice(known), port=rng.randint(1, 50), numwant=200,
                                   compact=rng.randint(0, 1), event="completed")
            whole = rng.choice([
                head("GET", "/announce?" + query, address),
                head("HEAD", "/announce/" + "k" * 32 + "?" + query, address),
                head("GET", "/scrape?" + scrape_query(rng.choices(known, k=5)), address),
                head("GET", "/announce?" + query, address, {
                    "X-Forwarded-For": "1.2.3.4, ::1", "Connection": "keep-alive"}) * 2,
            ])
            shout(address, mutate(rng, whole))
    hold_steady(server, attack)


def test_mutated_queries_on_one_connection(server):
    """Requests that are good HTTP with a bad query keep the connection."""
    rng = random.Random(3)
    with HttpTracker(server.http_address()) as http:
        for _ in range(MESSAGES // 5):
            query = mutate(rng, announce_query(rng.randbytes(20)).encode())
            query = "".join(chr(b) if 0x20 < b < 0x7F and b != 0x23 else f"%{b:02x}" for b in query)
            response = http.get("/announce?" + query)
            assert response.status == 200, query
    is_alive(server)


# ---- API


def test_garbage_for_the_api(server):
    address = server.api_address()

    def attack(rng, n):
        for _ in range(n // 10):
            body = rng.choice([b"[" * 2000, b'{"key":null,"seconds_valid":60}', rng.randbytes(300),
                               b'["' + b"a" * 40 + b'","' + b"b" * 39 + b'"]'])
            whole = rng.choice([
                head("GET", f"/api/torrents?offset=1&limit=2&token={TOKEN}", address),
                head("GET", "/api/v1/torrent/" + rng.randbytes(20).hex(), address, AUTH),
                head("POST", "/api/v1/keys", address, {
                    **AUTH, "Content-Type": "application/json"}, body) + body,
                head("POST", "/api/v1/whitelist", address, AUTH, body) + body,
                head("DELETE", "/api/key/" + "k" * 32, address, AUTH),
                head("POST", "/api/whitelist/" + "%41" * 40, address, AUTH),
                rng.randbytes(200),
            ])
            shout(address, mutate(rng, whole))
    hold_steady(server, attack)
    server.check_sanitizers()


def test_many_connections_that_say_nothing(server):
    quiet = [Connection(server.http_address()) for _ in range(200)]
    quiet += [Connection(server.api_address()) for _ in range(100)]
    try:
        is_alive(server)
    finally:
        for connection in quiet:
            connection.close()

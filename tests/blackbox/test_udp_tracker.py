"""The UDP tracker: BEP 15, BEP 41, and what it keeps to itself."""

import struct

import pytest

from lib.ids import new_hash, new_key, new_peer_id
from lib.udp import (ANNOUNCE, COMPLETED, CONNECT, ERROR, PROTOCOL_ID, SCRAPE, STARTED, STOPPED,
                     Announce, TrackerError, add_peers, url_data)
from lib.wait import eventually

MANY = {"tracker": {"max_numwant": 1000}}


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers()


@pytest.fixture(params=[False, True], ids=["v4", "v6"])
def client(server, request):
    with server.udp_client(v6=request.param) as client:
        yield client


@pytest.fixture
def listed(shared_servers):
    return shared_servers.once("listed", {"tracker": {"mode": "listed"}})


@pytest.fixture
def private(shared_servers):
    return shared_servers.once("private", {"tracker": {"mode": "private"}})


@pytest.fixture
def private_listed(shared_servers):
    return shared_servers.once("private_listed", {"tracker": {"mode": "private_listed"}})


def here(client, port):
    return (client.socket.getsockname()[0], port)


# ---- connection ids


def test_connect(client):
    tid = client.next_transaction_id()
    action, answer = client.exchange(struct.pack(">QII", PROTOCOL_ID, CONNECT, tid), tid)
    assert (action, len(answer)) == (CONNECT, 16)


def test_a_connect_with_more_behind_it_is_a_connect(client):
    tid = client.next_transaction_id()
    action, _ = client.exchange(struct.pack(">QII", PROTOCOL_ID, CONNECT, tid) + b"more", tid)
    assert action == CONNECT


def test_an_id_serves_every_port_of_its_address(server):
    with server.udp_client("127.0.0.5") as one, server.udp_client("127.0.0.5") as other:
        other.connection_id = one.connect()
        assert other.announce(new_hash()).leechers == 1


def test_an_id_serves_no_other_address(server):
    with server.udp_client("127.0.0.5") as one, server.udp_client("127.0.0.6") as other:
        stolen = one.connect()
        info_hash = new_hash()
        assert other.answers_before_connect(Announce(info_hash).encode(stolen, 7)) == []
        assert other.scrape([info_hash]) == [(0, 0, 0)]


def test_an_id_of_the_other_family(server):
    with server.udp_client() as v4, server.udp_client(v6=True) as v6:
        assert v6.answers_before_connect(Announce(new_hash()).encode(v4.connect(), 7)) == []


@pytest.mark.parametrize("flip", [1, 1 << 31, 1 << 32, 1 << 63])
def test_a_wrong_id_is_met_with_silence(client, flip):
    wrong = client.connect() ^ flip
    info_hash = new_hash()
    assert client.answers_before_connect(
        Announce(info_hash).encode(wrong, 7),
        struct.pack(">QII", wrong, SCRAPE, 8) + info_hash,
        struct.pack(">QII", wrong, 99, 9)) == []
    assert client.scrape([info_hash]) == [(0, 0, 0)]


def test_wrong_ids_are_counted(server):
    def dropped():
        text = server.api("GET", "/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if "connection_id" in line and not line.startswith("#"))
    before = dropped()
    with server.udp_client() as client:
        client.answers_before_connect(*[Announce(new_hash()).encode(n, n) for n in range(5)])
    assert dropped() == before + 5


def test_an_id_expires(servers):
    server = servers({"tracker": {"connection_id_lifetime": 1}})
    with server.udp_client() as client:
        info_hash = new_hash()
        old = client.connect()
        datagram = Announce(info_hash).encode(old, 7)
        assert len(client.answers_before_connect(datagram)) == 1, "good while it is fresh"
        eventually(lambda: client.answers_before_connect(datagram) == [], 4, "expired")
        client.connect()
        assert client.announce(info_hash).leechers == 1, "a new one is good"


# ---- silence


@pytest.mark.parametrize("junk", [
    b"", b"\0", b"junk", b"\0" * 15, b"\0" * 16, b"\xff" * 16, b"\xff" * 98, b"\0" * 2000,
    struct.pack(">QII", PROTOCOL_ID + 1, CONNECT, 1), struct.pack(">QI", PROTOCOL_ID, CONNECT),
    struct.pack(">QII", PROTOCOL_ID, ANNOUNCE, 1), struct.pack(">QII", PROTOCOL_ID, SCRAPE, 1),
    struct.pack(">QII", PROTOCOL_ID, ERROR, 1) + b"text", b"d1:ad2:id20:" + b"x" * 80,
])
def test_junk_is_met_with_silence(client, junk):
    assert client.answers_before_connect(junk) == []


def test_what_a_verified_source_gets_wrong_it_is_told(client):
    connection_id = client.connect()
    request = Announce(new_hash(), port=0).encode(connection_id, 4711)
    answers = client.answers_before_connect(request)
    assert len(answers) == 1
    assert struct.unpack_from(">II", answers[0]) == (ERROR, 4711)
    assert b"port" in answers[0][8:]


# ---- announces and scrapes


def test_peers_find_each_other(client):
    info_hash = new_hash()
    first = client.announce(info_hash, port=1000, event=STARTED)
    assert (first.seeders, first.leechers, first.peers) == (0, 1, [])
    second = client.announce(info_hash, port=1001, left=0)
    assert (second.seeders, second.leechers) == (1, 1)
    assert second.peers == [here(client, 1000)]
    assert client.announce(info_hash, port=1000).peers == [here(client, 1001)]
    assert client.scrape([info_hash]) == [(1, 0, 1)]


def test_identity_is_address_and_port(server):
    info_hash = new_hash()
    with server.udp_client("127.0.0.5") as one, server.udp_client("127.0.0.6") as other:
        peer_id = new_peer_id()
        one.announce(info_hash, port=1000, peer_id=peer_id)
        one.announce(info_hash, port=1000, peer_id=new_peer_id())
        assert one.scrape([info_hash]) == [(0, 0, 1)], "one endpoint is one peer"
        other.announce(info_hash, port=1000, peer_id=peer_id)
        one.announce(info_hash, port=1001, peer_id=peer_id)
        assert one.scrape([info_hash]) == [(0, 0, 3)], "a peer id is nobody"


def test_the_ip_field_is_ignored(server):
    info_hash = new_hash()
    with server.udp_client("127.0.0.5") as one:
        one.announce(info_hash, port=1000, ip=0x01020304)
        assert one.announce(info_hash, port=1001).peers == [("127.0.0.5", 1000)]


def test_families_are_apart_on_udp(server):
    """A BEP 15 answer has room for one family only; the counts are of both."""
    info_hash = new_hash()
    with server.udp_client() as v4, server.udp_client(v6=True) as v6:
        v4.announce(info_hash, port=1000)
        answer = v6.announce(info_hash, port=1001)
        assert (answer.peers, answer.leechers) == ([], 2)
        assert v6.announce(info_hash, port=1002).peers == [("::1", 1001)]
        assert v4.announce(info_hash, port=1003).peers == [("127.0.0.1", 1000)]


def test_nobody_is_given_itself(client):
    info_hash = new_hash()
    add_peers(client, info_hash, range(1000, 1010))
    for port in range(1000, 1010):
        found = client.announce(info_hash, port=port).peers
        assert sorted(found) == [here(client, p) for p in range(1000, 1010) if p != port]


def test_seeders_get_leechers_only(client):
    info_hash = new_hash()
    add_peers(client, info_hash, range(1000, 1005), left=0)
    add_peers(client, info_hash, range(2000, 2005))
    leechers = [here(client, port) for port in range(2000, 2005)]
    seeders = [here(client, port) for port in range(1000, 1005)]
    assert sorted(client.announce(info_hash, port=1000, left=0).peers) == leechers
    assert sorted(client.announce(info_hash, port=2000).peers) == sorted(seeders + leechers[1:])


def test_stopped_removes_at_once(client):
    info_hash = new_hash()
    client.announce(info_hash, port=1000)
    client.announce(info_hash, port=1001, left=0)
    stopped = client.announce(info_hash, port=1000, event=STOPPED)
    assert (stopped.seeders, stopped.leechers) == (1, 0)
    assert client.scrape([info_hash]) == [(1, 0, 0)]
    assert client.announce(info_hash, port=1002).peers == [here(client, 1001)]


def test_stopped_never_creates(client):
    info_hash = new_hash()
    answer = client.announce(info_hash, event=STOPPED)
    assert (answer.seeders, answer.leechers, answer.peers) == (0, 0, [])
    assert client.scrape([info_hash]) == [(0, 0, 0)]


def test_an_unknown_event_is_none(client):
    info_hash = new_hash()
    assert client.announce(info_hash, event=77).leechers == 1


def test_completed_counts_a_known_leecher_once(client):
    info_hash = new_hash()
    client.announce(info_hash, event=STARTED)
    client.announce(info_hash, left=0, event=COMPLETED)
    assert client.scrape([info_hash]) == [(1, 1, 0)]
    client.announce(info_hash, left=0, event=COMPLETED)
    client.announce(info_hash, left=0)
    assert client.scrape([info_hash]) == [(1, 1, 0)]
    client.announce(info_hash, port=1001)
    client.announce(info_hash, port=1001, left=0, event=COMPLETED)
    assert client.scrape([info_hash]) == [(2, 2, 0)]


def test_completed_as_first_contact_counts_nothing(client):
    info_hash = new_hash()
    client.announce(info_hash, left=0, event=COMPLETED)
    assert client.scrape([info_hash]) == [(1, 0, 0)]
    client.announce(info_hash, left=0, event=COMPLETED)
    assert client.scrape([info_hash]) == [(1, 0, 0)], "nor later in that download"


def test_a_new_download_counts_again(client):
    info_hash = new_hash()
    client.announce(info_hash, port=1001, left=0)  # keeps the swarm
    for _ in range(2):
        client.announce(info_hash, event=STARTED)
        client.announce(info_hash, left=0, event=COMPLETED)
        client.announce(info_hash, left=0, event=STOPPED)
    assert client.scrape([info_hash]) == [(1, 2, 0)]


def test_scrape_keeps_order_and_duplicates(client):
    one, two, unknown = new_hash(), new_hash(), new_hash()
    client.announce(one)
    client.announce(two, port=1000, left=0)
    client.announce(two, port=1001, left=0)
    asked = [two, unknown, one, two, two, unknown]
    counts = {one: (0, 0, 1), two: (2, 0, 0), unknown: (0, 0, 0)}
    assert client.scrape(asked) == [counts[h] for h in asked]
    assert client.scrape(asked[::-1]) == [counts[h] for h in asked[::-1]]


def test_scrape_takes_74_and_no_more(client):
    info_hash = new_hash()
    client.announce(info_hash)
    hashes = [new_hash() for _ in range(73)] + [info_hash]
    assert client.scrape(hashes) == [(0, 0, 0)] * 73 + [(0, 0, 1)]
    with pytest.raises(TrackerError):
        client.scrape(hashes + [new_hash()])


def test_max_scrape_is_configurable(servers):
    server = servers({"tracker": {"max_scrape": 2}})
    with server.udp_client() as client:
        assert client.scrape([new_hash(), new_hash()]) == [(0, 0, 0)] * 2
        with pytest.raises(TrackerError):
            client.scrape([new_hash(), new_hash(), new_hash()])


# ---- how many peers


@pytest.mark.parametrize("numwant, given", [
    (-1, 50), (-2, 50), (-2147483648, 50), (0, 0), (1, 1), (7, 7), (99, 99), (100, 100),
    (101, 100), (2147483647, 100),
])
def test_numwant_on_ipv4(server, numwant, given):
    info_hash = new_hash()
    with server.udp_client() as client:
        add_peers(client, info_hash, range(1000, 1110))
        answer = client.announce(info_hash, port=999, numwant=numwant)
        assert len(answer.peers) == len(set(answer.peers)) == given
        assert answer.leechers == 111


@pytest.mark.parametrize("v6, most", [(False, (1232 - 20) // 6), (True, (1232 - 20) // 18)])
def test_an_answer_fits_1232_bytes(shared_servers, v6, most):
    server = shared_servers.once("many", MANY)
    info_hash = new_hash()
    with server.udp_client(v6=v6) as client:
        add_peers(client, info_hash, range(1000, 1300))
        answer = client.announce(info_hash, port=999, numwant=1000)
        assert len(set(answer.peers)) == most
        assert answer.datagram_len <= 1232


def test_selection_is_even_over_the_swarm(client):
    """200 answers of 10 out of 40 peers: each peer is expected 50 times."""
    info_hash = new_hash()
    add_peers(client, info_hash, range(1000, 1040))
    seen = dict.fromkeys(range(1000, 1040), 0)
    for _ in range(200):
        for _, port in client.announce(info_hash, port=999, numwant=10).peers:
            seen[port] += 1
    assert min(seen.values()) > 20 and max(seen.values()) < 90, seen


def test_interval_has_jitter(servers):
    server = servers({"tracker": {"announce_interval": 1000}})
    with server.udp_client() as client:
        info_hash = new_hash()
        intervals = {client.announce(info_hash).interval for _ in range(50)}
    assert min(intervals) >= 1000 and max(intervals) <= 1100
    assert len(intervals) > 5


def test_a_silent_peer_is_dropped(servers):
    server = servers({"tracker": {"peer_timeout": 1}})
    info_hash, kept = new_hash(), new_hash()
    with server.udp_client() as client:
        client.announce(info_hash)
        client.announce(kept)

        def is_dropped():
            client.announce(kept)
            return client.scrape([info_hash, kept]) == [(0, 0, 0), (0, 0, 1)]
        eventually(is_dropped, 10)
        assert client.announce(info_hash, port=1000).peers == []


def test_external_ip(servers):
    server = servers({"tracker": {"external_ip": "192.0.2.77"}})
    info_hash = new_hash()
    with server.udp_client("127.0.0.5") as one, server.udp_client(v6=True) as v6:
        one.announce(info_hash, port=1000)
        assert one.announce(info_hash, port=1001).peers == [("192.0.2.77", 1000)]
        v6.announce(info_hash, port=1002)
        assert v6.announce(info_hash, port=1003).peers == [("::1", 1002)], "no IPv6 to replace it"


# ---- whitelist


def test_listed_refuses_what_is_not_listed(listed):
    info_hash = new_hash()
    with listed.udp_client() as client:
        with pytest.raises(TrackerError, match="whitelist"):
            client.announce(info_hash)
        assert client.scrape([info_hash]) == [(0, 0, 0)]
        listed.ok("POST", f"/api/whitelist/{info_hash.hex()}")
        assert client.announce(info_hash).leechers == 1
        assert client.scrape([info_hash]) == [(0, 0, 1)]


def test_removed_from_the_whitelist(listed):
    info_hash = new_hash()
    listed.ok("POST", f"/api/whitelist/{info_hash.hex()}")
    with listed.udp_client() as client:
        client.announce(info_hash)
        listed.ok("DELETE", f"/api/whitelist/{info_hash.hex()}")
        with pytest.raises(TrackerError, match="whitelist"):
            client.announce(info_hash)
        assert client.scrape([info_hash]) == [(0, 0, 0)]
        assert listed.api("GET", f"/api/torrent/{info_hash.hex()}").status == 404, "peers dropped"
        listed.ok("POST", f"/api/whitelist/{info_hash.hex()}")
        assert client.announce(info_hash, port=1000).peers == []


# ---- keys (BEP 41)

KEY_FORMS = ["/{key}", "/announce/{key}", "/{key}/announce"]


@pytest.mark.parametrize("query", ["", "?", "?a=b&c=/d"])
@pytest.mark.parametrize("form", KEY_FORMS)
def test_a_key_in_url_data(private, form, query):
    path = form.format(key=private.new_key()) + query
    with private.udp_client() as client:
        assert client.announce(new_hash(), options=url_data(path)).leechers == 1


@pytest.mark.parametrize("wrap", [
    lambda path: url_data(path, chunk=7),
    lambda path: b"\1\1\1" + url_data(path) + b"\1",
    lambda path: url_data(path) + b"\0" + b"anything at all",
    lambda path: b"\x63\x03abc" + url_data(path),
], ids=["in pieces", "among no-ops", "before the end", "after an unknown option"])
def test_the_options_around_a_key(private, wrap):
    options = wrap("/announce/" + private.new_key())
    with private.udp_client() as client:
        assert client.announce(new_hash(), options=options).leechers == 1


@pytest.mark.parametrize("make", [
    lambda key: b"",
    lambda key: url_data("/"),
    lambda key: url_data("/announce"),
    lambda key: url_data("/announce?key=" + key),
    lambda key: url_data("/" + new_key()),
    lambda key: url_data("/" + key[:-1]),
    lambda key: url_data("/" + key + "x"),
    lambda key: url_data("/" + key.swapcase()),
    lambda key: url_data("/scrape/" + key),
    lambda key: b"\0" + url_data("/" + key),
], ids=["none", "root", "announce", "in the query", "unknown", "too short", "too long",
        "other case", "scrape", "behind the end"])
def test_without_a_good_key(private, make):
    info_hash = new_hash()
    with private.udp_client() as client:
        with pytest.raises(TrackerError, match="key"):
            client.announce(info_hash, options=make(private.new_key()))
    assert private.api("GET", f"/api/torrent/{info_hash.hex()}").status == 404


def test_a_scrape_in_private_mode_shows_nothing(private):
    info_hash = new_hash()
    with private.udp_client() as client:
        client.announce(info_hash, options=url_data("/" + private.new_key()))
        assert client.scrape([info_hash]) == [(0, 0, 0)]


def test_a_deleted_key_stops_working_at_once(private):
    key, info_hash = private.new_key(), new_hash()
    with private.udp_client() as client:
        assert client.announce(info_hash, options=url_data("/" + key)).leechers == 1
        private.ok("DELETE", f"/api/key/{key}")
        with pytest.raises(TrackerError, match="key"):
            client.announce(info_hash, options=url_data("/" + key))


def test_an_expired_key_stops_working(private):
    key, info_hash = private.new_key(seconds=1), new_hash()

    def is_refused():
        try:
            client.announce(info_hash, options=url_data("/" + key))
        except TrackerError as e:
            return "key" in str(e)
        return False
    with private.udp_client() as client:
        assert not is_refused()
        eventually(is_refused, 4)


def test_private_listed_asks_for_both(private_listed):
    server, info_hash = private_listed, new_hash()
    options = url_data("/announce/" + server.new_key())
    with server.udp_client() as client:
        with pytest.raises(TrackerError, match="whitelist"):
            client.announce(info_hash, options=options)
        server.ok("POST", f"/api/whitelist/{info_hash.hex()}")
        with pytest.raises(TrackerError, match="key"):
            client.announce(info_hash)
        assert client.announce(info_hash, options=options).leechers == 1


def test_url_data_is_harmless_in_public_mode(client):
    assert client.announce(new_hash(), options=url_data("/announce/" + new_key())).leechers == 1

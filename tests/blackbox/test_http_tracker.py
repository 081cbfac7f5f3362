"""The HTTP tracker: announces, scrapes, and who is believed to ask."""

import pytest

from lib import bencode
from lib.http import Failure, announce_query
from lib.ids import new_hash, new_key, new_peer_id
from lib.udp import COMPLETED, add_peers


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers()


@pytest.fixture(params=[False, True], ids=["v4", "v6"])
def client(server, request):
    with server.http_client(v6=request.param) as client:
        client.host = "::1" if request.param else "127.0.0.1"
        yield client


@pytest.fixture
def http(server):
    with server.http_client() as client:
        yield client


@pytest.fixture
def listed(shared_servers):
    return shared_servers.once("listed", {"tracker": {"mode": "listed"}})


@pytest.fixture
def private(shared_servers):
    return shared_servers.once("private", {"tracker": {"mode": "private"}})


# ---- announces


def test_peers_find_each_other(client):
    info_hash = new_hash()
    first = client.announce(info_hash, port=1000, event="started")
    assert (first.seeders, first.leechers, first.peers) == (0, 1, [])
    second = client.announce(info_hash, port=1001, left=0)
    assert (second.seeders, second.leechers) == (1, 1)
    assert second.peers == [(client.host, 1000)]
    assert client.announce(info_hash, port=1000).peers == [(client.host, 1001)]
    stopped = client.announce(info_hash, port=1000, event="stopped")
    assert (stopped.seeders, stopped.leechers) == (1, 0)
    assert client.scrape([info_hash]) == {info_hash: (1, 0, 0)}


def test_udp_and_http_share_the_swarms(server, http):
    info_hash = new_hash()
    with server.udp_client("127.0.0.5") as udp:
        udp.announce(info_hash, port=1000)
        assert http.announce(info_hash, port=1001, left=0).peers == [("127.0.0.5", 1000)]
        assert udp.announce(info_hash, port=1000).peers == [("127.0.0.1", 1001)]


def test_the_form_of_an_answer(server, http):
    info_hash = new_hash()
    response = http.get("/announce?" + announce_query(info_hash))
    assert response.status == 200
    assert response.headers["content-length"] == str(len(response.body))
    reply = bencode.decode(response.body)  # refuses keys that are not sorted
    assert reply.keys() >= {b"complete", b"incomplete", b"interval", b"min interval", b"peers"}
    assert b"peers6" not in reply
    assert 1800 <= reply[b"interval"] <= 1980
    assert reply[b"min interval"] == 300

    with server.http_client(v6=True) as v6:
        v6.announce(info_hash, port=1000)
    reply = http.announce(info_hash).raw
    assert reply[b"peers"] == b""
    assert reply[b"peers6"] == bytes(15) + b"\1" + (1000).to_bytes(2, "big")


def test_both_families_are_given_to_both(server):
    info_hash = new_hash()
    with server.http_client() as v4, server.http_client(v6=True) as v6:
        v4.announce(info_hash, port=1000)
        v6.announce(info_hash, port=1000)
        everybody = [("127.0.0.1", 1000), ("::1", 1000)]
        assert sorted(v4.announce(info_hash, port=1001).peers) == everybody
        assert sorted(v6.announce(info_hash, port=1002).peers) == everybody[:1] + [
            ("127.0.0.1", 1001)] + everybody[1:]


def test_not_compact(server, http):
    info_hash, peer_id = new_hash(), new_peer_id()
    http.announce(info_hash, port=1000, peer_id=peer_id)
    with server.http_client(v6=True) as v6:
        v6.announce(info_hash, port=1001, peer_id=peer_id)
    reply = http.announce(info_hash, port=1002, compact=0).raw
    assert sorted(reply[b"peers"], key=lambda p: p[b"port"]) == [
        {b"ip": b"127.0.0.1", b"peer id": peer_id, b"port": 1000},
        {b"ip": b"::1", b"peer id": peer_id, b"port": 1001}]
    reply = http.announce(info_hash, port=1002, compact=0, no_peer_id=1).raw
    assert {b"ip": b"127.0.0.1", b"port": 1000} in reply[b"peers"]
    assert isinstance(http.announce(info_hash, port=1002, compact=1).raw[b"peers"], bytes)


@pytest.mark.parametrize("numwant, given", [
    (None, 50), (-1, 50), (0, 0), (7, 7), (100, 100), (101, 100), (2147483647, 100)])
def test_numwant(server, http, numwant, given):
    info_hash = new_hash()
    with server.udp_client() as udp:
        add_peers(udp, info_hash, range(1000, 1110))
    found = http.announce(info_hash, port=999, numwant=numwant).peers
    assert len(found) == len(set(found)) == given


def test_numwant_is_for_both_families_together(server, http):
    info_hash = new_hash()
    with server.udp_client() as v4, server.udp_client(v6=True) as v6:
        add_peers(v4, info_hash, range(1000, 1030))
        add_peers(v6, info_hash, range(1000, 1030))
    found = http.announce(info_hash, port=999, numwant=20).peers
    assert len(set(found)) == 20
    assert {host for host, _ in found} == {"127.0.0.1", "::1"}


def test_seeders_get_leechers_only(http):
    info_hash = new_hash()
    http.announce(info_hash, port=1000, left=0)
    http.announce(info_hash, port=1001)
    assert http.announce(info_hash, port=1002, left=0).peers == [("127.0.0.1", 1001)]


def test_missing_left_means_leecher(http):
    info_hash = new_hash()
    answer = http.announce(info_hash, left=None)
    assert (answer.seeders, answer.leechers) == (0, 1)


def test_only_what_is_needed(http):
    info_hash = new_hash()
    answer = http.announce(info_hash, left=None, uploaded=None, downloaded=None)
    assert answer.leechers == 1


@pytest.mark.parametrize("event", ["", "empty", "Started", "nonsense", "paused"])
def test_an_unknown_event_is_none(server, http, event):
    info_hash = new_hash()
    assert http.announce(info_hash, event=event).leechers == 1
    peers = server.get(f"/api/torrent/{info_hash.hex()}")["peers"]
    assert peers[0][1]["event"] == "None"


def test_completed(http):
    info_hash = new_hash()
    http.announce(info_hash, event="completed", left=0)
    assert http.scrape([info_hash])[info_hash] == (1, 0, 0), "first contact counts nothing"
    http.announce(info_hash, port=1001, event="started")
    http.announce(info_hash, port=1001, event="completed", left=0)
    http.announce(info_hash, port=1001, event="completed", left=0)
    assert http.scrape([info_hash])[info_hash] == (2, 1, 0)


@pytest.mark.parametrize("name, value", [
    ("info_hash", None), ("info_hash", ""), ("info_hash", bytes(19)), ("info_hash", bytes(21)),
    ("info_hash", "a" * 40), ("info_hash", "%zz" + "a" * 19), ("info_hash", "%4"),
    ("peer_id", None), ("peer_id", bytes(19)), ("peer_id", bytes(21)), ("peer_id", "%"),
    ("port", None), ("port", ""), ("port", 0), ("port", 65536), ("port", -1), ("port", "http"),
    ("port", "80x"), ("left", "-1"), ("left", "many"), ("left", "99999999999999999999"),
    ("uploaded", "x"), ("downloaded", "1.5"), ("numwant", "few"),
])
def test_a_failure_names_the_parameter(server, http, name, value):
    query = announce_query(new_hash(), **{name: value}) if name != "info_hash" else \
        announce_query(value)
    before = server.stats()["torrents"]
    response = http.get("/announce?" + query)
    assert response.status == 200
    reply = bencode.decode(response.body)
    assert name.encode() in reply[b"failure reason"], reply
    assert b"peers" not in reply and b"interval" not in reply
    assert server.stats()["torrents"] == before


@pytest.mark.parametrize("query", ["", "?", "?&&&", "?=", "?info_hash", "?%"])
def test_a_query_with_nothing_in_it(http, query):
    reply = bencode.decode(http.get("/announce" + query).body)
    assert b"info_hash" in reply[b"failure reason"]
    reply = bencode.decode(http.get("/scrape" + query).body)
    assert b"files" not in reply
    assert any(word in reply[b"failure reason"] for word in (b"scrape", b"info_hash"))


def test_tolerated_in_a_query(http):
    info_hash = new_hash()
    query = announce_query(info_hash, supportcrypto=1, key="A1B2", trackerid="x=y", ip="1.2.3.4",
                           ipv4="1.2.3.4", ipv6="%3a%3a2")
    assert b"peers" in bencode.decode(http.get(f"/announce?&{query}&&").body)
    answer = http.announce(info_hash, port=1000)
    assert answer.peers == [("127.0.0.1", 6881)], "addresses in parameters are ignored"


def test_the_first_of_a_repeated_parameter_wins(http):
    info_hash = new_hash()
    query = announce_query(info_hash) + "&port=7000&info_hash=" + "%00" * 20
    assert b"peers" in bencode.decode(http.get("/announce?" + query).body)
    assert http.announce(info_hash, port=1000).peers == [("127.0.0.1", 6881)]


@pytest.mark.parametrize("text, raw", [
    ("+" * 20, b"+" * 20),
    ("%2b" * 20, b"+" * 20),
    ("%2B+" * 10, b"+" * 20),
    ("%20" * 20, b" " * 20),
    ("%25%32%35" + "a" * 17, b"%25" + b"a" * 17),
    ("%00%ff%Ff%fF" + "%26%3d%3F%23" * 4, b"\0\xff\xff\xff" + b"&=?#" * 4),
    ("~-._!*'()/:@$,;abcde", b"~-._!*'()/:@$,;abcde"),
])
def test_percent_decoding(server, http, text, raw):
    assert len(raw) == 20
    assert http.announce(text).leechers >= 1
    assert server.get(f"/api/torrent/{raw.hex()}")["leechers"] >= 1


# ---- scrapes


def test_scrape(server, http):
    one, two, unknown = new_hash(), new_hash(), new_hash()
    http.announce(one)
    http.announce(two, left=0)
    assert http.scrape([one, unknown, two, one]) == {
        one: (0, 0, 1), unknown: (0, 0, 0), two: (1, 0, 0)}


def test_scrape_takes_74_and_no_more(http):
    hashes = [new_hash() for _ in range(74)]
    assert len(http.scrape(hashes)) == 74
    with pytest.raises(Failure, match="74|many|limit"):
        http.scrape(hashes + [new_hash()])


def test_scrape_with_a_bad_hash(http):
    with pytest.raises(Failure, match="info_hash"):
        http.scrape([new_hash(), b"short"])


# ---- whitelist and keys


def test_listed(listed):
    info_hash = new_hash()
    with listed.http_client() as http:
        with pytest.raises(Failure) as refused:
            http.announce(info_hash)
        assert str(refused.value) == "torrent not on whitelist"
        assert http.scrape([info_hash]) == {info_hash: (0, 0, 0)}
        listed.ok("POST", f"/api/whitelist/{info_hash.hex()}")
        assert http.announce(info_hash).leechers == 1
        listed.ok("DELETE", f"/api/whitelist/{info_hash.hex()}")
        with pytest.raises(Failure, match="^torrent not on whitelist$"):
            http.announce(info_hash)
        assert http.scrape([info_hash]) == {info_hash: (0, 0, 0)}


@pytest.mark.parametrize("form", ["/announce/{key}", "/{key}/announce"])
def test_a_key_in_the_path(private, form):
    key, info_hash = private.new_key(), new_hash()
    with private.http_client() as http:
        assert http.announce(info_hash, path=form.format(key=key)).leechers == 1
        for scrape in ("/scrape/{key}", "/{key}/scrape"):
            assert http.scrape([info_hash], path=scrape.format(key=key)) == {info_hash: (0, 0, 1)}
        private.ok("DELETE", f"/api/key/{key}")
        with pytest.raises(Failure, match="key"):
            http.announce(info_hash, path=form.format(key=key))


@pytest.mark.parametrize("path", [
    "/announce", "/announce/" + "x" * 31, "/announce/" + "x" * 32,
    "/announce/" + "x" * 33, "/announce/" + "%41" * 32])
def test_without_a_good_key(private, path):
    with private.http_client() as http:
        with pytest.raises(Failure, match="key"):
            http.announce(new_hash(), path=path)


def test_a_scrape_without_a_good_key_shows_nothing(private):
    info_hash = new_hash()
    with private.http_client() as http:
        http.announce(info_hash, path="/announce/" + private.new_key())
        for path in ("/scrape", "/scrape/" + new_key()):
            with pytest.raises(Failure, match="key"):
                http.scrape([info_hash], path=path)


def test_a_refused_key_names_no_time_to_try_again(private):
    with private.http_client() as http:
        with pytest.raises(Failure) as refused:
            http.announce(new_hash(), path="/announce/" + new_key())
    assert set(refused.value.reply) == {b"failure reason"}


def test_a_torrent_that_is_not_listed_yet_may_be_tried_again_soon(listed):
    with listed.http_client() as http:
        with pytest.raises(Failure) as refused:
            http.announce(new_hash())
    assert refused.value.reply[b"failure reason"] == b"torrent not on whitelist"
    assert 1 <= refused.value.reply[b"retry in"] <= 10


def test_keys_are_harmless_in_public_mode(http):
    for path in ("/announce/" + new_key(), f"/{new_key()}/announce"):
        assert http.announce(new_hash(), path=path).leechers == 1


# ---- who asks


@pytest.fixture
def behind_proxy(shared_servers):
    """Believes 127.0.0.1 and 10.0.0.0/8."""
    return shared_servers.once("proxy", {
        "tracker": {"trust_forwarded_for": ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]}})


@pytest.mark.parametrize("forwarded, seen", [
    ("203.0.113.9", "203.0.113.9"),
    (" 203.0.113.9 ", "203.0.113.9"),
    ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
    ("198.51.100.1,203.0.113.9,10.1.2.3,10.4.5.6", "203.0.113.9"),
    (["198.51.100.1, 203.0.113.9", "10.1.2.3"], "203.0.113.9"),
    (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
    ("2001:db8::9", "2001:db8::9"),
    ("2001:db8::9, fd00::1", "2001:db8::9"),
    ("::ffff:203.0.113.9", "203.0.113.9"),
    (None, "127.0.0.1"),
    ("", "127.0.0.1"),
    ("nonsense", "127.0.0.1"),
    ("203.0.113.9, nonsense", "127.0.0.1"),
    ("203.0.113.9, unknown, 10.1.2.3", "127.0.0.1"),
])
def test_forwarded_for(behind_proxy, forwarded, seen):
    info_hash = new_hash()
    with behind_proxy.http_client() as http:
        http.announce(info_hash, port=1000, headers={"X-Forwarded-For": forwarded})
        assert http.announce(info_hash, port=1001).peers == [(seen, 1000)]


def test_forwarded_for_by_somebody_else(behind_proxy, http):
    info_hash = new_hash()
    header = {"X-Forwarded-For": "203.0.113.9"}
    with behind_proxy.http_client("127.0.0.2") as other:
        other.announce(info_hash, port=1000, headers=header)
        assert other.announce(info_hash, port=1001).peers == [("127.0.0.2", 1000)]
    http.announce(info_hash, port=1000, headers=header)
    assert http.announce(info_hash, port=1001).peers == [("127.0.0.1", 1000)], "off by default"


def test_external_ip(servers):
    server = servers({"tracker": {"external_ip": "192.0.2.77", "trust_forwarded_for": [
        "127.0.0.1/32"]}})
    info_hash = new_hash()
    with server.http_client() as http:
        sources = {1000: "10.1.1.1", 1001: "192.168.3.4", 1002: "172.16.0.1", 1003: "8.8.8.8"}
        for port, source in sources.items():
            http.announce(info_hash, port=port, headers={"X-Forwarded-For": source})
        http.announce(info_hash, port=1004)
        assert sorted(http.announce(info_hash, port=1005).peers) == [
            ("192.0.2.77", 1000), ("192.0.2.77", 1001), ("192.0.2.77", 1002),
            ("192.0.2.77", 1004), ("8.8.8.8", 1003)]


# ---- counters


def test_the_counters_move(server):
    before = server.stats()
    info_hash = new_hash()
    with server.http_client() as http4, server.http_client(v6=True) as http6, \
            server.udp_client() as udp4, server.udp_client(v6=True) as udp6:
        http4.announce(info_hash, port=1000)
        http4.scrape([info_hash])
        http6.announce(info_hash, port=1000, left=0)
        http6.announce(info_hash, port=1000, left=0)
        udp4.announce(info_hash, port=1001)
        udp4.announce(info_hash, port=1001, left=0, event=COMPLETED)
        udp4.scrape([info_hash])
        udp6.connect()
        udp6.scrape([info_hash])
    after = server.stats()
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert moved == {
        "torrents": 1, "seeders": 2, "leechers": 1, "completed": 1,
        "tcp4_connections_handled": 2, "tcp4_announces_handled": 1, "tcp4_scrapes_handled": 1,
        "tcp6_connections_handled": 2, "tcp6_announces_handled": 2,
        "udp4_connections_handled": 1, "udp4_announces_handled": 2, "udp4_scrapes_handled": 1,
        "udp6_connections_handled": 1, "udp6_scrapes_handled": 1}

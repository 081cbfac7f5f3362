"""What the API has beyond Torrust: lists, bulk, peer look-up, forgetting a torrent."""

import time

import pytest

from lib.http import Failure
from lib.ids import new_hash, new_key, new_peer_id
from lib.udp import STARTED, add_peers, url_data
from lib.wait import eventually


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers({"tracker": {"mode": "private"}})


@pytest.fixture(scope="module")
def fresh(shared_servers):
    """A server whose whitelist and keys are of this module only."""
    return shared_servers({"tracker": {"mode": "listed"}})


def bulk(server, body, **kwargs):
    return server.api("POST", "/api/v1/whitelist", body=body, **kwargs)


# ---- whitelist


def test_the_whitelist_in_pages(servers):
    server = servers()
    assert server.get("/api/v1/whitelist") == []
    hashes = sorted(new_hash().hex() for _ in range(2500))
    assert bulk(server, hashes).status == 200
    assert server.get("/api/v1/whitelist?limit=3000") == hashes
    for offset, limit in ((0, 1), (7, 0), (63, 65), (1000, 1000), (2499, 5), (2500, 5)):
        page = server.get(f"/api/v1/whitelist?offset={offset}&limit={limit}")
        assert page == hashes[offset:offset + limit]
    server.ok("DELETE", f"/api/v1/whitelist/{hashes[0]}")
    assert server.get("/api/v1/whitelist?limit=1") == hashes[1:2]
    assert server.api("GET", "/api/v1/whitelist?limit=x").status == 400


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_bulk_as_text(fresh, ending):
    hashes = [new_hash().hex() for _ in range(200)]
    body = ending.join([*hashes[:100], "", *(h.upper() for h in hashes[100:]), hashes[0], ""])
    response = bulk(fresh, body.encode(), headers={"Content-Type": "text/plain"})
    assert response.status == 200 and response.json()["status"] == "ok"
    assert set(hashes) <= set(fresh.get("/api/v1/whitelist?limit=100000"))
    with fresh.http_client() as http:
        assert http.announce(bytes.fromhex(hashes[150])).leechers == 1


def test_bulk_as_json(fresh):
    hashes = [new_hash().hex() for _ in range(200)]
    for _ in range(2):  # idempotent
        response = bulk(fresh, hashes + hashes[:5])
        assert response.status == 200 and response.json()["status"] == "ok"
    listed = fresh.get("/api/v1/whitelist?limit=100000")
    assert len(listed) == len(set(listed)) and set(hashes) <= set(listed)
    with fresh.http_client() as http:
        assert http.announce(bytes.fromhex(hashes[-1])).leechers == 1


def test_bulk_is_all_or_nothing(fresh):
    good = new_hash().hex()
    for bad in ("zz", good[:-1], "", 5, None, [good], {"a": 1}):
        response = bulk(fresh, [good, bad])
        assert response.status == 400, bad
    response = bulk(fresh, f"{good}\nzz\n".encode(), headers={"Content-Type": "text/plain"})
    assert response.status == 400
    assert "zz" in response.text and "2" in response.text, "the value and its line"
    assert good not in fresh.get("/api/v1/whitelist?limit=100000")


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b'"x"', b"[]x", b"[" * 50000,
                                  b'["' + b"\xff" * 40 + b'"]'])
def test_bulk_of_what_is_no_list(fresh, body):
    before = fresh.get("/api/v1/whitelist?limit=100000")
    response = bulk(fresh, body, headers={"Content-Type": "application/json"})
    assert response.status == 400
    assert fresh.get("/api/v1/whitelist?limit=100000") == before


def test_bulk_of_nothing(fresh):
    assert bulk(fresh, []).status == 200


# ---- keys


def test_the_keys_in_pages(servers):
    server = servers()
    assert server.get("/api/v1/keys") == []
    keys = sorted(new_key() for _ in range(100))
    for key in keys:
        assert server.api("POST", "/api/v1/keys",
                          body={"key": key, "seconds_valid": None}).status == 200
    assert [row["key"] for row in server.get("/api/v1/keys")] == keys
    for offset, limit in ((0, 1), (31, 33), (99, 5), (100, 5)):
        page = server.get(f"/api/v1/keys?offset={offset}&limit={limit}")
        assert [row["key"] for row in page] == keys[offset:offset + limit]


def listed_key(server, key):
    return next(row for row in server.get("/api/v1/keys?limit=100000") if row["key"] == key)


def test_a_key_shows_label_expiry_and_last_use(servers):
    server = servers({"tracker": {"mode": "private"}})
    key, label = new_key(), 'Zoë "the" \\ script'
    made = server.api("POST", "/api/v1/keys", body={"key": key, "seconds_valid": 3600,
                                                    "label": label})
    assert made.status == 200, made
    shown = listed_key(server, key)
    assert shown["label"] == label
    assert shown["valid_until"] == made.json()["valid_until"]
    assert shown["last_used"] is None
    with server.udp_client() as udp:
        udp.announce(new_hash(), options=url_data(f"/announce/{key}"))
    used = eventually(lambda: listed_key(server, key)["last_used"], 10)
    assert abs(used - time.time()) < 15
    server.restart()
    after = listed_key(server, key)
    assert (after["label"], after["last_used"]) == (label, used)


# A NUL cannot get past the JSON parser; the others are good texts that are no labels.
@pytest.mark.parametrize("label, status", [("x" * 65, 400), ("tab\there", 400), ("nul\0", 422)])
def test_a_label_that_is_refused(server, label, status):
    response = server.api("POST", "/api/v1/keys",
                          body={"key": None, "seconds_valid": None, "label": label})
    assert response.status == status


# ---- peers


@pytest.fixture(scope="module")
def populated(server):
    """Peers of two addresses, two keys and two torrents."""
    hashes, keys = [new_hash(), new_hash()], [server.new_key(), server.new_key()]
    shared = new_peer_id(b"-TR3000-")
    with server.udp_client("127.0.0.5") as five, server.udp_client("127.0.0.6") as six, \
            server.http_client(v6=True) as v6:
        five.announce(hashes[0], port=1000, peer_id=shared, options=url_data("/" + keys[0]),
                      uploaded=1, downloaded=2, left=3, event=STARTED)
        five.announce(hashes[1], port=1001, options=url_data("/" + keys[0]))
        six.announce(hashes[0], port=1000, peer_id=shared, options=url_data("/" + keys[1]))
        v6.announce(hashes[0], port=1002, path=f"/announce/{keys[0]}")
    return server, hashes, keys, shared


def found(server, query):
    rows = server.get(f"/api/v1/peers?{query}")
    return sorted((row["info_hash"], row["ip"], row["port"]) for row in rows)


def test_peers_by_address(populated):
    server, (one, two), _, _ = populated
    assert found(server, "ip=127.0.0.5") == sorted([
        (one.hex(), "127.0.0.5", 1000), (two.hex(), "127.0.0.5", 1001)])
    assert found(server, "ip=127.0.0.6") == [(one.hex(), "127.0.0.6", 1000)]
    assert found(server, "ip=::1") == [(one.hex(), "::1", 1002)]
    assert found(server, "ip=%3A%3A1") == [(one.hex(), "::1", 1002)]
    assert found(server, "ip=192.0.2.1") == []


def test_peers_by_peer_id(populated):
    server, (one, _), _, shared = populated
    expected = [(one.hex(), "127.0.0.5", 1000), (one.hex(), "127.0.0.6", 1000)]
    assert found(server, f"peer_id={shared.hex()}") == expected
    assert found(server, f"peer_id={shared.hex()}&ip=127.0.0.6") == expected[1:]
    assert found(server, f"peer_id={new_peer_id().hex()}") == []


def test_peers_by_key(populated):
    """Who shares a key: one key from several addresses."""
    server, (one, two), keys, _ = populated
    assert found(server, f"key={keys[0]}") == sorted([
        (one.hex(), "127.0.0.5", 1000), (two.hex(), "127.0.0.5", 1001), (one.hex(), "::1", 1002)])
    assert found(server, f"key={keys[1]}") == [(one.hex(), "127.0.0.6", 1000)]
    assert found(server, f"key={new_key()}") == []


def test_what_a_found_peer_shows(populated):
    server, (one, _), keys, shared = populated
    row = server.get(f"/api/v1/peers?peer_id={shared.hex()}&ip=127.0.0.5")[0]
    assert row["peer_id"] == {"id": "0x" + shared.hex(), "client": "Transmission"}
    assert (row["uploaded"], row["downloaded"], row["left"]) == (1, 2, 3)
    assert (row["event"], row["key"]) == ("Started", keys[0])


@pytest.mark.parametrize("query", ["", "ip=", "ip=nonsense", "ip=1.2.3", "peer_id=zz",
                                   "peer_id=" + "a" * 39, "key=short"])
def test_a_look_up_of_nothing(server, query):
    assert server.api("GET", f"/api/v1/peers?{query}").status == 400


# ---- forgetting


def test_forgetting_a_torrent(fresh):
    info_hash, other = new_hash(), new_hash()
    bulk(fresh, [info_hash.hex(), other.hex()])
    with fresh.udp_client() as udp:
        add_peers(udp, info_hash, range(1000, 1200))
        udp.announce(other)
        fresh.ok("DELETE", f"/api/v1/torrent/{info_hash.hex()}")
        assert udp.scrape([info_hash, other]) == [(0, 0, 0), (0, 0, 1)]
        assert fresh.api("GET", f"/api/torrent/{info_hash.hex()}").status == 404
        assert udp.announce(info_hash, port=2000).peers == [], "it may begin anew"


def test_forgetting_is_no_ban(fresh):
    unlisted = new_hash()
    fresh.api("DELETE", f"/api/v1/torrent/{unlisted.hex()}")
    with fresh.http_client() as http:
        with pytest.raises(Failure, match="whitelist"):
            http.announce(unlisted)
    assert fresh.api("DELETE", "/api/v1/torrent/zz").status == 400

"""Base /api/v1: a drop-in for Torrust v3, texts included, because scripts match on them."""

import re
import time
from datetime import datetime, timezone

import pytest

from lib.http import Failure
from lib.ids import new_hash, new_key, new_peer_id
from lib.rookery import TOKEN
from lib.torrust import STATS, stranger
from lib.udp import COMPLETED, STARTED, add_torrents

TEXT = "text/plain; charset=utf-8"


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers()


@pytest.fixture
def udp(server):
    with server.udp_client() as client:
        yield client


def rejected(reason):
    return 'Unhandled rejection: Err { reason: "%s" }' % reason


def says(response, status, text):
    """The whole of a text answer."""
    assert (response.status, response.text) == (status, text)
    assert response.headers["content-type"] == TEXT


# ---- tokens


def test_without_a_token(server):
    for path in ("/api/v1/stats", "/api/v1/torrents", "/api/v1/keys", "/api/v1/nothing"):
        says(server.api("GET", path, token=None, source=stranger()), 500, rejected("unauthorized"))


@pytest.mark.parametrize("token", ["", "wrong"])
def test_with_a_wrong_token(server, token):
    says(server.api("GET", "/api/v1/stats", token=token, source=stranger()), 500,
         rejected("token not valid"))


@pytest.mark.parametrize("header, reason", [
    ("Bearer wrong", "token not valid"), ("Bearer", "token not valid"),
    ("Digest username=x", "unknown token provided")])
def test_a_wrong_token_in_the_head(server, header, reason):
    says(server.api("GET", "/api/v1/stats", token=None, headers={"Authorization": header},
                    source=stranger()), 500, rejected(reason))


def test_the_head_wins_over_the_query(server):
    says(server.api("GET", "/api/v1/stats", token=TOKEN, headers={"Authorization": "Bearer wrong"},
                    source=stranger()), 500, rejected("token not valid"))
    assert server.api("GET", "/api/v1/stats", token="wrong",
                      headers={"Authorization": f"Bearer {TOKEN}"}).status == 200


def test_an_unknown_path(server):
    response = server.api("GET", "/api/v1/nothing")
    assert (response.status, response.body) == (404, b"")


# ---- stats and metrics


def test_stats(server):
    response = server.api("GET", "/api/v1/stats")
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    stats = response.json()
    assert set(STATS) <= set(stats)
    assert all(type(value) is int for value in stats.values())
    assert server.get("/api/v1/stats?format=json").keys() == stats.keys()


def test_stats_for_prometheus(server, udp):
    udp.announce(new_hash())
    response = server.api("GET", "/api/v1/stats?format=prometheus")
    assert response.status == 200
    assert response.headers["content-type"] == TEXT
    lines = response.text.split("\n")
    assert all(re.fullmatch(r"[a-z0-9_]+ \d+", line) for line in lines), lines
    values = dict(line.split(" ") for line in lines)
    assert set(STATS) <= set(values)
    assert int(values["udp4_announces_handled"]) >= 1


@pytest.mark.parametrize("value", ["xml", "JSON", "Prometheus"])
def test_stats_in_no_format(server, value):
    response = server.api("GET", f"/api/v1/stats?format={value}")
    assert response.status == 400
    assert response.text.startswith("Failed to deserialize query string: ")
    assert response.headers["content-type"] == TEXT


def parse_prometheus(text):
    """{name: {labels: value}} of an exposition, every rule of the format checked that we use."""
    samples, typed, helped = {}, {}, set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped and len(line.split(" ", 3)[3]) > 0
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed and kind in ("counter", "gauge", "histogram")
            typed[name] = kind
        else:
            match = re.fullmatch(
                r'([a-zA-Z_:][a-zA-Z0-9_:]*)'
                r'(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*\})? '
                r'([0-9.eE+-]+|\+Inf|NaN)', line)
            assert match, line
            name, labels, value = match[1], match[2] or "", float(match[3])
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            family = family if typed.get(family) == "histogram" else name
            assert family in typed and family in helped, line
            assert labels not in samples.setdefault(name, {}), line
            samples[name][labels] = value
    assert typed.keys() == helped
    return samples, typed


def test_metrics(server, udp):
    for _ in range(200):
        udp.announce(new_hash())
    response = server.api("GET", "/metrics")
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain")
    samples, typed = parse_prometheus(response.text)
    announces = samples["rookery_announces_total"]
    assert set(announces) == {f'{{protocol="{protocol}",family="{family}"}}'
                              for protocol in ("udp", "http") for family in ("ipv4", "ipv6")}
    assert announces['{protocol="udp",family="ipv4"}'] >= 200
    histograms = [name for name, kind in typed.items() if kind == "histogram"]
    assert histograms, "handling times"
    for name in histograms:
        check_histogram(samples, name)
    timed = samples["rookery_request_duration_seconds_count"]
    assert timed['{protocol="udp",request="announce"}'] >= 1, "one in so many is timed"


def check_histogram(samples, name):
    """Buckets grow and end in +Inf, which is the count."""
    series = {}
    for labels, value in samples[name + "_bucket"].items():
        bound = re.search(r'le="([^"]+)"', labels)[1]
        rest = re.sub(r',?le="[^"]+",?', "", labels)
        series.setdefault(rest, []).append((float(bound), value))
    for rest, buckets in series.items():
        values = [value for _, value in sorted(buckets)]
        assert values == sorted(values), (name, rest)
        assert max(buckets)[0] == float("inf"), (name, rest)
        counts = [v for k, v in samples[name + "_count"].items() if k.strip("{}") ==
                  rest.strip("{}").strip(",")]
        assert counts == [values[-1]], (name, rest)


def test_metrics_in_both_formats(server):
    response = server.api("GET", "/api/v1/metrics?format=prometheus")
    assert response.status == 200
    parse_prometheus(response.text)
    metrics = server.get("/api/v1/metrics?format=json")["metrics"]
    assert metrics
    for metric in metrics:
        assert metric["kind"] in ("counter", "gauge", "histogram") and metric["name"]
        for sample in metric["samples"]:
            assert {"value", "labels"} <= set(sample)


# ---- torrents


@pytest.mark.parametrize("query", ["offset=%20", "offset=-1", "offset=1.1",
                                   "offset=INVALID%20OFFSET", "limit=%20", "limit=-1",
                                   "limit=1.1", "limit=INVALID%20LIMIT"])
def test_a_bad_page(server, query):
    says(server.api("GET", f"/api/v1/torrents?{query}"), 400,
         "Failed to deserialize query string: invalid digit found in string")


def test_an_empty_page_parameter_is_absent(server):
    assert server.api("GET", "/api/v1/torrents?offset=&limit=").status == 200


BAD_HASHES = ["0", "-1", "1.1", "INVALID INFOHASH", "9" * 39, "9" * 39 + "g"]


def invalid_hash(text):
    return (f'Invalid URL: invalid infohash param: string "{text}", '
            "expected a 40 character long string")


@pytest.mark.parametrize("info_hash", BAD_HASHES)
def test_a_bad_info_hash(server, info_hash):
    in_path = info_hash.replace(" ", "%20")
    for method, path in (("GET", "/api/v1/torrent/"), ("POST", "/api/v1/whitelist/"),
                         ("DELETE", "/api/v1/whitelist/")):
        says(server.api(method, path + in_path), 400, invalid_hash(info_hash))
    says(server.api("GET", f"/api/v1/torrents?info_hash={in_path}"), 400, invalid_hash(info_hash))


@pytest.mark.parametrize("segment", ["", "%20"])
def test_an_empty_info_hash(server, segment):
    for method, path in (("GET", "/api/v1/torrent/"), ("POST", "/api/v1/whitelist/"),
                         ("DELETE", "/api/v1/whitelist/")):
        response = server.api(method, path + segment)
        assert (response.status, response.body) == (404, b""), path


def test_the_default_page(shared_servers):
    server = shared_servers.once("crowded", {})
    with server.udp_client() as udp:
        add_torrents(udp, [new_hash() for _ in range(4010)])
    assert len(server.get("/api/v1/torrents")) == 4000
    assert len(server.get("/api/v1/torrents?limit=5000")) == 4010, "no cap"


def test_an_unknown_torrent(server):
    response = server.api("GET", "/api/v1/torrent/" + new_hash().hex())
    assert (response.status, response.json()) == (200, "torrent not known")


def test_a_torrent(server, udp):
    info_hash, peer_id = new_hash(), new_peer_id()
    udp.announce(info_hash, port=1122, peer_id=peer_id, event=STARTED, uploaded=11,
                 downloaded=22, left=33)
    found = server.get(f"/api/v1/torrent/{info_hash.hex().upper()}")
    peer = found["peers"][0]
    for member in ("updated", "updated_milliseconds_ago"):
        assert abs(peer.pop(member) - time.time() * 1000) < 3000, "epoch milliseconds"
    assert found == {
        "info_hash": info_hash.hex(), "seeders": 0, "completed": 0, "leechers": 1,
        "peers": [{"peer_id": {"id": "0x" + peer_id.hex(), "client": "qBittorrent"},
                   "peer_addr": "127.0.0.1:1122", "uploaded": 11, "downloaded": 22, "left": 33,
                   "event": "Started"}]}


# ---- keys


def check_key(response, seconds):
    """An auth key object, valid for that many seconds from now (None: for ever)."""
    assert response.status == 200, response
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    found = response.json()
    assert sorted(found) == ["expiry_time", "key", "valid_until"]
    assert re.fullmatch(r"[A-Za-z0-9]{32}", found["key"])
    if seconds is None:
        assert found["valid_until"] is None and found["expiry_time"] is None
    else:
        assert abs(found["valid_until"] - (time.time() + seconds)) <= 2
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? UTC", found["expiry_time"])
        expiry = datetime.strptime(found["expiry_time"][:19], "%Y-%m-%d %H:%M:%S")
        assert expiry.replace(tzinfo=timezone.utc).timestamp() == found["valid_until"]
    return found["key"]


@pytest.mark.parametrize("seconds", [0, 1, 60, 315360000])
def test_a_new_key(server, seconds):
    check_key(server.api("POST", f"/api/v1/key/{seconds}"), seconds)


@pytest.mark.parametrize("seconds", ["-1", "abc", "1.5"])
def test_a_key_for_no_time(server, seconds):
    says(server.api("POST", f"/api/v1/key/{seconds}"), 400,
         f'Invalid URL: Cannot parse `"{seconds}"` to a `u64`')


@pytest.mark.parametrize("seconds", ["18446744073709551615", "18446744073709551616"])
def test_a_key_for_too_long(server, seconds):
    response = server.api("POST", f"/api/v1/key/{seconds}")
    assert response.status == 400
    assert response.text.startswith("Invalid URL: ")


@pytest.mark.parametrize("seconds", [None, 0, 7200])
def test_posting_keys(server, seconds):
    own = new_key()
    assert check_key(server.api("POST", "/api/v1/keys",
                                body={"key": own, "seconds_valid": seconds}), seconds) == own
    made = check_key(server.api("POST", "/api/v1/keys",
                                body={"key": None, "seconds_valid": seconds}), seconds)
    assert made != own


def test_a_posted_key_works(shared_servers):
    server = shared_servers.once("private", {"tracker": {"mode": "private"}})
    key = new_key()
    server.api("POST", "/api/v1/keys", body={"key": key, "seconds_valid": None})
    with server.http_client() as http:
        assert http.announce(new_hash(), path=f"/announce/{key}").leechers == 1
        server.ok("DELETE", f"/api/v1/key/{key}")
        with pytest.raises(Failure, match="key"):
            http.announce(new_hash(), path=f"/announce/{key}")


@pytest.mark.parametrize("body, content_type, status", [
    (b'{"key":null,"seconds_valid":1}', "text/plain", 415),
    (b'{"key":null,"seconds_valid":1}', None, 415),
    (b'{"key":null,"seconds_valid":1', "application/json", 400),
    (b'', "application/json", 400),
    (b'\xff\xfe', "application/json", 400),
    (b'{"key":null,"seconds_valid":"1"}', "application/json", 422),
    (b'{"key":null,"seconds_valid":-1}', "application/json", 422),
    (b'{"key":null,"seconds_valid":1.5}', "application/json", 422),
    (b'{"key":5,"seconds_valid":1}', "application/json", 422),
    (b'{"key":null}', "application/json", 422),
    (b'{"seconds_valid":1}', "application/json", 422),
    (b'[]', "application/json", 422),
    (b'"key"', "application/json", 422),
    (b'[' * 100000, "application/json", 400),
])
def test_posting_what_is_no_key(server, body, content_type, status):
    headers = {"Content-Type": content_type}
    response = server.api("POST", "/api/v1/keys", body=body, headers=headers)
    assert response.status == status, response
    assert response.headers["content-type"] == TEXT
    if status == 422:
        assert response.text.startswith(
            "Failed to deserialize the JSON body into the target type: ")


@pytest.mark.parametrize("key, why", [
    ("short", "Invalid key length. Key must be have 32 chars"),
    ("x" * 33, "Invalid key length. Key must be have 32 chars"),
    ("-" * 32, "Invalid chars for key. Key can only alphanumeric chars (0-9, a-z, A-Z)"),
    ("x" * 31 + " ", "Invalid chars for key. Key can only alphanumeric chars (0-9, a-z, A-Z)"),
])
def test_posting_a_bad_key(server, key, why):
    says(server.api("POST", "/api/v1/keys", body={"key": key, "seconds_valid": 60}), 400,
         f'Invalid URL: invalid auth key: string "{key}", {why}')


def test_posting_a_key_for_too_long(server):
    says(server.api("POST", "/api/v1/keys",
                    body={"key": None, "seconds_valid": 18446744073709551615}), 400,
         'Invalid URL: invalid auth key duration: "18446744073709551615"')


def test_posting_a_key_twice(server):
    body = {"key": new_key(), "seconds_valid": 60}
    check_key(server.api("POST", "/api/v1/keys", body=body), 60)
    response = server.api("POST", "/api/v1/keys", body=body)
    assert response.status == 500
    assert response.headers["content-type"] == TEXT
    assert re.match(r'Unhandled rejection: Err \{ reason: "failed to (generate|add) key',
                    response.text)


@pytest.mark.parametrize("key", ["x", "x" * 31, "x" * 33, "-" * 32])
def test_deleting_what_is_no_key(server, key):
    says(server.api("DELETE", f"/api/v1/key/{key}"), 400, f'Invalid auth key id param "{key}"')


def test_deleting_an_unknown_key(server):
    response = server.api("DELETE", f"/api/v1/key/{new_key()}")
    assert response.status == 500
    assert response.text.startswith('Unhandled rejection: Err { reason: "failed to delete key')


def test_deleting_no_key(server):
    assert server.api("DELETE", "/api/v1/key/").status == 404


# ---- content types


def test_content_types(server):
    for path in ("/api/v1/stats", "/api/v1/torrents", "/api/v1/whitelist/reload",
                 "/api/v1/keys/reload"):
        assert server.api("GET", path).headers["content-type"] == "application/json"


def test_completed_shows(server, udp):
    info_hash = new_hash()
    udp.announce(info_hash)
    udp.announce(info_hash, left=0, event=COMPLETED)
    found = server.get(f"/api/v1/torrent/{info_hash.hex()}")
    assert (found["completed"], found["peers"][0]["event"]) == (1, "Completed")

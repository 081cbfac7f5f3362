"""The GoTorrentServer API: sessions, adding in every way, pause, resume, remove, rates."""

import base64
import json
from urllib.parse import quote

import pytest

from lib.gotorrent import GoTorrent, failed
from lib.http import Connection
from lib.rookery import AUTH, TOKEN
from lib.tls import make_certificate
from lib.torrentflow import H1, H1_BASE32, H2, HD, MAGNET, T1, T2, UNKNOWN, TorrentFlow
from lib.wait import eventually

RAW1 = bytes.fromhex(H1)
BASE64_1 = base64.b64encode(RAW1).decode()
T1_TEXT = base64.b64encode(T1).decode()
T2_TEXT = base64.b64encode(T2).decode()


@pytest.fixture
def start(start):
    """The same, without what eases the way for callers of this machine."""
    def begin(config=None, **kwargs):
        return start(config or {"api": {}}, **kwargs)
    return begin


@pytest.fixture
def go(server):
    return GoTorrent(server)


# ---- sessions

def test_all_data_of_nothing(go):
    assert go.sessions() == []


def test_all_data(go, empty):
    go.add_file(T1_TEXT, empty)
    go.add_file(T2_TEXT, empty)
    go.add_magnet(MAGNET, empty)
    assert [s["infohash"] for s in go.sessions()] == [H1, H2, HD]
    assert [s["name"] for s in go.sessions()] == ["hello.txt", "multi", "hello"]


def test_a_session_of_nothing_yet(go, empty):
    go.add_file(T2_TEXT, empty)
    session = eventually(lambda: (s := go.session(H2))["status"] == "disconnected" and s)
    assert (session["name"], session["infohash"]) == ("multi", H2)
    assert session["infohash_base64"] == base64.b64encode(bytes.fromhex(H2)).decode()
    assert (session["pieces"], session["bitfield_length"]) == ("0000", 4)
    assert session["bitfield_base64"] == "AA=="
    assert session["trackers"] == session["Peers"] == []
    assert (session["wasted"], session["downloaded"], session["uploaded"]) == (0, 0, 0)
    assert (session["maxdown"], session["maxup"], session["error"]) == (0, 0, None)


def test_a_session_of_a_complete_torrent(go, seed):
    go.add_file(T2_TEXT, seed)
    session = eventually(lambda: (s := go.session(H2))["pieces"] == "1111" and s)
    assert session["bitfield_base64"] == "8A=="


def test_a_magnet_without_metadata(go, empty):
    go.add_magnet(MAGNET, empty)
    go.add_magnet(f"magnet:?xt=urn:btih:{H1_BASE32}", empty)
    assert (go.session(HD)["pieces"], go.session(HD)["name"]) == ("", "hello")
    assert (go.session(H1)["bitfield_length"], go.session(H1)["name"]) == (0, H1)


def test_trackers(go, server, empty):
    ip, port = server.http_address()
    good, dead = f"http://{ip}:{port}/announce", "http://127.0.0.1:1/announce"
    go.add_magnet(f"{MAGNET}&tr={quote(good, safe='')}", empty)
    go.add_magnet(f"magnet:?xt=urn:btih:{H1}&tr={quote(dead, safe='')}", empty)
    tracker = eventually(lambda: (t := go.session(HD)["trackers"])[0]["status"] == "working" and t)
    assert [t["url"] for t in tracker] == [good]
    assert tracker[0]["peers"] == tracker[0]["leechers"] + tracker[0]["seeders"] == 1
    assert tracker[0]["lastannounce"] != ""
    tracker = eventually(lambda: (t := go.session(H1)["trackers"])[0]["status"] == "error" and t)
    assert "connect" in tracker[0].pop("message").lower()
    assert tracker == [{"url": dead, "status": "error", "leechers": 0, "seeders": 0, "peers": 0,
                        "lastannounce": ""}]


def test_a_tracker_that_refuses(go, empty, web):
    """What it says is shown."""
    web.pages["/announce"] = (200, {}, b"d14:failure reason12:go home, youe")
    go.add_magnet(f"{MAGNET}&tr={quote(web.url('/announce'), safe='')}", empty)
    trackers = eventually(lambda: (t := go.session(HD)["trackers"])[0]["message"] and t)
    assert (trackers[0]["status"], trackers[0]["message"]) == ("error", "go home, you")


def test_a_tracker_with_tls(servers, start, tmp_path, empty):
    """Its certificate counts when one of the authorities has signed it."""
    certificate = make_certificate(tmp_path)
    tracker = servers({"tracker": {"tls": certificate.section}, "client": {"enabled": False}})
    ip, port = tracker.http_address()
    magnet = f"{MAGNET}&tr={quote(f'https://{ip}:{port}/announce', safe='')}"
    for env, status, text in [({"SSL_CERT_FILE": str(certificate.certificate)}, "working", ""),
                              ({}, "error", "certificate")]:
        go = GoTorrent(start(env=env))
        go.add_magnet(magnet, empty)
        eventually(lambda: go.session(HD)["trackers"][0]["status"] == status)
        assert text in go.session(HD)["trackers"][0]["message"].lower()
    peers = tracker.get(f"/api/torrent/{HD}")["peers"]
    assert len(peers) == 1


@pytest.mark.parametrize("text", [
    H1, H1.upper(), H1_BASE32, H1_BASE32.lower(), BASE64_1, BASE64_1.rstrip("=")])
def test_every_form_of_the_info_hash(go, empty, text):
    go.add_file(T1_TEXT, empty)
    assert go.session(text)["infohash"] == H1


def test_the_info_hash_as_bytes(go, empty):
    """A header goes out as latin-1: bytes as they are, and as the UTF-8 of 20 code points."""
    go.add_magnet(MAGNET, empty)
    assert go.session("\xdd" * 20)["infohash"] == HD
    assert go.session("\xc3\x9d" * 20)["infohash"] == HD


@pytest.mark.parametrize("text", [
    H1, BASE64_1.replace("+", "%2B"), BASE64_1.rstrip("="), quote(RAW1, safe="")])
def test_the_info_hash_in_the_query(go, empty, text):
    go.add_file(T1_TEXT, empty)
    response = go.call("GET", f"/torrentdata?infohash={text}")
    assert response.json()["infohash"] == H1


BAD_HASHES = ["", "xyz", H1[:39], H1 + "0", H1[:-1] + "g", BASE64_1[:-2], "a" * 27, "?" * 28, "a" * 19]


@pytest.mark.parametrize("path", ["/torrentdata", "/pause", "/resume", "/remove", "/setdownrate",
                                  "/setuprate"])
def test_bad_and_unknown_hashes(go, empty, path):
    go.add_file(T1_TEXT, empty)
    rates = {"downrate": "1", "uprate": "1"}
    assert failed(go.get(path, **rates), 422) == "Infohash missing\n"
    for text in BAD_HASHES:
        failed(go.get(path, infohash=text, **rates), 422, "infohash")
    failed(go.get(path, infohash=UNKNOWN, **rates), 404, "not found")
    assert len(go.sessions()) == 1


# ---- adding by a magnet link

@pytest.mark.parametrize("link, name", [
    (MAGNET, "hello"), (MAGNET.replace("magnet", "MAGNET"), "hello"),
    (f"magnet:?dn=%C3%A9%22%5C&xt=urn:btih:{HD.upper()}", 'é"\\')])
def test_add_magnet(go, empty, link, name):
    go.add_magnet(link, empty)
    assert go.session(HD)["name"] == name


@pytest.mark.parametrize("body", [
    b'{"url": "%s", "targetdir": "%s",}', b'  {"url":"%s","targetdir":"%s","maxdown":1,"maxup":"2.5",}\r\n',
    b'{"url":"x","url":"%s","x":{"a":[1,{},[]],},"y":[null,true,-1.5e3,],"targetdir":"%s"}',
    b'{"\\u0075rl":1,"url":"%s","targetdir":"%s","maxdown":null,"maxup":0}'])
@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8",
                                  "application/x-www-form-urlencoded", "text/plain", None])
def test_what_is_taken_as_json(go, empty, body, kind):
    """The document's own body has a comma too much; curl -d says that it is a form."""
    go.done(go.post("/addmagnet", body % (MAGNET.encode(), str(empty).encode()), kind))
    assert go.session(HD)["name"] == "hello"


def test_the_rates_of_an_add(go, empty):
    go.add_magnet(MAGNET, empty, maxdown=100, maxup="50.5")
    go.add_file(T1_TEXT, empty, maxdown="1e3", maxup=0)
    assert (go.session(HD)["maxdown"], go.session(HD)["maxup"]) == (100, 50.5)
    assert (go.session(H1)["maxdown"], go.session(H1)["maxup"]) == (1000, 0)


@pytest.mark.parametrize("path", ["/addmagnet", "/addtorrentfile"])
@pytest.mark.parametrize("body", [
    b"", b"x", b"[]", b"null", b'"url"', b"url=x&targetdir=y", b"{", b'{"url"', b'{"url":',
    b'{"url":"x"', b'{"url":"x",,}', b'{,}', b'{"url":"x"} x', b'{"url":"\\x"}', b'{"url":"\\u12"}',
    b'{"url":01}', b'{"url":tru}', b'{url:"x"}', b"{'url':'x'}", b'{"a":[}', b'{"a":{"b"}}',
    b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", b'{"a":' + b"[" * 100000,
    b"{" + b",".join(b'"%d":1' % i for i in range(100)) + b"}"])
def test_what_is_not_json(go, path, body):
    failed(go.post(path, body), 400, "json")
    assert go.sessions() == []


@pytest.mark.parametrize("change, text", [
    ({"url": None}, "url"), ({"url": ""}, "url"), ({"url": 5}, "url"), ({"url": ["x"]}, "url"),
    ({"url": "http://127.0.0.1:1/x.torrent"}, "magnet"), ({"url": "magnet:"}, "magnet"),
    ({"url": "magnet:?dn=x"}, "magnet"), ({"url": "magnet:?xt=urn:btih:abc"}, "magnet"),
    ({"url": f"magnet:?xt=urn:btmh:1220{'a' * 64}"}, "magnet"),
    ({"url": MAGNET + "&x=" + "y" * 70000}, "url"),
    ({"targetdir": None}, "targetdir"), ({"targetdir": ""}, "targetdir"),
    ({"targetdir": {}}, "targetdir"), ({"targetdir": "a\0b"}, "targetdir"),
    ({"maxdown": -1}, "maxdown"), ({"maxdown": "x"}, "maxdown"), ({"maxdown": True}, "maxdown"),
    ({"maxdown": ""}, "maxdown"), ({"maxup": "-1"}, "maxup"), ({"maxup": "nan"}, "maxup"),
    ({"maxup": "inf"}, "maxup"), ({"maxup": "0x10"}, "maxup"), ({"maxup": "1e999"}, "maxup"),
    ({"maxup": [1]}, "maxup")])
def test_members_that_will_not_do(go, empty, change, text):
    body = {"url": MAGNET, "targetdir": str(empty), **change}
    failed(go.post("/addmagnet", {k: v for k, v in body.items() if v is not None}), 422, text)
    assert go.sessions() == []


def test_a_target_folder_that_is_not_utf8(go, empty):
    body = b'{"url":"%s","targetdir":"%s/\xff"}' % (MAGNET.encode(), str(empty).encode())
    failed(go.post("/addmagnet", body), 422, "targetdir")


# ---- adding a file

def raw_in_json(data):
    """The bytes themselves between quotes, escaped only where JSON cannot do without."""
    escapes = {b: b"\\u%04x" % b for b in range(0x20)} | {0x22: b'\\"', 0x5c: b"\\\\"}
    return b'"' + b"".join(escapes.get(b, bytes([b])) for b in data) + b'"'


READINGS = {
    "raw": raw_in_json,
    "latin-1": lambda data: json.dumps(data.decode("latin-1")).encode(),
    "latin-1 in UTF-8": lambda data: json.dumps(data.decode("latin-1"), ensure_ascii=False).encode(),
    "base64": lambda data: json.dumps(base64.b64encode(data).decode()).encode(),
    "base64 in lines": lambda data: json.dumps(base64.encodebytes(data).decode()).encode(),
    "base64 for URLs": lambda data: json.dumps(base64.urlsafe_b64encode(data).decode()).encode(),
    "base64 without padding":
        lambda data: json.dumps(base64.b64encode(data).decode().rstrip("=")).encode(),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("torrent, info_hash", [(T1, H1), (T2, H2)])
def test_add_file(go, empty, reading, torrent, info_hash):
    body = b'{"file":%s,"targetdir":"%s"}' % (READINGS[reading](torrent), str(empty).encode())
    go.done(go.post("/addtorrentfile", body))
    assert [s["infohash"] for s in go.sessions()] == [info_hash]


def test_a_piece_hash_with_every_byte_in_it(go, empty):
    """NULs too, which are ends of texts elsewhere."""
    pieces = bytes(range(256)) + bytes(4)
    torrent = (b"d4:infod6:lengthi%de4:name1:x12:piece lengthi16384e6:pieces260:" % (13 * 16384)
               + pieces + b"ee")
    for reading in READINGS.values():
        body = b'{"file":%s,"targetdir":"%s"}' % (reading(torrent), str(empty).encode())
        go.done(go.post("/addtorrentfile", body))
        (session,) = go.sessions()
        assert session["bitfield_length"] == 13
        go.act("/remove", session["infohash"])


@pytest.mark.parametrize("file", ["", "x", "d", "de", T1_TEXT[:-8], T1_TEXT + "!", "ZGU=", "é", "€",
                                  T1.decode("latin-1")[:-1], T1.decode("latin-1").replace("16384", "0")])
def test_files_that_are_none(go, empty, file):
    failed(go.post("/addtorrentfile", {"file": file, "targetdir": str(empty)}), 422, "file")
    failed(go.post("/addtorrentfile", {"targetdir": str(empty)}), 422, "file missing")
    failed(go.post("/addtorrentfile", {"file": T1_TEXT}), 422, "targetdir missing")
    failed(go.post("/addtorrentfile", {"file": 5, "targetdir": str(empty)}), 422, "file")
    assert go.sessions() == []


@pytest.mark.parametrize("kind", ["application/x-bittorrent", "application/octet-stream"])
@pytest.mark.parametrize("name", ["path", "targetdir"])
def test_the_file_as_the_body(go, empty, kind, name):
    query = f"{name}={quote(str(empty))}&maxdown=5&maxup=2.5&start=false"
    go.done(go.post(f"/addtorrentfile?{query}", T1, kind))
    session = go.session(H1)
    assert (session["maxdown"], session["maxup"], session["status"]) == (5, 2.5, "paused")


def test_the_file_as_the_body_and_what_is_wrong_with_it(go, empty):
    kind = "application/x-bittorrent"
    failed(go.post("/addtorrentfile", T1, kind), 422, "targetdir")
    failed(go.post(f"/addtorrentfile?path={empty}", T1, "text/html"), 400, "json")
    failed(go.post(f"/addtorrentfile?path={empty}", T1[:-1], kind), 422)
    failed(go.post(f"/addtorrentfile?path={empty}", b"", kind), 422)
    failed(go.post(f"/addtorrentfile?path={empty}&maxup=-1", T1, kind), 422, "maxup")
    failed(go.post(f"/addtorrentfile?path={empty}&start=maybe", T1, kind), 422, "start")
    response = go.server.api("POST", f"/addtorrentfile?path={empty}", body=T1,
                             headers={"content-type": kind})
    failed(response, 401, "Authorization")
    assert go.sessions() == []


# ---- target folders, duplicates

def test_target_folders(go, server, tmp_path):
    flow = TorrentFlow(server)
    go.add_file(T1_TEXT, tmp_path / "a" / "b")
    assert flow.status(H1)["save_path"] == str(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("in the way")
    failed(go.post("/addmagnet", {"url": MAGNET, "targetdir": f"{tmp_path}/file/x"}), 422)
    for outside in ("/etc", "../../../../../../etc", str(tmp_path) + "x"):
        failed(go.post("/addmagnet", {"url": MAGNET, "targetdir": outside}), 403)
        failed(go.post("/addtorrentfile", {"file": T2_TEXT, "targetdir": outside}), 403)
    assert [s["infohash"] for s in go.sessions()] == [H1]


def test_a_relative_target_folder(start, tmp_path):
    server = start({"client": {"download_dir": str(tmp_path / "here")}})
    GoTorrent(server).add_magnet(MAGNET, "x y")
    assert TorrentFlow(server).status(HD)["save_path"] == str(tmp_path / "here" / "x y")


def test_added_twice(go, empty, tmp_path):
    go.add_file(T1_TEXT, empty, maxdown=7)
    other = str(tmp_path / "other")
    failed(go.post("/addtorrentfile", {"file": T1_TEXT, "targetdir": other}), 409, "exists")
    failed(go.post("/addmagnet", {"url": f"magnet:?xt=urn:btih:{H1}", "targetdir": other}), 409)
    assert [s["maxdown"] for s in go.sessions()] == [7]
    assert not (tmp_path / "other").exists()


# ---- changes

def test_pause_and_resume(go, empty):
    go.add_file(T1_TEXT, empty)
    for _ in range(2):
        go.act("/pause", H1)
        assert go.session(H1)["status"] == "paused"
    for _ in range(2):
        go.act("/resume", H1)
        eventually(lambda: go.session(H1)["status"] == "disconnected")


def test_rates(go, server, empty):
    go.add_file(T1_TEXT, empty)
    go.act("/pause", H1)
    go.act("/setdownrate", H1, downrate="100")
    go.act("/setuprate", H1, uprate="0.5")
    session = go.session(H1)
    assert (session["maxdown"], session["maxup"], session["status"]) == (100, 0.5, "paused")
    server.restart()
    session = GoTorrent(server).session(H1)
    assert (session["maxdown"], session["maxup"], session["status"]) == (100, 0.5, "paused")
    go.act("/setdownrate", H1, downrate="0")
    assert (go.session(H1)["maxdown"], go.session(H1)["maxup"]) == (0, 0.5)
    go.act("/setuprate", H1, uprate="0.00001")
    assert 0 < go.session(H1)["maxup"] < 0.01


@pytest.mark.parametrize("direction", ["down", "up"])
def test_bad_rates(go, empty, direction):
    go.add_file(T1_TEXT, empty)
    path, name = f"/set{direction}rate", f"{direction}rate"
    other = {"downrate": "uprate", "uprate": "downrate"}[name]
    failed(go.get(path, infohash=H1), 422, name)
    failed(go.get(path, infohash=H1, **{other: "5"}), 422, name)
    for rate in ("", "-1", "nan", "NaN", "inf", "-inf", "x", "1x", "0x10", "1,5", "1e400", "1 2", "--1",
                 "9" * 400):
        failed(go.get(path, infohash=H1, **{name: rate}), 422, name)
    assert go.session(H1)[f"max{direction}"] == 0


def test_changes_at_the_same_time_do_not_undo_each_other(go, server, empty):
    go.add_file(T1_TEXT, empty)
    with Connection(server.api_address()) as a, Connection(server.api_address()) as b, \
            Connection(server.api_address()) as c:
        for round in range(1, 6):
            for connection, call in ((a, "/pause?x="), (b, f"/setdownrate?downrate={round}"),
                                     (c, f"/setuprate?uprate={round}")):
                connection.send(f"GET {call}&infohash={H1} HTTP/1.1\r\nHost: x\r\n"
                                f"Authorization: {TOKEN}\r\n\r\n".encode())
            assert [x.response().status for x in (a, b, c)] == [200] * 3
            session = go.session(H1)
            assert (session["status"], session["maxdown"], session["maxup"]) == (
                "paused", round, round)
            go.act("/resume", H1)


# ---- removing

@pytest.mark.parametrize("word", [None, "false", "0", "no", "False"])
def test_remove_keeps_the_data(go, seed, word):
    go.add_file(T2_TEXT, seed)
    go.act("/remove", H2, **({"deletedata": word} if word is not None else {}))
    assert (seed / "multi" / "sub" / "b.txt").exists()
    failed(go.get("/torrentdata", infohash=H2), 404)
    failed(go.get("/remove", infohash=H2), 404)


@pytest.mark.parametrize("word", ["true", "1", "yes", "True"])
def test_remove_with_the_data(go, seed, word):
    """Only its own files, then the folders that this leaves empty."""
    (seed / "multi" / "other.txt").write_text("not of the torrent")
    go.add_file(T2_TEXT, seed)
    eventually(lambda: go.session(H2)["pieces"] == "1111")
    go.act("/remove", H2, deletedata=word)
    assert sorted(str(p.relative_to(seed)) for p in seed.rglob("*")) == [
        "hello.txt", "multi", "multi/other.txt"]


@pytest.mark.parametrize("word", ["", "ture", "2", "on", "y", "true,false", "tru", "null"])
def test_a_typo_deletes_nothing(go, seed, word):
    go.add_file(T2_TEXT, seed)
    failed(go.get("/remove", infohash=H2, deletedata=word), 422, "deletedata")
    failed(go.call("GET", f"/remove?deletedata={word}", {"infohash": H2}), 422, "deletedata")
    assert go.session(H2)["infohash"] == H2
    assert (seed / "multi" / "a.txt").exists()


# ---- the documents' examples, by the query

def test_actions_by_the_query(go, seed):
    go.add_file(T2_TEXT, seed)
    eventually(lambda: go.session(H2)["pieces"] == "1111")
    for query in ("/pause?", "/setdownrate?downrate=3&", "/setuprate?uprate=4.5&"):
        go.done(go.call("GET", f"{query}infohash={H2}"))
    session = go.session(H2)
    assert (session["status"], session["maxdown"], session["maxup"]) == ("paused", 3, 4.5)
    go.done(go.call("GET", f"/resume?infohash={H2}"))
    go.done(go.call("GET", f"/remove?infohash={H2}&deletedata=yes"))
    assert not (seed / "multi").exists()


def test_a_header_counts_before_the_query(go, empty):
    go.add_file(T1_TEXT, empty)
    go.add_file(T2_TEXT, empty)
    go.done(go.call("GET", f"/pause?infohash={H2}", {"infohash": H1}))
    assert (go.session(H1)["status"], go.session(H2)["status"] != "paused") == ("paused", True)


def test_the_same_torrents_as_other_apis(go, server, empty):
    flow = TorrentFlow(server)
    go.add_file(T1_TEXT, empty)
    flow.pause(H1)
    assert go.session(H1)["status"] == "paused"
    flow.upload(T2, save_path=empty)
    go.act("/remove", H1)
    assert flow.call("GET", f"/torrents/{H1}").status == 404
    assert [s["infohash"] for s in go.sessions()] == [H2]


def test_expect_100_continue(server):
    go = GoTorrent(server)
    body = json.dumps({"file": T1_TEXT, "targetdir": str(server.data_dir / "downloads")}).encode()
    with Connection(server.api_address()) as connection:
        response = connection.request("POST", "/addtorrentfile", {**AUTH, "Expect": "100-continue"},
                                      body)
        assert response.status in (200, 403)
    assert len(go.sessions()) == (response.status == 200)

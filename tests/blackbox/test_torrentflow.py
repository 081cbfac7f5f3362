"""The TorrentFlow API: adding in every way, the status, pause, resume, remove, and who may call."""

import json
import time
from urllib.parse import quote

import pytest

from lib.http import Connection
from lib.rookery import AUTH, TOKEN
from lib.torrentflow import (
    H1, H1_BASE32, H2, HD, MAGNET, OPEN, T1, T2, TORRENTS, UNKNOWN, TorrentFlow, failed, multipart)
from lib.torrust import stranger
from lib.wait import eventually
from lib.web import dead_port


@pytest.fixture
def flow(server):
    return TorrentFlow(server, token=None)


# ---- adding

def test_upload(flow, empty):
    assert flow.added(flow.upload(T1, save_path=empty)) == H1
    status = flow.status(H1)
    assert (status["infohash"], status["name"], status["save_path"]) == (H1, "hello.txt",
                                                                         str(empty))
    assert status["files"] == [{"path": "hello.txt", "size": 12, "offset": 0}]


def test_upload_of_many_files(flow, empty):
    assert flow.added(flow.upload(T2, save_path=empty)) == H2
    status = flow.status(H2)
    assert status["name"] == "multi"
    assert status["files"] == [{"path": "multi/a.txt", "size": 1000, "offset": 0},
                               {"path": "multi/sub/b.txt", "size": 50000, "offset": 1000}]
    assert (status["comment"], status["creator"], status["creation_date"]) == (
        "c multi", "mk", 1700000000)
    assert (status["total_size"], status["piece_length"], status["num_pieces"]) == (51000, 16384, 4)


@pytest.mark.parametrize("filename", ["x.torrent", "", None, "../../etc/x;y\\\"z"])
def test_upload_with_and_without_a_file_name(flow, filename):
    assert flow.added(flow.upload(T1, filename=filename)) == H1


@pytest.mark.parametrize("path", ["/t1", "/oct", "/plain", "/redir", "/r5"])
def test_by_url(flow, web, path):
    assert flow.added(flow.post(torrent_url=web.url(path))) == H1
    assert flow.status(H1)["name"] == "hello.txt"


@pytest.mark.parametrize("link", [
    MAGNET, f"magnet:?xt=urn:btih:{HD.upper()}&dn=hello", f"MAGNET:?dn=hello&xt=urn:btih:{HD}",
    MAGNET + "&tr=" + quote("http://127.0.0.1:1/announce", safe="")])
def test_by_magnet(flow, link):
    assert flow.added(flow.post(torrent_url=link)) == HD


def test_by_magnet_in_base32(flow):
    assert flow.added(flow.post(torrent_url=f"magnet:?xt=urn:btih:{H1_BASE32}")) == H1


def test_multipart_with_a_url(flow, web, empty):
    headers, body = multipart(("torrent_url", None, web.url("/t1")), ("save_path", None, empty))
    assert flow.added(flow.call("POST", "/torrents", headers, body)) == H1
    assert flow.status(H1)["save_path"] == str(empty)


def test_the_url_wins_over_the_file(flow):
    assert flow.added(flow.upload(T1, torrent_url=MAGNET)) == HD
    failed(flow.call("GET", f"/torrents/{H1}"), 404, "Torrent not found")


def test_an_empty_url_counts_as_absent(flow):
    assert flow.added(flow.upload(T1, torrent_url="")) == H1


def test_the_last_of_a_repeated_field_wins(flow):
    body = f"torrent_url=x&torrent_url={quote(MAGNET, safe='')}".encode()
    response = flow.call("POST", "/torrents",
                         {"Content-Type": "application/x-www-form-urlencoded"}, body)
    assert flow.added(response) == HD


def test_added_twice(flow, empty, tmp_path):
    assert flow.added(flow.upload(T1, save_path=empty)) == H1
    first = flow.status(H1)
    assert flow.added(flow.upload(T1, save_path=tmp_path / "other")) == H1
    assert flow.added(flow.post(torrent_url=f"magnet:?xt=urn:btih:{H1}")) == H1
    again = flow.status(H1)
    assert again["save_path"] == first["save_path"] == str(empty)
    assert again["added_time"] == first["added_time"]


def test_expect_100_continue(server):
    headers, body = multipart(("torrent_file", "x.torrent", T1))
    with Connection(server.api_address()) as connection:
        response = connection.request("POST", "/torrents",
                                      {**headers, **AUTH, "Expect": "100-continue"}, body)
    assert response.json()["infohash"] == H1


def test_a_chunked_upload(server):
    headers, body = multipart(("torrent_file", "x.torrent", T1))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 50]), body[i:i + 50])
                      for i in range(0, len(body), 50)) + b"0\r\n\r\n"
    with Connection(server.api_address()) as connection:
        connection.send(f"POST /torrents HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                        f"{headers['Content-Type']}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                        + chunks)
        assert connection.response().json()["infohash"] == H1


# ---- save paths

def test_the_default_save_path(flow, server):
    flow.added(flow.post(torrent_url=MAGNET))
    assert flow.status(HD)["save_path"] == str(server.data_dir / "downloads")


def test_a_relative_save_path(start, tmp_path):
    """Below the download folder; missing folders are made."""
    downloads = tmp_path / "here"
    server = start({**OPEN, "client": {"download_dir": str(downloads)}})
    flow = TorrentFlow(server, token=None)
    flow.added(flow.post(torrent_url=MAGNET, save_path="a/b c"))
    assert flow.status(HD)["save_path"] == str(downloads / "a" / "b c")
    assert (downloads / "a" / "b c").is_dir()


@pytest.mark.parametrize("path", ["/", "/etc", "/etc/rookery", "../../../../../../etc", "{}x",
                                  "{}/../..", "{}/out", "{}/out/below"])
def test_a_save_path_outside(flow, tmp_path, path):
    (tmp_path / "out").symlink_to("/etc")
    failed(flow.upload(T1, save_path=path.replace("{}", str(tmp_path))), 403)
    failed(flow.call("GET", f"/torrents/{H1}"), 404)


def test_a_save_path_that_cannot_be_made(flow, tmp_path):
    (tmp_path / "file").write_text("in the way")
    failed(flow.upload(T1, save_path=tmp_path / "file" / "below"), 400)
    failed(flow.upload(T1, save_path=tmp_path / "file"), 400)
    failed(flow.upload(T1, save_path=tmp_path / ("n" * 300)), 400)
    failed(flow.call("GET", f"/torrents/{H1}"), 404)


# ---- what is refused

EITHER = "Either torrent_url or torrent_file must be provided"


@pytest.mark.parametrize("headers, body", [
    ({}, b""),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b""),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"torrent_url="),
    ({"Content-Type": "application/x-www-form-urlencoded"}, b"save_path=/tmp"),
    ({"Content-Type": "application/json"}, json.dumps({"torrent_url": MAGNET}).encode()),
    ({"Content-Type": "text/plain"}, b"torrent_url=magnet:?x"),
    multipart(("torrent_file", "", b"")),
    multipart(("other", None, "x")),
])
def test_neither(flow, headers, body):
    assert failed(flow.call("POST", "/torrents", headers, body), 400) == EITHER


def test_a_file_as_a_text(flow):
    response = flow.post(torrent_file=T1)
    assert response.status == 422
    detail = response.json()["detail"]
    assert [(d["loc"], d["type"]) for d in detail] == [(["body", "torrent_file"], "value_error")]


def test_two_files(flow):
    headers, body = multipart(("torrent_file", "a", T1), ("torrent_file", "b", T2))
    failed(flow.call("POST", "/torrents", headers, body), 400)


@pytest.mark.parametrize("metainfo", [
    b"hello", b"d", b"de", b"d4:infodee", b"i1e", T1[:-1], T1.replace(b"i12e", b"i-1e"),
    T1.replace(b"12:piece lengthi16384e", b"12:piece lengthi0e"),
    (TORRENTS / "v2_only.torrent").read_bytes()])
def test_uploads_that_are_no_torrents(flow, metainfo):
    failed(flow.upload(metainfo), 400)


@pytest.mark.parametrize("link", [
    "magnet:", "magnet:?", "magnet:?dn=x", "magnet:?xt=urn:btih:", "magnet:?xt=urn:btih:abc",
    "magnet:?xt=urn:btih:" + "g" * 40, "magnet:?xt=urn:sha1:" + "A" * 32,
    "magnet:?xt=urn:btmh:1220" + "a" * 64])
def test_bad_magnets(flow, link):
    failed(flow.post(torrent_url=link), 400)


@pytest.mark.parametrize("url", [
    "ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1:1/x", "x", "http://", "http:///x",
    "http://a b/", "//127.0.0.1/x", "javascript:1"])
def test_bad_urls(flow, url):
    failed(flow.post(torrent_url=url), 400)


def test_broken_multipart(flow):
    headers, body = multipart(("torrent_file", "x.torrent", T1))
    failed(flow.call("POST", "/torrents", headers, body[:-10]), 400)
    failed(flow.call("POST", "/torrents", {"Content-Type": "multipart/form-data"}, body), 400)


def test_a_body_that_is_too_large(start):
    server = start({"api": {**OPEN["api"], "max_body": 4096}})
    flow = TorrentFlow(server, token=None)
    failed(flow.upload(b"x" * 4096), 413, "api.max_body")
    assert flow.added(flow.upload(T1)) == H1


# ---- URLs

@pytest.mark.parametrize("path, text", [
    ("/nothing", "404"), ("/html", ""), ("/empty", ""), ("/round", ""), ("/r6", "")])
def test_urls_without_a_torrent(flow, web, path, text):
    failed(flow.post(torrent_url=web.url(path)), 400, text)


def test_nobody_listens(flow):
    with dead_port() as holder:
        failed(flow.post(torrent_url=f"http://127.0.0.1:{holder.getsockname()[1]}/"), 400)


def test_a_host_that_does_not_resolve(flow):
    failed(flow.post(torrent_url="http://rookery.invalid/x.torrent"), 400)


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[fd00:ec2::254]/",
    "http://0xa9fea9fe/", "http://2852039166/", "http://[::ffff:169.254.169.254]/"])
def test_link_local_addresses_never(flow, url):
    failed(flow.post(torrent_url=url), 403)


def test_redirects_are_checked_too(flow, web):
    failed(flow.post(torrent_url=web.url("/inside")), 403)
    failed(flow.post(torrent_url=web.url("/file")), 403)


@pytest.mark.parametrize("mode", ["public", "off"])
def test_modes_of_fetching(start, web, mode):
    server = start({"api": {"local_without_token": True, "url_fetch": mode}})
    flow = TorrentFlow(server, token=None)
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"):
        failed(flow.post(torrent_url=f"http://{host}:{web.port}/t1"), 403)
    assert web.requests == []
    assert flow.added(flow.post(torrent_url=MAGNET)) == HD


def test_public_is_the_default(start, web):
    flow = TorrentFlow(start({"api": {"local_without_token": True}}), token=None)
    failed(flow.post(torrent_url=web.url("/t1")), 403)


def test_a_file_behind_a_url_that_is_too_large(start, web):
    web.pages["/large"] = (200, {}, T1 + b"x" * 5000)
    flow = TorrentFlow(start({"api": {**OPEN["api"], "max_body": 4096}}), token=None)
    failed(flow.post(torrent_url=web.url("/large")), 400)


def test_a_fetch_says_nothing_about_the_caller(flow, web):
    flow.call("POST", f"/torrents?token={TOKEN}",
              {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "a=b",
               "X-Secret": "x"}, f"torrent_url={quote(web.url('/t1'), safe='')}".encode())
    (path, headers), = web.requests
    assert path == "/t1"
    assert not {"authorization", "cookie", "x-secret", "referer"} & {h.lower() for h in headers}
    assert headers["User-Agent"].startswith("Rookery/")


# ---- status

def test_without_metadata(flow):
    flow.added(flow.post(torrent_url=MAGNET))
    status = flow.status(HD)
    assert (status["state"], status["name"]) == ("downloading_metadata", "hello")
    assert not status["has_metadata"] and not status["is_seeding"] and not status["is_finished"]
    assert status["progress"] == 0.0 and status["files"] == []
    for key in ("total_size", "num_files", "piece_length", "num_pieces", "total_wanted",
                "total_done", "creation_date", "completed_time"):
        assert status[key] == 0, key
    assert (status["creator"], status["comment"]) == ("", "")


def test_without_metadata_and_name(flow):
    flow.added(flow.post(torrent_url=f"magnet:?xt=urn:btih:{HD}"))
    assert flow.status(HD)["name"] == HD


def test_a_new_download(flow, empty):
    before = int(time.time())
    flow.added(flow.upload(T2, save_path=empty))
    status = eventually(lambda: (s := flow.status(H2))["state"] == "downloading" and s)
    assert status["has_metadata"] and not status["paused"] and not status["auto_managed"]
    assert status["progress"] == 0.0
    assert (status["total_wanted"], status["total_done"], status["pieces_downloaded"]) == (
        51000, 0, 0)
    assert before <= status["added_time"] <= time.time()
    assert (status["completed_time"], status["last_seen_complete"]) == (0, 0)
    assert (status["time_since_download"], status["time_since_upload"]) == (-1, -1)
    assert status["error"] == ""


@pytest.mark.parametrize("metainfo, info_hash, length, n_pieces", [(T1, H1, 12, 1),
                                                                   (T2, H2, 51000, 4)])
def test_what_is_there_already_is_seeded(flow, seed, metainfo, info_hash, length, n_pieces):
    flow.added(flow.upload(metainfo, save_path=seed))
    status = eventually(lambda: (s := flow.status(info_hash))["state"] == "seeding" and s, 20)
    assert status["is_seeding"] and status["is_finished"]
    assert status["progress"] == 100.0
    assert status["total_done"] == status["total_wanted_done"] == status["total_size"] == length
    assert status["pieces_downloaded"] == status["num_pieces"] == n_pieces
    assert status["total_download"] == 0


def test_content_that_is_wrong_is_not_believed(flow, seed):
    (seed / "multi" / "sub" / "b.txt").write_bytes(b"B" * 20000 + b"x" + b"B" * 29999)
    flow.added(flow.upload(T2, save_path=seed))
    status = eventually(lambda: (s := flow.status(H2))["state"] == "downloading" and s, 20)
    assert status["pieces_downloaded"] == 3
    assert 0 < status["progress"] < 100


@pytest.mark.parametrize("name", [
    H1.upper(), H1_BASE32, H1_BASE32.lower(), quote(bytes.fromhex(H1), safe=""),
    quote("".join(map(chr, bytes.fromhex(H1))), safe=""), H1 + "/"])
def test_forms_of_an_info_hash(flow, name):
    flow.added(flow.upload(T1))
    response = flow.call("GET", f"/torrents/{name}")
    assert response.status == 200 and response.json()["infohash"] == H1


def test_head(flow):
    flow.added(flow.upload(T1))
    response = flow.call("HEAD", f"/torrents/{H1}")
    assert (response.status, response.body) == (200, b"")
    assert flow.call("HEAD", f"/torrents/{UNKNOWN}").status == 404


# ---- changes

def test_pause_and_resume(flow, seed):
    flow.added(flow.upload(T1, save_path=seed))
    eventually(lambda: flow.status(H1)["state"] == "seeding", 20)
    for _ in range(2):
        flow.pause(H1)
        status = flow.status(H1)
        assert status["paused"] and not status["auto_managed"] and status["state"] == "seeding"
    for _ in range(2):
        flow.resume(H1)
        assert not flow.status(H1)["paused"]


def test_a_pause_sticks(server, flow, empty):
    flow.added(flow.upload(T1, save_path=empty))
    flow.added(flow.upload(T2, save_path=empty))
    flow.pause(H1)
    server.restart()
    eventually(lambda: flow.status(H1)["paused"])
    assert not flow.status(H2)["paused"]
    server.kill9()
    server.start()
    eventually(lambda: flow.status(H1)["paused"])


def test_a_pause_without_metadata(flow):
    flow.added(flow.post(torrent_url=MAGNET))
    flow.pause(HD)
    status = flow.status(HD)
    assert status["paused"] and status["state"] == "downloading_metadata"
    flow.resume(HD)
    assert not flow.status(HD)["paused"]


def test_remove(flow, seed):
    """The files stay."""
    flow.added(flow.upload(T2, save_path=seed))
    eventually(lambda: flow.status(H2)["state"] == "seeding", 20)
    flow.remove(H2)
    failed(flow.call("GET", f"/torrents/{H2}"), 404, "Torrent not found")
    failed(flow.call("DELETE", f"/torrents/{H2}"), 404, "Torrent not found")
    assert (seed / "multi" / "a.txt").read_bytes() == b"A" * 1000
    assert (seed / "multi" / "sub" / "b.txt").stat().st_size == 50000


def test_removed_and_added_again(flow, seed):
    for _ in range(3):
        assert flow.added(flow.upload(T1, save_path=seed)) == H1
        eventually(lambda: flow.status(H1)["state"] == "seeding", 20)
        flow.remove(H1)


def test_a_removed_torrent_stays_away(server, flow):
    flow.added(flow.upload(T1))
    flow.added(flow.post(torrent_url=MAGNET))
    flow.remove(H1)
    server.restart()
    eventually(lambda: flow.status(HD)["name"] == "hello")
    failed(flow.call("GET", f"/torrents/{H1}"), 404)


def test_bodies_of_changes_are_ignored(flow):
    flow.added(flow.upload(T1))
    for method, path in (("PUT", "/pause"), ("PUT", "/resume"), ("DELETE", "")):
        response = flow.call(method, f"/torrents/{H1}{path}", {"Content-Type": "application/json"},
                             b"{not json")
        assert response.status == 200


@pytest.mark.parametrize("name", [UNKNOWN, "x", H1[:8], H1 + "0", "g" * 40, "%00", "%ff", "%zz",
                                  "a%2Fb"])
@pytest.mark.parametrize("method, path", [
    ("GET", ""), ("DELETE", ""), ("PUT", "/pause"), ("PUT", "/resume")])
def test_unknown_torrents(shared_servers, method, path, name):
    flow = TorrentFlow(shared_servers.once("open", OPEN), token=None)
    assert failed(flow.call(method, f"/torrents/{name}{path}"), 404) == "Torrent not found"


@pytest.mark.parametrize("method, path, allow", [
    ("GET", "/torrents", "POST"), ("DELETE", "/torrents", "POST"), ("PUT", "/torrents", "POST"),
    ("POST", f"/torrents/{H1}", "GET, HEAD, DELETE"),
    ("POST", f"/torrents/{H1}/pause", "PUT"), ("GET", f"/torrents/{H1}/resume", "PUT")])
def test_wrong_methods(shared_servers, method, path, allow):
    flow = TorrentFlow(shared_servers.once("open", OPEN), token=None)
    response = flow.call(method, path)
    assert failed(response, 405) == "Method Not Allowed"
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("method, path", [
    ("POST", "/torrents/"), ("DELETE", "/torrents/"), ("GET", f"/torrents/{H1}/x"),
    ("DELETE", f"/torrents/{H1}/"), ("PUT", f"/torrents/{H1}/pause/"), ("GET", "/torrents/a/b/c")])
def test_paths_that_are_none(shared_servers, method, path):
    flow = TorrentFlow(shared_servers.once("open", OPEN), token=None)
    assert failed(flow.call(method, path), 404) == "Not Found"


# ---- who may call

CALLS = [("POST", "/torrents"), ("GET", f"/torrents/{UNKNOWN}"), ("DELETE", f"/torrents/{UNKNOWN}"),
         ("PUT", f"/torrents/{UNKNOWN}/pause"), ("PUT", f"/torrents/{UNKNOWN}/resume"),
         ("GET", "/torrents"), ("GET", "/torrents/a/b/c")]


@pytest.mark.parametrize("method, path", CALLS)
def test_a_token_is_needed_by_default(shared_servers, method, path):
    server = shared_servers.once("closed", {})
    response = server.api(method, path, token=None, headers={"Host": "localhost"})
    failed(response, 401)
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert server.api(method, path).status in (400, 404, 405)


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "localhost.evil.example"}, {"Host": "192.0.2.1"},
    {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "127.0.0.1"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"}])
@pytest.mark.parametrize("method, path", CALLS)
def test_conditions_of_calls_without_a_token(shared_servers, method, path, headers):
    server = shared_servers.once("open", OPEN)
    failed(server.api(method, path, token=None, headers=headers, source=stranger()), 401)
    assert server.api(method, path, headers=headers).status in (400, 404, 405)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST:99", "mine.example",
                                  "mine.example:80"])
def test_hosts_that_are_known(shared_servers, host):
    server = shared_servers.once("named", {"api": {**OPEN["api"], "hosts": ["mine.example"]}})
    assert server.api("GET", f"/torrents/{UNKNOWN}", token=None,
                      headers={"Host": host}).status == 404
    assert server.api("GET", f"/torrents/{UNKNOWN}", token=None,
                      headers={"Host": host, "Origin": f"http://{host}"}).status == 404


@pytest.mark.parametrize("method, path", CALLS)
def test_a_wrong_token_where_none_is_needed(shared_servers, method, path):
    server = shared_servers.once("open", OPEN)
    failed(server.api(method, path, token="wrong", source=stranger()), 401)
    failed(server.api(method, path, token=None, headers={"Authorization": "Bearer wrong"},
                      source=stranger()), 401)


def test_nothing_happens_without_a_token(start):
    server = start({"api": {"url_fetch": "any"}})
    flow = TorrentFlow(server)
    anybody = TorrentFlow(server, token=None)
    flow.added(flow.upload(T1))
    failed(anybody.upload(T2), 401)
    failed(anybody.call("DELETE", f"/torrents/{H1}"), 401)
    failed(anybody.call("PUT", f"/torrents/{H1}/pause"), 401)
    failed(anybody.upload(b"x" * 20_000_000), 401)
    assert not flow.status(H1)["paused"]
    failed(flow.call("GET", f"/torrents/{H2}"), 404)


# ---- around it

def test_torrents_survive(server, flow, seed, empty):
    flow.added(flow.upload(T1, save_path=empty))
    flow.added(flow.upload(T2, save_path=seed))
    flow.added(flow.post(torrent_url=MAGNET))
    eventually(lambda: flow.status(H2)["state"] == "seeding", 20)
    before = {h: flow.status(h) for h in (H1, H2, HD)}
    for end in (server.stop, server.kill9):
        end()
        server.start()
        eventually(lambda: flow.status(HD)["name"] == "hello")
        eventually(lambda: flow.status(H2)["state"] == "seeding", 20)
        for info_hash, was in before.items():
            now = flow.status(info_hash)
            for key in ("name", "save_path", "added_time", "comment", "creator", "creation_date",
                        "files", "paused", "total_size"):
                assert now[key] == was[key], key


def test_switched_off(start):
    server = start({**OPEN, "client": {"enabled": False}})
    flow = TorrentFlow(server, token=None)
    assert server.ready["client"] == []
    for method, path in CALLS[:5]:
        assert failed(flow.call(method, path), 503) == "the client is switched off"
    failed(flow.call("GET", "/torrents"), 405)


def test_the_ready_file_names_the_client(server):
    address, = server.ready["client"]
    assert address.startswith("127.0.0.1:") and not address.endswith(":0")


def test_the_database_is_away(start, own_cluster):
    server = start(database=own_cluster.new_database())
    flow = TorrentFlow(server, token=None)
    flow.added(flow.upload(T1))
    own_cluster.stop()
    eventually(lambda: flow.upload(T2).status == 503, 20)
    failed(flow.upload(T2), 503)
    failed(flow.call("PUT", f"/torrents/{H1}/pause"), 503)
    failed(flow.call("DELETE", f"/torrents/{H1}"), 503)
    assert not flow.status(H1)["paused"]
    failed(flow.call("GET", f"/torrents/{H2}"), 404)
    own_cluster.start()
    eventually(lambda: flow.upload(T2).status == 200, 20)
    assert flow.status(H2)["name"] == "multi"


def test_metrics(server, flow, seed):
    flow.added(flow.upload(T1, save_path=seed))
    flow.added(flow.post(torrent_url=MAGNET))
    eventually(lambda: flow.status(H1)["state"] == "seeding", 20)
    response = server.api("GET", "/metrics")
    values = dict(line.rsplit(" ", 1) for line in response.text.splitlines()
                  if not line.startswith("#"))
    assert values['rookery_client_torrents{state="seeding"}'] == "1"
    assert values['rookery_client_torrents{state="downloading_metadata"}'] == "1"
    assert values["rookery_client_hash_failures_total"] == "0"
    names = [m["name"] for m in server.get("/api/v1/metrics?format=json")["metrics"]]
    assert "rookery_client_bytes_total" in names

"""The RestTorrent API over HTTP: sessions on ports of their own, torrents in them, and what stays
over a restart."""

import base64
import json
import random
import socket
import threading
from urllib.parse import quote

import pytest

from lib.resttorrent import (
    FORM, RestTorrent, bind, check_torrent, failed, free_ports, is_free, is_listening)
from lib.rookery import AUTH
from lib.torrentflow import (
    H1, H1_BASE32, H2, HD, MAGNET, OPEN, T1, T2, UNKNOWN, TorrentFlow, multipart)
from lib.torrust import stranger
from lib.wait import eventually
from lib.web import dead_port

NOBODY = "0" * 32
BIND_FAILED = "bind failed address already in use"


@pytest.fixture
def rest(server):
    return RestTorrent(server, token=None)


@pytest.fixture
def session(rest):
    return rest.create()


# ---- sessions

def test_no_session_at_the_start(rest):
    assert rest.call("GET", "").json() == {"status": "success", "sessions": []}


def test_create_show_and_delete(rest):
    first = free_ports(2)
    made = rest.create(port_range=f"{first},{first + 1}")
    assert (made["port"], made["ports"]) == (first, [first, first + 1])
    assert rest.sessions() == [made]
    assert rest.get(f"/{made['id']}") == made
    assert rest.get(f"/{made['id'].upper()}") == made
    assert is_listening(("127.0.0.1", first))
    rest.delete(made)
    assert rest.sessions() == []
    assert is_free(first)
    failed(rest.call("DELETE", f"/{made['id']}"), 404, "session.notfound", "session not found")
    failed(rest.call("GET", f"/{made['id']}"), 404, "session.notfound", "session not found")


def test_the_port_is_really_bound(rest):
    port = rest.create()["port"]
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with pytest.raises(OSError):
            bind(kind, port)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_the_first_free_port(rest, kind):
    first = free_ports(4)
    wanted = f"{first},{first + 3}"
    with bind(kind, first), bind(kind, first + 2):
        one, two = rest.create(port_range=wanted), rest.create(port_range=wanted)
        assert (one["port"], two["port"]) == (first + 1, first + 3)
        assert one["id"] != two["id"]
        failed(rest.post("", port_range=wanted), 409, "session.bind", BIND_FAILED)
        assert rest.sessions() == [one, two]
        rest.delete(one)
        assert rest.create(port_range=wanted)["port"] == first + 1


def test_the_default_range(rest):
    """Somebody may have all of it: then that is what is said."""
    response = rest.post("")
    if response.status == 409:
        failed(response, 409, "session.bind", BIND_FAILED)
    else:
        made = rest.success(response)["session"]
        assert made["ports"] == [6881, 6891]
        assert 6881 <= made["port"] <= 6891


@pytest.mark.parametrize("how", ["query", "form", "multipart", "json text", "json number",
                                 "json array", "json pair", "json as a form", "ports", "two ports"])
def test_ways_to_say_the_range(rest, how):
    port = free_ports(2)
    fields = {"query": {}, "form": {"port_range": port}, "ports": {"ports": port},
              "two ports": {"ports": f"{port}, {port}"}}
    bodies = {"json text": {"port_range": f"{port},{port}"}, "json number": {"port_range": port},
              "json array": {"ports": [port]}, "json pair": {"ports": [f"{port}", port]},
              "json as a form": {"ports": [port]}}
    if how in fields:
        path = f"?port_range={port}" if how == "query" else ""
        response = rest.post(path, **fields[how])
    elif how == "multipart":
        headers, body = multipart(("port_range", None, str(port)))
        response = rest.call("POST", "", headers, body)
    else:
        headers = FORM if how == "json as a form" else {"Content-Type": "application/json; charset=utf-8"}
        response = rest.call("POST", "", headers, json.dumps(bodies[how]).encode())
    made = rest.success(response)["session"]
    assert (made["port"], made["ports"]) == (port, [port, port])


def test_later_sources_win(rest):
    first = free_ports(2)
    headers = {"Content-Type": "application/json"}
    response = rest.call("POST", f"?port_range={first}", headers,
                         json.dumps({"port_range": first + 1}).encode())
    assert rest.success(response)["session"]["port"] == first + 1
    made = rest.success(rest.post(f"?port_range={first + 1}", port_range=first))["session"]
    assert made["port"] == first
    assert rest.get(f"/{made['id']}?session_id={NOBODY}") == made


@pytest.mark.parametrize("value", [
    "", "x", "1,x", "6881-6891", "6891,6881", "0,6881", "65536", "1,65536", "-1", "1,2,3", "6881,",
    ",6881", "6881.0", "0x1a"])
def test_ranges_that_are_none(shared_servers, value):
    rest = RestTorrent(shared_servers.once("open", OPEN), token=None)
    failed(rest.post("", port_range=value), 400, "param.invalid")
    assert rest.sessions() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"port_range":{}}', b'{"port_range":[}',
                                  b'{"ports":true}', b'{"memory_only":2}', b'{"memory_only":"x"}',
                                  b'{"memory_only":""}', b'{"memory_only":[]}'])
def test_bodies_that_are_none(shared_servers, body):
    rest = RestTorrent(shared_servers.once("open", OPEN), token=None)
    failed(rest.call("POST", "", {"Content-Type": "application/json"}, body), 400, "param.invalid")
    assert rest.sessions() == []


def test_sessions_listen_on_all_hosts(start):
    config = {**OPEN, "client": {"listen": ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"]}}
    rest = RestTorrent(start(config), token=None)
    port = rest.create()["port"]
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        assert is_listening((host, port)) and not is_free(port, host)
    first = free_ports(2)
    with bind(socket.SOCK_STREAM, first, "127.0.0.2"):
        assert rest.create(port_range=f"{first},{first + 1}")["port"] == first + 1
        assert is_free(first)


def test_a_port_of_another_session_of_the_client(rest, server):
    port = int(server.ready["client"][0].rsplit(":", 1)[1])
    failed(rest.post("", port_range=port), 409, "session.bind", BIND_FAILED)


def test_many_sessions(start):
    rest = RestTorrent(start(), token=None)
    made = [rest.create() for _ in range(256)]
    failed(rest.post("", port_range="0"), 503, "unavailable")
    assert rest.sessions() == made
    rest.delete(made.pop(7))
    made.append(rest.create())
    assert rest.sessions() == made


# ---- adding torrents

def test_upload(rest, session, tmp_path):
    torrent = rest.added(rest.upload(session, T1, tmp_path))
    assert torrent["infohash"] == H1
    assert (torrent["name"], torrent["total_size"]) == ("hello.txt", 12)
    assert torrent["save_path"] == str(tmp_path)
    assert torrent["memory_only"] is True and torrent["paused"] is False
    assert rest.torrent(session, H1)["infohash"] == H1


@pytest.mark.parametrize("filename", ["x.torrent", "", None])
def test_upload_with_and_without_a_file_name(rest, session, tmp_path, filename):
    assert rest.added(rest.upload(session, T1, tmp_path, filename))["infohash"] == H1


@pytest.mark.parametrize("how", ["json", "form", "raw form"])
def test_a_file_in_base64(rest, session, tmp_path, how):
    text = base64.b64encode(T1).decode()
    if how == "json":
        response = rest.add(session, tmp_path, json=True, file=text)
    else:
        response = rest.add(session, tmp_path, file=text if how == "form" else T1)
    assert rest.added(response)["infohash"] == H1


@pytest.mark.parametrize("json", [True, False])
def test_a_magnet(rest, session, tmp_path, json):
    torrent = rest.added(rest.add(session, tmp_path, json=json, magnet=MAGNET))
    assert (torrent["infohash"], torrent["name"], torrent["state"]) == (
        HD, "hello", "downloading_metadata")
    assert (torrent["progress"], torrent["total_size"]) == (0.0, 0)


@pytest.mark.parametrize("path", ["/t1", "/oct", "/redir"])
def test_a_url(rest, session, tmp_path, web, path):
    assert rest.added(rest.add(session, tmp_path, url=web.url(path)))["infohash"] == H1


def test_a_magnet_as_url(rest, session, tmp_path):
    assert rest.added(rest.add(session, tmp_path, url=MAGNET))["infohash"] == HD


def test_what_is_there_already_is_seeded(rest, session, seed):
    rest.added(rest.upload(session, T2, seed))
    torrent = eventually(lambda: (t := rest.torrent(session, H2))["state"] == "seeding" and t, 20)
    assert torrent["progress"] == 1.0


@pytest.mark.parametrize("value, paused", [("0", True), ("1", False), ("false", True),
                                           ("true", False)])
def test_autostart(rest, session, tmp_path, value, paused):
    assert rest.added(rest.upload(session, T1, tmp_path, autostart=value))["paused"] is paused


@pytest.mark.parametrize("value, paused", [(0, True), (1, False), (False, True), (None, False)])
def test_autostart_in_json(rest, session, tmp_path, value, paused):
    response = rest.add(session, tmp_path, json=True, magnet=MAGNET, autostart=value)
    assert rest.added(response)["paused"] is paused


@pytest.mark.parametrize("mode", ["sparse", "allocate"])
def test_storage_mode(server, rest, session, tmp_path, mode):
    """Seen through another API."""
    rest.added(rest.upload(session, T2, tmp_path, storage_mode=mode))
    assert TorrentFlow(server).status(H2)["storage_mode"] == f"storage_mode_{mode}"


def test_added_twice(rest, session, tmp_path):
    """The first one stays as it is; in another session it is in the way."""
    first = rest.added(rest.upload(session, T1, tmp_path / "a"))
    again = rest.added(rest.upload(session, T1, tmp_path / "b", autostart=0))
    assert again["save_path"] == first["save_path"] == str(tmp_path / "a")
    assert again["paused"] is False
    other = rest.create()
    failed(rest.upload(other, T1, tmp_path), 409, "torrent.exists")
    assert rest.torrents(other) == []


def test_a_torrent_of_the_default_session_is_in_the_way(server, rest, session, tmp_path):
    flow = TorrentFlow(server)
    flow.added(flow.upload(T1))
    failed(rest.upload(session, T1, tmp_path), 409, "torrent.exists")
    failed(rest.call("GET", rest.path(session, H1)), 404, "torrent.notfound", "torrent not found")


def test_other_apis_see_and_leave_it(server, rest, session, tmp_path):
    rest.added(rest.upload(session, T1, tmp_path))
    flow = TorrentFlow(server)
    assert flow.added(flow.upload(T1)) == H1
    assert flow.status(H1)["save_path"] == str(tmp_path)
    assert rest.torrent(session, H1)["save_path"] == str(tmp_path)
    flow.pause(H1)
    assert rest.torrent(session, H1)["paused"]
    flow.remove(H1)
    failed(rest.call("GET", rest.path(session, H1)), 404, "torrent.notfound")


SELECT = "select one of file, magnet, url"


@pytest.mark.parametrize("fields", [
    {}, {"magnet": ""}, {"file": "", "url": ""}, {"magnet": MAGNET, "url": "http://127.0.0.1/"},
    {"file": "x", "magnet": MAGNET}, {"file": "x", "magnet": MAGNET, "url": "http://127.0.0.1/"}])
def test_none_or_more_than_one_source(rest, session, tmp_path, fields):
    failed(rest.add(session, tmp_path, **fields), 400, "upload.target.selectone", SELECT)
    assert rest.torrents(session) == []


def test_two_files(rest, session, tmp_path):
    headers, body = multipart(("save_path", None, tmp_path), ("file", "a", T1), ("file", "b", T2))
    failed(rest.call("POST", rest.path(session), headers, body), 400, "param.invalid")
    assert rest.torrents(session) == []


@pytest.mark.parametrize("json", [True, False])
def test_no_save_path(rest, session, json):
    for save_path in ("", None) if json else ("",):
        fields = {"magnet": MAGNET, "save_path": save_path}
        response = (rest.call("POST", rest.path(session), body=fields) if json
                    else rest.post(rest.path(session), **fields))
        failed(response, 400, "upload.savepath", "save_path required")
    failed(rest.post(rest.path(session), magnet=MAGNET), 400, "upload.savepath",
           "save_path required")


@pytest.mark.parametrize("fields", [
    {"magnet": "magnet:?dn=x"}, {"magnet": "magnet:"}, {"magnet": "http://127.0.0.1/t1"},
    {"magnet": "x"}, {"magnet": "magnet:?xt=urn:btih:abc"}, {"url": "ftp://127.0.0.1/x"},
    {"url": "file:///etc/passwd"}, {"url": "x"}, {"file": "hello"}, {"file": "aGVsbG8="},
    {"file": "d4:infodee"}])
def test_sources_that_are_none(rest, session, tmp_path, fields):
    failed(rest.add(session, tmp_path, **fields), 400, "upload.invalid")
    assert rest.torrents(session) == []


@pytest.mark.parametrize("metainfo", [b"hello", b"d", T1[:-1], T1.replace(b"i12e", b"i-1e")])
def test_uploads_that_are_no_torrents(rest, session, tmp_path, metainfo):
    failed(rest.upload(session, metainfo, tmp_path), 400, "upload.invalid")


@pytest.mark.parametrize("path", ["/nothing", "/html"])
def test_urls_without_a_torrent(rest, session, tmp_path, web, path):
    failed(rest.add(session, tmp_path, url=web.url(path)), 400, "upload.invalid")


def test_nobody_is_at_the_url(rest, session, tmp_path):
    with dead_port() as holder:
        url = f"http://127.0.0.1:{holder.getsockname()[1]}/"
        failed(rest.add(session, tmp_path, url=url), 502, "upload.fetch")
    failed(rest.add(session, tmp_path, url="http://rookery.invalid/x"), 502, "upload.fetch")


def test_urls_that_are_not_allowed(rest, session, tmp_path, web):
    for url in ("http://169.254.169.254/", web.url("/inside")):
        failed(rest.add(session, tmp_path, url=url), 403, "access.denied")


@pytest.mark.parametrize("path", ["/", "/etc", "../../../../../../etc", "{}x", "{}/../.."])
def test_outside_of_the_allowed_folders(rest, session, tmp_path, path):
    failed(rest.upload(session, T1, path.replace("{}", str(tmp_path))), 403, "access.denied",
           "access denied")


def test_a_save_path_that_cannot_be_made(rest, session, tmp_path):
    (tmp_path / "file").write_text("in the way")
    failed(rest.upload(session, T1, tmp_path / "file" / "below"), 400, "upload.savepath")


@pytest.mark.parametrize("fields", [
    {"autostart": "2"}, {"autostart": "yes"}, {"autostart": ""}, {"memory_only": "-1"},
    {"storage_mode": "full"}, {"storage_mode": ""}])
def test_options_that_are_none(rest, session, tmp_path, fields):
    failed(rest.upload(session, T1, tmp_path, **fields), 400, "param.invalid")
    assert rest.torrents(session) == []


def test_a_body_that_is_too_large(start, tmp_path):
    rest = RestTorrent(start({"api": {**OPEN["api"], "max_body": 4096}}), token=None)
    session = rest.create()
    failed(rest.upload(session, b"x" * 4096, tmp_path), 413, "body.toolarge")


def test_broken_multipart(rest, session, tmp_path):
    headers, body = multipart(("save_path", None, tmp_path), ("file", "x.torrent", T1))
    failed(rest.call("POST", rest.path(session), headers, body[:-10]), 400, "param.invalid")


# ---- lists

def test_list(rest, session, tmp_path):
    assert rest.call("GET", rest.path(session)).json() == {"status": "success", "torrents": []}
    rest.added(rest.upload(session, T2, tmp_path))
    rest.added(rest.upload(session, T1, tmp_path))
    rest.added(rest.add(session, tmp_path, magnet=MAGNET))
    listed = rest.torrents(session)
    assert [check_torrent(t)["infohash"] for t in listed] == [H2, H1, HD]
    assert [t["name"] for t in listed] == ["multi", "hello.txt", "hello"]


def test_fields(rest, session, tmp_path):
    rest.added(rest.upload(session, T1, tmp_path))
    assert rest.torrents(session, "?fields=infohash") == [{"infohash": H1}]
    assert rest.torrents(session, "?fields=name,%20info_hash") == [
        {"info_hash": H1, "name": "hello.txt"}]
    assert rest.torrents(session, "?fields=total_size,nothing,,paused") == [
        {"paused": False, "total_size": 12}]
    assert rest.torrents(session, "?fields=nothing") == [{}]
    check_torrent(*rest.torrents(session, "?fields="))


def test_each_session_has_its_own(rest, tmp_path):
    one, two = rest.create(), rest.create()
    rest.added(rest.upload(one, T1, tmp_path))
    rest.added(rest.upload(two, T2, tmp_path))
    assert rest.torrents(one, "?fields=infohash") == [{"infohash": H1}]
    assert rest.torrents(two, "?fields=infohash") == [{"infohash": H2}]
    failed(rest.call("GET", rest.path(one, H2)), 404, "torrent.notfound", "torrent not found")
    failed(rest.put(two, H1, pause=1), 404, "torrent.notfound", "torrent not found")
    assert not rest.torrent(one, H1)["paused"]


def test_a_long_list(rest, session, tmp_path):
    hashes = [f"{i:040x}" for i in range(1, 301)]
    for info_hash in hashes:
        rest.added(rest.add(session, tmp_path, magnet=f"magnet:?xt=urn:btih:{info_hash}"))
    assert [t["infohash"] for t in rest.torrents(session, "?fields=infohash")] == hashes


def test_head_and_slashes(rest, session, tmp_path):
    rest.added(rest.upload(session, T1, tmp_path))
    for path in ("", f"/{session['id']}", rest.path(session), rest.path(session, H1)):
        response = rest.call("HEAD", path)
        assert (response.status, response.body) == (200, b"")
        rest.get(path + "/")


# ---- one torrent

@pytest.mark.parametrize("name", [
    H1.upper(), H1_BASE32, H1_BASE32.lower(), quote(bytes.fromhex(H1), safe="")])
def test_forms_of_an_info_hash(rest, session, tmp_path, name):
    rest.added(rest.upload(session, T1, tmp_path))
    assert rest.torrent(session, name)["infohash"] == H1


def test_pause_and_resume(rest, session, tmp_path):
    rest.added(rest.upload(session, T1, tmp_path))
    for value, paused in (("1", True), ("1", True), ("0", False), ("true", True), ("false", False)):
        assert rest.success(rest.put(session, H1, pause=value)) == {}
        assert rest.torrent(session, H1)["paused"] is paused


def test_ways_to_pause(rest, session, tmp_path):
    rest.added(rest.upload(session, T1, tmp_path))
    path = rest.path(session, H1)
    for response, paused in (
            (lambda: rest.call("PUT", path + "?pause=1"), True),
            (lambda: rest.call("PUT", path, body={"pause": 0}), False),
            (lambda: rest.call("PUT", path, body={"pause": True}), True),
            (lambda: rest.call("PUT", path, *multipart(("pause", None, "0"))), False)):
        rest.success(response())
        assert rest.torrent(session, H1)["paused"] is paused


def test_nothing_to_change(rest, session, tmp_path):
    rest.added(rest.upload(session, T1, tmp_path, autostart=0))
    assert rest.success(rest.call("PUT", rest.path(session, H1))) == {}
    assert rest.success(rest.put(session, H1, other=1)) == {}
    assert rest.torrent(session, H1)["paused"]


@pytest.mark.parametrize("value", ["2", "-1", "", "yes", "1.0"])
def test_a_pause_that_is_none(rest, session, tmp_path, value):
    rest.added(rest.upload(session, T1, tmp_path))
    failed(rest.put(session, H1, pause=value), 400, "param.invalid")
    assert not rest.torrent(session, H1)["paused"]


def test_peers(start, seed, tmp_path):
    """Two servers, slow enough to be looked at."""
    rest = RestTorrent(start({**OPEN, "client": {"max_upload_rate": 16384}}), token=None)
    seeding = rest.create()
    rest.added(rest.upload(seeding, T2, seed))
    assert rest.peers(seeding, H2) == []
    eventually(lambda: rest.torrent(seeding, H2)["state"] == "seeding", 20)
    other = RestTorrent(start(), token=None)
    leeching = other.create()
    (tmp_path / "there").mkdir()
    other.added(other.add(leeching, tmp_path / "there",
                          magnet=f"magnet:?xt=urn:btih:{H2}&x.pe=127.0.0.1:{seeding['port']}"))
    peer, = eventually(lambda: other.peers(leeching, H2), 20)
    assert {k: type(v) for k, v in peer.items()} == {
        "ip": str, "port": int, "client": str, "progress": float, "download_rate": int,
        "upload_rate": int, "flags": str}
    assert (peer["ip"], peer["port"]) == ("127.0.0.1", seeding["port"])
    peer, = eventually(lambda: (p := other.peers(leeching, H2)) and "D" in p[0]["flags"] and p, 20)
    assert peer["client"].startswith("Rookery") and peer["progress"] == 1.0
    seen, = rest.peers(seeding, H2)
    assert "I" in seen["flags"] and seen["client"].startswith("Rookery")
    eventually(lambda: other.torrent(leeching, H2)["state"] == "seeding", 30)
    assert (tmp_path / "there" / "multi" / "a.txt").read_bytes() == b"A" * 1000


# ---- what is not there

CALLS = [("GET", "/{s}"), ("DELETE", "/{s}"), ("GET", "/{s}/torrents"), ("POST", "/{s}/torrents"),
         ("GET", "/{s}/torrents/{h}"), ("PUT", "/{s}/torrents/{h}"),
         ("GET", "/{s}/torrents/{h}/peers")]


@pytest.mark.parametrize("name", [NOBODY, "1", "0", "x", "%00", "%ff%zz", "a%2Fb"])
@pytest.mark.parametrize("method, path", CALLS)
def test_unknown_sessions(shared_servers, method, path, name):
    rest = RestTorrent(shared_servers.once("open", OPEN), token=None)
    failed(rest.call(method, path.format(s=name, h=H1)), 404, "session.notfound",
           "session not found")


@pytest.mark.parametrize("method, path", CALLS[4:])
def test_unknown_torrents(rest, session, method, path):
    failed(rest.call(method, path.format(s=session["id"], h=UNKNOWN)), 404, "torrent.notfound",
           "torrent not found")
    for name in ("x", H1[:8], H1 + "0", "g" * 40, "%00"):
        failed(rest.call(method, path.format(s=session["id"], h=name)), 400, "infohash.invalid",
               "invalid infohash")


@pytest.mark.parametrize("method, path, allow", [
    ("DELETE", "", "GET, HEAD, POST"), ("PUT", "/x", "GET, HEAD, DELETE"),
    ("POST", "/x", "GET, HEAD, DELETE"), ("DELETE", "/x/torrents", "GET, HEAD, POST"),
    ("DELETE", f"/x/torrents/{H1}", "GET, HEAD, PUT"),
    ("POST", f"/x/torrents/{H1}/peers", "GET, HEAD")])
def test_wrong_methods(shared_servers, method, path, allow):
    rest = RestTorrent(shared_servers.once("open", OPEN), token=None)
    response = rest.call(method, path)
    failed(response, 405, "method.notallowed")
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("method, path", [
    ("DELETE", "/"), ("POST", "/"), ("GET", "/x/y"), ("GET", f"/x/torrents/{H1}/peers/y"),
    ("PUT", "/x/torrents/"), ("DELETE", f"/{NOBODY}/")])
def test_paths_that_are_none(shared_servers, method, path):
    rest = RestTorrent(shared_servers.once("open", OPEN), token=None)
    failed(rest.call(method, path), 404, "path.notfound")


# ---- removing sessions

def test_a_deleted_session_keeps_the_files(server, rest, seed):
    session = rest.create()
    rest.added(rest.upload(session, T1, seed))
    rest.added(rest.upload(session, T2, seed))
    rest.added(rest.add(session, seed, magnet=MAGNET))
    eventually(lambda: rest.torrent(session, H2)["state"] == "seeding", 20)
    rest.delete(session)
    assert is_free(session["port"])
    assert (seed / "hello.txt").read_bytes() == b"hello world\n"
    assert (seed / "multi" / "sub" / "b.txt").stat().st_size == 50000
    flow = TorrentFlow(server)
    for info_hash in (H1, H2, HD):
        assert flow.call("GET", f"/torrents/{info_hash}").status == 404
    other = rest.create()
    assert rest.added(rest.upload(other, T1, seed))["infohash"] == H1


def test_other_sessions_go_on(server, rest, tmp_path):
    flow = TorrentFlow(server)
    gone, stays = rest.create(), rest.create(memory_only=0)
    rest.added(rest.upload(gone, T1, tmp_path))
    rest.added(rest.upload(stays, T2, tmp_path))
    flow.added(flow.post(torrent_url=MAGNET))
    rest.delete(gone)
    assert rest.sessions() == [stays]
    assert rest.torrents(stays, "?fields=infohash") == [{"infohash": H2}]
    assert flow.status(HD)["name"] == "hello"


@pytest.mark.parametrize("memory_only", ["0", "1"])
def test_a_deleted_session_stays_away(server, rest, tmp_path, memory_only):
    session = rest.create(memory_only=memory_only)
    rest.added(rest.upload(session, T1, tmp_path, memory_only=0))
    rest.delete(session)
    server.restart()
    assert RestTorrent(server, token=None).sessions() == []
    assert TorrentFlow(server).call("GET", f"/torrents/{H1}").status == 404


def test_everything_at_once(server, rest, tmp_path):
    """Sessions come and go while torrents are added to them: each call gets an answer that fits, and
    nothing is left."""
    wrong = []

    def play(seed):
        mine = RestTorrent(server, token=None)
        dice = random.Random(seed)
        for _ in range(12):
            session = mine.create(memory_only=dice.randrange(2))
            for _ in range(4):
                info_hash = f"{dice.randrange(1, 9):040x}"
                response = mine.add(session, tmp_path, magnet=f"magnet:?xt=urn:btih:{info_hash}",
                                    memory_only=dice.randrange(2))
                code = response.json().get("error", {}).get("code")
                # In another session, or just leaving it; or the session is gone.
                if (response.status, code) not in [
                        (200, None), (409, "torrent.exists"), (503, "unavailable"),
                        (404, "torrent.notfound"), (404, "session.notfound")]:
                    wrong.append(response)
            other = dice.choice(mine.sessions() or [session])
            for victim in (other, session):
                response = mine.call("DELETE", f"/{victim['id']}")
                if response.status not in (200, 404):
                    wrong.append(response)

    threads = [threading.Thread(target=play, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    for session in rest.sessions():
        rest.delete(session)
    flow = TorrentFlow(server)
    for n in range(1, 9):
        assert flow.call("GET", f"/torrents/{n:040x}").status == 404
    server.restart()
    assert RestTorrent(server, token=None).sessions() == []
    for n in range(1, 9):
        assert flow.call("GET", f"/torrents/{n:040x}").status == 404


# ---- restarts

@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_what_is_stored_survives(server, rest, seed, end):
    first = free_ports(3)
    with bind(socket.SOCK_STREAM, first):
        session = rest.create(port_range=f"{first},{first + 2}", memory_only=0)
    other = rest.create(memory_only="false")
    assert session["port"] == first + 1
    assert rest.added(rest.upload(session, T1, seed))["memory_only"] is False
    rest.added(rest.upload(session, T2, seed, memory_only=1, autostart=0))
    rest.added(rest.add(other, seed, magnet=MAGNET, autostart=0))
    getattr(server, end)()
    server.start()
    rest = RestTorrent(server, token=None)
    again, other_again = rest.sessions()
    assert again == {**session, "port": first}
    assert other_again == {**other, "port": other_again["port"]} and other_again["port"] > 0
    assert is_listening(("127.0.0.1", first))
    torrent, = rest.torrents(session)
    assert (torrent["infohash"], torrent["paused"], torrent["memory_only"]) == (H1, False, False)
    torrent, = rest.torrents(other)
    assert (torrent["infohash"], torrent["paused"], torrent["name"]) == (HD, True, "hello")
    eventually(lambda: rest.torrent(session, H1)["state"] == "seeding", 20)
    rest.delete(session)
    server.restart()
    assert [s["id"] for s in RestTorrent(server, token=None).sessions()] == [other["id"]]


@pytest.mark.parametrize("memory_only", [None, "1", "true"])
def test_what_is_in_memory_only_is_gone(server, rest, tmp_path, memory_only):
    session = rest.create(**({} if memory_only is None else {"memory_only": memory_only}))
    assert rest.added(rest.upload(session, T1, tmp_path))["memory_only"] is True
    rest.added(rest.upload(session, T2, tmp_path, memory_only=0))
    server.restart()
    rest = RestTorrent(server, token=None)
    assert rest.sessions() == []
    failed(rest.call("GET", f"/{session['id']}"), 404, "session.notfound")
    flow = TorrentFlow(server)
    assert flow.call("GET", f"/torrents/{H1}").status == 404
    # The one that was to be stored goes on in the default session.
    assert flow.status(H2)["save_path"] == str(tmp_path)


def test_json_knows_false(server, rest):
    """0 and false are values, not absent."""
    for value in (0, False, "0", "false"):
        rest.success(rest.call("POST", "", body={"port_range": 0, "memory_only": value}))
    for value in (1, True, None):
        rest.success(rest.call("POST", "", body={"port_range": 0, "memory_only": value}))
    stored = rest.sessions()[:4]
    server.restart()
    assert [s["id"] for s in RestTorrent(server, token=None).sessions()] == [
        s["id"] for s in stored]


def test_a_stored_session_whose_ports_are_taken(server, rest, seed):
    """It is there, and its torrents go on without a port."""
    port = free_ports(1)
    session = rest.create(port_range=port, memory_only=0)
    rest.added(rest.upload(session, T1, seed))
    server.stop()
    with bind(socket.SOCK_STREAM, port):
        server.start()
        rest = RestTorrent(server, token=None)
        assert rest.sessions() == [{**session, "port": 0}]
        eventually(lambda: rest.torrent(session, H1)["state"] == "seeding", 20)
    server.restart()
    assert RestTorrent(server, token=None).sessions() == [session]


def test_a_removed_torrent_in_memory(server, rest, tmp_path):
    session = rest.create(memory_only=0)
    rest.added(rest.upload(session, T1, tmp_path, memory_only=1))
    TorrentFlow(server).remove(H1)
    assert rest.torrents(session) == []
    rest.added(rest.upload(session, T1, tmp_path))
    server.restart()
    assert RestTorrent(server, token=None).torrent(session, H1)["memory_only"] is False


def test_a_pause_survives(server, rest, tmp_path):
    session = rest.create(memory_only=0)
    rest.added(rest.upload(session, T1, tmp_path))
    rest.success(rest.put(session, H1, pause=1))
    server.restart()
    assert RestTorrent(server, token=None).torrent(session, H1)["paused"]


# ---- who may call, and when nothing works

def test_a_token_is_needed_by_default(shared_servers):
    server = shared_servers.once("closed", {}).wait_loaded()
    for method, path in [("GET", ""), ("POST", ""), *CALLS, ("GET", "/x/y/z"), ("PUT", "")]:
        path = "/v1/sessions" + path.format(s=NOBODY, h=H1)
        response = server.api(method, path, token=None, headers={"Host": "localhost"},
                              source=stranger())
        failed(response, 401, "access.denied", "unauthorized")
        assert response.headers["www-authenticate"].startswith("Bearer")
        wrong = server.api(method, path, token="wrong", source=stranger())
        failed(wrong, 401, "access.denied", "token not valid")
    assert server.api("GET", "/v1/sessions", token=None, headers=AUTH).json()["sessions"] == []


def test_nothing_happens_without_a_token(start):
    server = start({"api": {"url_fetch": "any"}})
    rest, anybody = RestTorrent(server), RestTorrent(server, token=None)
    session = rest.create()
    failed(anybody.post("", port_range="0"), 401, "access.denied")
    failed(anybody.call("DELETE", f"/{session['id']}"), 401, "access.denied")
    failed(anybody.upload(session, b"x" * 20_000_000, "x"), 401, "access.denied")
    assert rest.sessions() == [session]


def test_switched_off(start):
    server = start({**OPEN, "client": {"enabled": False}})
    rest = RestTorrent(server, token=None)
    for method, path in [("GET", ""), ("POST", ""), *CALLS]:
        failed(rest.call(method, path.format(s=NOBODY, h=H1)), 503, "unavailable",
               "the client is switched off")


def test_the_database_is_away(start, own_cluster, tmp_path):
    server = start(database=own_cluster.new_database())
    rest = RestTorrent(server, token=None)
    stored, memory = rest.create(memory_only=0), rest.create()
    rest.added(rest.upload(stored, T1, tmp_path))
    own_cluster.stop()
    port = free_ports(1)
    eventually(lambda: rest.put(stored, H1, pause=1).status == 503, 20)
    failed(rest.post("", port_range=port, memory_only=0), 503, "unavailable")
    eventually(lambda: is_free(port))
    failed(rest.call("DELETE", f"/{stored['id']}"), 503, "unavailable")
    failed(rest.upload(stored, T2, tmp_path), 503, "unavailable")
    assert rest.sessions() == [stored, memory]
    assert rest.torrents(stored, "?fields=infohash,paused") == [{"infohash": H1, "paused": False}]
    own_cluster.start()
    eventually(lambda: rest.put(stored, H1, pause=1).status == 200, 20)
    rest.delete(stored)
    rest.delete(memory)
    assert rest.sessions() == []

"""GET /openapi.json, and that it is true: every operation is served as described, nothing else is, with
the tokens it asks for, and every answer is one of those that it has."""

import base64

import pytest

from lib import openapi
from lib.http import multipart
from lib.ids import new_hash
from lib.rookery import AUTH, TOKEN
from lib.torrent import make_content, make_torrent, without_trackers
from lib.torrentflow import H1, H2, OPEN, T1, T2, UNKNOWN
from lib.torrust import stranger
from lib.wait import eventually

DOCUMENT = openapi.load()
SOCKETIO = "/socket.io/"
CLIENT = {"TorrentFlow", "GoTorrentServer", "RestTorrent", "spritzle"}
AUTH_FAILURES = 10  # wrong tokens that are heard out
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
PATHS = sorted({o.template for o in DOCUMENT.operations} - {SOCKETIO})
NOBODY = {"info_hash": UNKNOWN, "infohash": UNKNOWN, "id": "0" * 32}
QUERIES = {SOCKETIO: "?EIO=4&transport=polling",
           "/v1/sessions": "?port_range=x"}  # a good one would open a session
RATES = {"infohash": UNKNOWN, "downrate": "1", "uprate": "1"}
CARRIERS = {
    "query": {"token": TOKEN},
    "bearer": {"headers": {"Authorization": f"Bearer {TOKEN}"}},
    "authorization": {"headers": {"Authorization": TOKEN}},
    "basic": {"headers": {"Authorization": "Basic " + base64.b64encode(
        f"anybody:{TOKEN}".encode()).decode()}},
}

every_operation = pytest.mark.parametrize("operation", DOCUMENT.operations, ids=lambda o: o.id)


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers.once("server", {}).wait_loaded()


@pytest.fixture(scope="module")
def local(shared_servers):
    """One whose callers on this machine may go without a token."""
    return shared_servers.once("local", OPEN).wait_loaded()


def path_of(operation):
    """Of something that is not there."""
    value = 3600 if operation.method == "POST" else "a" * 32
    return (operation.path(seconds_valid_or_key=value, **NOBODY) +
            QUERIES.get(operation.template, ""))


def ask(server, operation, method=None, path=None, token=None, headers=None, **kwargs):
    return server.api(method or operation.method, path or path_of(operation), token=token,
                      headers={**RATES, **(headers or {})}, **kwargs)


# ---- the document

@pytest.mark.parametrize("token", [None, TOKEN])
def test_it_is_served_to_everybody(server, token):
    response = server.api("GET", "/openapi.json", token=token)
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.body == openapi.FILE.read_bytes()
    assert response.json()["info"]["version"] == server.ready["version"]


def test_a_wrong_token_is_refused_here_too(server):
    assert server.api("GET", "/openapi.json", token="wrong").status == 401


@pytest.mark.parametrize("schema, example", [
    pytest.param(schema, example, id=where) for where, schema, example in DOCUMENT.examples()])
def test_examples_are_as_their_schemas(schema, example):
    DOCUMENT.validate(schema, example)


# ---- every operation

@every_operation
def test_it_is_there(server, operation):
    """With a token, about something that is not there: an answer that is described, and not what a
    path gets that is none."""
    response = ask(server, operation, headers=AUTH)
    operation.check(response)
    nothing = ask(server, operation, path=path_of(operation).split("?")[0] + "/no/such/path",
                  headers=AUTH)
    assert nothing.status == 404
    assert (response.status, response.body) != (404, nothing.body)


@pytest.mark.parametrize("operation", [o for o in DOCUMENT.operations
                                       if o.has_head and o.template != SOCKETIO],
                         ids=lambda o: o.id)
def test_head(server, operation):
    response = ask(server, operation, "HEAD", headers=AUTH)
    assert response.body == b""
    assert response.status == ask(server, operation, headers=AUTH).status


@pytest.mark.parametrize("template", PATHS)
def test_other_methods(server, template):
    operation = next(o for o in DOCUMENT.operations if o.template == template)
    served = DOCUMENT.methods_of(path_of(operation).split("?")[0])
    allowed = served.keys() | {"HEAD" for o in served.values() if o.has_head}
    for method in METHODS - allowed:
        response = ask(server, operation, method, headers=AUTH)
        assert response.status == 405, (method, response)
        assert set(response.headers["allow"].split(", ")) == allowed


def test_other_methods_of_socketio(server):
    for method in METHODS - {"GET", "POST"}:
        response = server.api(method, SOCKETIO + QUERIES[SOCKETIO])
        assert response.status == 400, method
        assert method == "HEAD" or response.json() == {"code": 2, "message": "Bad handshake method"}


# ---- tokens

def is_rejected(response):
    return response.status == 401 or (response.status == 500 and "unauthorized" in response.text)


def may_go_without(operation):
    """Whoever is allowed to: it is open, or a requirement asks for nothing."""
    return operation.security == [] or {} in operation.security


@every_operation
def test_without_a_token(server, local, operation):
    path = path_of(operation).replace("EIO=4", "EIO=3")  # of version 4 the CONNECT may bring it
    response = ask(server, operation, path=path)
    operation.check(response)
    if operation.id != "sendSocketIo":  # to a session, whose id is as good as a token
        assert is_rejected(response) == (operation.security != [])
    assert is_rejected(ask(local, operation, path=path)) == (not may_go_without(operation))


@every_operation
def test_with_a_token(server, operation):
    described = {name for requirement in operation.security for name in requirement}
    assert described == (CARRIERS.keys() if operation.security else set())
    for carrier in CARRIERS.values():
        assert not is_rejected(ask(server, operation, **carrier))


def test_wrong_tokens(server):
    source = stranger()
    for operation in DOCUMENT.operations[:AUTH_FAILURES]:
        assert ask(server, operation, token="wrong", source=source).status in (401, 500)
    for operation in DOCUMENT.operations:
        response = ask(server, operation, token="wrong", source=source)
        assert response.status == 429
        if operation.security:
            operation.check(response)


# ---- when it cannot be done

def test_too_large_a_body(shared_servers):
    small = shared_servers.once("small", {"api": {"max_body": 4096}})
    for operation in DOCUMENT.operations:
        if "requestBody" in operation.raw and operation.template != SOCKETIO:  # without a session
            response = ask(small, operation, headers=AUTH, body=b"x" * 5000)
            assert response.status == 413, operation.id
            operation.check(response)


def test_without_the_client(servers):
    server = servers({"client": {"enabled": False}})
    for operation in DOCUMENT.operations:
        response = ask(server, operation, headers=AUTH)
        operation.check(response)
        if operation.tag in CLIENT and operation.template != SOCKETIO:
            assert response.status == 503, operation.id


def test_without_the_database(servers, own_cluster):
    server = servers(database=own_cluster.new_database()).wait_loaded()
    own_cluster.stop()
    refused = set()
    for operation in DOCUMENT.operations:
        response = ask(server, operation, headers=AUTH)
        operation.check(response)
        if response.status >= 500:
            refused.add(operation.id)
    assert {"getHealth", "addTorrustWhitelist", "addTorrustV1Whitelist"} <= refused


# ---- what is there

class Walk:
    """Calls that must succeed as described, and which operations they were."""

    def __init__(self, server):
        self.server = server
        self.walked = set()

    def __call__(self, name, query="", headers=None, body=None, **values):
        operation = DOCUMENT.by_id(name)
        response = self.server.api(operation.method, operation.path(**values) + query, token=None,
                                   headers={**AUTH, **(headers or {})}, body=body)
        assert response.status == operation.success, (name, response)
        operation.check(response)
        self.walked.add(name)
        return response

    def form(self, name, *fields, **values):
        headers, body = multipart(*fields)
        return self(name, headers=headers, body=body, **values)


def walk_tracker(call):
    with call.server.http_client() as tracker:
        tracker.announce(bytes.fromhex(H1))
    for name in ("getRoot", "getOpenapi", "getHealth", "getMetrics", "getTorrustHealth",
                 "getTorrustStats", "getTorrustTorrents", "reloadTorrustWhitelist",
                 "reloadTorrustKeys", "getTorrustV1Stats", "getTorrustV1Metrics",
                 "getTorrustV1Torrents", "reloadTorrustV1Whitelist", "reloadTorrustV1Keys"):
        call(name)
    for name in ("getTorrustV1Stats", "getTorrustV1Metrics"):
        call(name, "?format=prometheus")
    for name in ("getTorrustTorrent", "getTorrustV1Torrent", "addTorrustWhitelist",
                 "addTorrustV1Whitelist"):
        call(name, info_hash=H1)
    assert call("findTorrustV1Peers", "?ip=127.0.0.1").json()
    call("addTorrustV1WhitelistBulk", body=[H1, H2])
    assert call("getTorrustV1Whitelist").json() == [H1, H2]
    for name in ("removeTorrustWhitelist", "removeTorrustV1Whitelist", "forgetTorrustV1Torrent"):
        call(name, info_hash=H1)


def walk_keys(call):
    call("createTorrustV1Key", body={"key": None, "seconds_valid": None, "label": "alice"})
    for v in ("", "V1"):
        key = call(f"addTorrust{v}Key", seconds_valid_or_key=3600).json()["key"]
        assert len(call("getTorrustV1Keys").json()) == 2
        call(f"removeTorrust{v}Key", seconds_valid_or_key=key)


def walk_torrentflow(call):
    call.form("addTorrentFlowTorrent", ("torrent_file", "a.torrent", T2))
    for name in ("getTorrentFlowTorrent", "pauseTorrentFlowTorrent", "resumeTorrentFlowTorrent",
                 "removeTorrentFlowTorrent"):
        call(name, infohash=H2)


def walk_gotorrent(call, folder):
    text = base64.b64encode(T2).decode()
    link = f"magnet:?xt=urn:btih:{new_hash().hex()}&tr=http://127.0.0.1:1/announce"
    call("addGoTorrentMagnet", body={"url": link, "targetdir": folder})
    call("addGoTorrentFile", body={"file": text, "targetdir": folder, "maxdown": 1})
    one = {"infohash": H2, "downrate": "1.5", "uprate": "2"}
    for name in ("getGoTorrentSessions", "getGoTorrentSession", "pauseGoTorrent", "resumeGoTorrent",
                 "setGoTorrentDownRate", "setGoTorrentUpRate", "removeGoTorrent"):
        call(name, headers=one)


def walk_resttorrent(call, folder):
    id = call("createRestTorrentSession", body={"port_range": "0"}).json()["session"]["id"]
    call("getRestTorrentSessions")
    call("getRestTorrentSession", id=id)
    call.form("addRestTorrentTorrent", ("file", "a.torrent", T1), ("save_path", None, folder), id=id)
    for query in ("", "?fields=infohash,state"):
        call("getRestTorrentTorrents", query, id=id)
    call("getRestTorrentTorrent", id=id, infohash=H1)
    call("commandRestTorrentTorrent", body={"pause": 1}, id=id, infohash=H1)
    call("getRestTorrentPeers", id=id, infohash=H1)
    call("deleteRestTorrentSession", id=id)
    query = QUERIES[SOCKETIO]
    sid = call("pollSocketIo", query).text.split('"')[3]
    call("sendSocketIo", f"{query}&sid={sid}", {"Content-Type": "text/plain"}, b"40")


def walk_spritzle(call):
    call.form("addSpritzleTorrent", ("file", "a.torrent", T2))
    for name in ("getSpritzleSession", "getSpritzleDht", "getSpritzleTorrents"):
        call(name)
    for name in ("getSpritzleTorrent", "pauseSpritzleTorrent", "resumeSpritzleTorrent",
                 "getSpritzleFlags"):
        call(name, info_hash=H2)
    call("setSpritzleFlags", body={"sequential_download": True}, info_hash=H2)
    call("removeSpritzleTorrent", info_hash=H2)
    call("removeSpritzleTorrents", "?delete_files")


def test_every_operation_succeeds_as_described(servers, tmp_path):
    call = Walk(servers({"client": {"allowed_dirs": [str(tmp_path)],
                                    "download_dir": str(tmp_path)}}).wait_loaded())
    walk_tracker(call)
    walk_keys(call)
    walk_torrentflow(call)
    walk_gotorrent(call, str(tmp_path))
    walk_resttorrent(call, str(tmp_path))
    walk_spritzle(call)
    assert call.walked == {o.id for o in DOCUMENT.operations}


def test_peers_are_as_described(servers, tmp_path):
    """In the two dialects that show whom the client is connected to."""
    (tmp_path / "a").mkdir()
    make_content(tmp_path / "a" / "it.bin", 4 << 20, "openapi")
    torrent = without_trackers(make_torrent(tmp_path / "a" / "it.bin", ["http://127.0.0.1:1/a"]))
    info_hash = torrent.info_hash.hex()
    config = {"client": {"allowed_dirs": [str(tmp_path)]}}
    seeder, leecher = Walk(servers(config).wait_loaded()), Walk(servers(config).wait_loaded())
    seeder("addGoTorrentFile", body={"file": base64.b64encode(torrent.metainfo).decode(),
                                     "targetdir": str(tmp_path / "a"), "maxup": 64})

    def seen_by_seeder():
        return seeder("getGoTorrentSession", headers={"infohash": info_hash}).json()
    eventually(lambda: "0" not in seen_by_seeder()["pieces"], 30)
    id = leecher("createRestTorrentSession", body={"port_range": "0"}).json()["session"]["id"]
    at = seeder.server.ready["client"][0]
    leecher("addRestTorrentTorrent", id=id, body={
        "magnet": f"magnet:?xt=urn:btih:{info_hash}&x.pe={at}", "save_path": str(tmp_path / "b")})
    eventually(lambda: leecher("getRestTorrentPeers", id=id, infohash=info_hash).json()["peers"], 20)
    eventually(lambda: seen_by_seeder()["Peers"], 20)

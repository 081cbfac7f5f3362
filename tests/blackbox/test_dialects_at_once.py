"""All dialects at once add, look at, pause and remove the same torrents: every call is answered, by
an answer of its table; whenever they rest, all views and the database agree; in the end nothing is
left. script/test runs this under ThreadSanitizer too."""

import base64
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from lib import http
from lib.gotorrent import GoTorrent
from lib.pg import sql
from lib.resttorrent import RestTorrent
from lib.rookery import AUTH
from lib.socketio import SocketIo
from lib.spritzle import Spritzle
from lib.torrentflow import H1, H2, T1, T2, TorrentFlow

METAINFO = {H1: T1, H2: T2}
WAVES = 3
TURNS = 25  # of each caller in a wave
CALLERS_EACH = 2


class Caller:
    """One client of one dialect. Each turn it adds a torrent, pauses it and takes it away."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = str(folder)
        self.begin()

    def begin(self):
        pass

    def end(self):
        pass

    def turn(self, rng):
        info_hash = rng.choice(sorted(METAINFO))
        steps = [self.add, self.look, self.pause, self.look, self.remove]
        for step in rng.sample(steps, k=rng.randint(2, 5)):
            step(info_hash, rng)


def among(response, *statuses):
    assert response.status in statuses, (response.status, response.body)
    return response


class ByGoTorrent(Caller):
    def begin(self):
        self.api = GoTorrent(self.server)

    def add(self, info_hash, _):
        file = base64.b64encode(METAINFO[info_hash]).decode()
        among(self.api.post("/addtorrentfile", {"file": file, "targetdir": self.folder}), 200, 409)

    def look(self, info_hash, _):
        assert len(self.api.sessions()) <= len(METAINFO)
        among(self.api.get("/torrentdata", infohash=info_hash), 200, 404)

    def pause(self, info_hash, rng):
        among(self.api.get(rng.choice(["/pause", "/resume"]), infohash=info_hash), 200, 404)

    def remove(self, info_hash, rng):
        among(self.api.get("/remove", infohash=info_hash,
                           deletedata=rng.choice(["true", "false"])), 200, 404)


class ByRestTorrent(Caller):
    """A torrent leaves with its session. An add shows the torrent, unless somebody has removed it
    again by then."""

    def begin(self):
        self.api = RestTorrent(self.server)
        self.session = self.api.create(memory_only=0)

    def add(self, info_hash, _):
        among(self.api.upload(self.session, METAINFO[info_hash], self.folder,
                              storage_mode="allocate"), 200, 404, 409)

    def look(self, info_hash, _):
        self.api.torrents(self.session)
        among(self.api.call("GET", self.api.path(self.session, info_hash)), 200, 404)

    def pause(self, info_hash, rng):
        among(self.api.put(self.session, info_hash, pause=rng.choice([0, 1])), 200, 404)

    def remove(self, *_):
        self.api.delete(self.session)
        self.begin()


class BySocketIo(Caller):
    def begin(self):
        self.api = SocketIo(self.server, 4).connected()
        self.new_session()

    def new_session(self):
        self.sid = self.api.succeed("create_session", ports=[0], memory_only=0)["session"]["id"]

    def end(self):
        self.api.__exit__()

    def ask(self, command, *codes, **parameters):
        answer = self.api.command(command, session_id=self.sid, **parameters)
        assert answer["status"] == "success" or answer["error"]["code"] in codes, answer

    def add(self, info_hash, _):
        self.ask("upload_torrent", "torrent.exists", "torrent.notfound", file=METAINFO[info_hash],
                 save_path=self.folder)

    def look(self, info_hash, _):
        self.ask("get_torrent_list", fields="infohash")
        self.ask("get_torrent", "torrent.notfound", info_hash=info_hash)

    def pause(self, info_hash, rng):
        self.ask("command_torrent", "torrent.notfound", info_hash=info_hash,
                 pause=rng.choice([0, 1]))

    def remove(self, *_):
        self.ask("delete_session")
        self.new_session()


class BySpritzle(Caller):
    def begin(self):
        self.api = Spritzle(self.server)

    def add(self, info_hash, _):
        args = {"save_path": self.folder, "storage_mode": 0}
        assert self.api.added(self.api.upload(METAINFO[info_hash], args=args)) == info_hash

    def look(self, info_hash, _):
        assert set(self.api.torrents()) <= set(METAINFO)
        self.api.session()
        among(self.api.call("GET", f"/torrent/{info_hash}"), 200, 404)

    def pause(self, info_hash, rng):
        how = rng.choice(["pause", "resume"])
        among(self.api.call("POST", f"/torrent/{info_hash}/{how}"), 200, 404)

    def remove(self, info_hash, rng):
        if rng.random() < 0.2:
            self.api.empty_ok("DELETE", "/torrent?delete_files")
        else:
            query = rng.choice(["", "?delete_files"])
            among(self.api.call("DELETE", f"/torrent/{info_hash}{query}"), 200, 404)


class ByTorrentFlow(Caller):
    """On one connection all the time."""

    def begin(self):
        self.connection = http.Connection(self.server.api_address())

    def end(self):
        self.connection.close()

    def call(self, method, path, *statuses, headers=None, body=None):
        among(self.connection.request(method, path, {**AUTH, **(headers or {})}, body), *statuses)

    def add(self, info_hash, _):
        headers, body = http.multipart(("torrent_file", "x.torrent", METAINFO[info_hash]),
                                       ("save_path", None, self.folder))
        self.call("POST", "/torrents", 200, headers=headers, body=body)

    def look(self, info_hash, _):
        self.call("GET", f"/torrents/{info_hash}", 200, 404)

    def pause(self, info_hash, rng):
        how = rng.choice(["pause", "resume"])
        self.call("PUT", f"/torrents/{info_hash}/{how}", 200, 404)

    def remove(self, info_hash, _):
        self.call("DELETE", f"/torrents/{info_hash}", 200, 404)


CALLERS = [ByGoTorrent, ByRestTorrent, BySocketIo, BySpritzle, ByTorrentFlow]


def in_all_views(server):
    """{info-hash: is it paused?}, the same in all of them and in the database."""
    spritzle, flow, rest = Spritzle(server), TorrentFlow(server), RestTorrent(server)
    shown = {s["infohash"]: s["status"] == "paused" for s in GoTorrent(server).sessions()}
    assert sorted(spritzle.torrents()) == sorted(shown)
    assert {h: spritzle.status(h)["paused"] for h in shown} == shown
    assert {h: flow.status(h)["paused"] for h in shown} == shown
    for info_hash in METAINFO.keys() - shown.keys():
        assert flow.call("GET", f"/torrents/{info_hash}").status == 404
    of_sessions = [t for s in rest.sessions() for t in rest.torrents(s)]
    assert len({t["infohash"] for t in of_sessions}) == len(of_sessions)
    assert all(shown[t["infohash"]] == t["paused"] for t in of_sessions)
    rows = sql(server.config["database"]["url"],
               "SELECT encode(info_hash, 'hex'), session <> 0 FROM torrents")
    assert {h for h, _ in rows} == set(shown)
    assert {h for h, of_session in rows if of_session} == {t["infohash"] for t in of_sessions}
    return shown


def remove_all(server, folder):
    """Files that a removal left are taken along by the next one that is asked to."""
    spritzle, rest = Spritzle(server), RestTorrent(server)
    for session in rest.sessions():
        rest.delete(session)
    for metainfo in METAINFO.values():
        spritzle.added(spritzle.upload(metainfo, args={"save_path": str(folder)}))
    spritzle.empty_ok("DELETE", "/torrent?delete_files")


def test_adds_and_removes_at_once(start, tmp_path):
    server = start()
    folder = tmp_path / "downloads"
    folder.mkdir()
    callers = [kind(server, folder) for kind in CALLERS * CALLERS_EACH]
    all_there = threading.Barrier(len(callers))

    def turns(number, wave):
        rng = random.Random(f"{wave} {number}")
        all_there.wait(30)
        for _ in range(TURNS):
            callers[number].turn(rng)

    with ThreadPoolExecutor(len(callers)) as pool:
        for wave in range(WAVES):
            list(pool.map(turns, range(len(callers)), [wave] * len(callers)))
            kept = in_all_views(server)
    for caller in callers:
        caller.end()

    server.restart().wait_loaded()
    assert in_all_views(server) == kept
    remove_all(server, folder)
    assert in_all_views(server) == {}
    assert sql(server.config["database"]["url"], "SELECT id FROM sessions") == [(0,)]
    assert list(folder.rglob("*")) == []

"""The GoTorrentServer API: its calls and the shape of a session."""

import json
import re

from lib.rookery import AUTH

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
STATUSES = ["connected", "disconnected", "paused", "checking", "error"]
READS = ["/alldata", "/torrentdata"]
ACTIONS = ["/pause", "/resume", "/remove", "/setdownrate", "/setuprate"]
ADDS = ["/addmagnet", "/addtorrentfile"]


def check_session(session):
    """Every key with its type, and what must hold among them."""
    number = (int, float)
    types = {"name": str, "infohash": str, "infohash_base64": str, "pieces": str,
             "bitfield_base64": str, "bitfield_length": int, "timestarted": str, "wasted": number,
             "downloaded": number, "uploaded": number, "maxdown": number, "maxup": number,
             "status": str, "error": (str, type(None)), "trackers": list, "Peers": list}
    assert session.keys() == types.keys()
    for key, kind in types.items():
        assert isinstance(session[key], kind) and not isinstance(session[key], bool), key
    assert re.fullmatch("[0-9a-f]{40}", session["infohash"])
    assert set(session["pieces"]) <= set("01")
    assert len(session["pieces"]) == session["bitfield_length"]
    assert TIME.fullmatch(session["timestarted"])
    assert session["status"] in STATUSES
    for tracker in session["trackers"]:
        assert {k: type(v) for k, v in tracker.items()} == {
            "url": str, "status": str, "leechers": int, "seeders": int, "peers": int,
            "lastannounce": str, "message": str}
        assert tracker["status"] in ("working", "error", "not contacted")
        assert tracker["lastannounce"] == "" or TIME.fullmatch(tracker["lastannounce"])
    for peer in session["Peers"]:
        assert list(peer) == ["ID", "host", "pieces", "down", "up"]
        assert set(peer["pieces"]) <= set("01")
        assert len(peer["pieces"]) == len(session["pieces"])
        assert all(isinstance(peer[k], number) and peer[k] >= 0 for k in ("down", "up"))
    return session


def failed(response, status, *texts):
    """A failure: one short line of text, which holds the texts."""
    assert response.status == status, (response.status, response.body)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    line = response.body.decode()
    assert line.endswith("\n") and line.count("\n") == 1 and 1 < len(line) < 300, line
    for text in texts:
        assert text.lower() in line.lower(), line
    return line


class GoTorrent:
    """Calls of one server, with the token in the header."""

    def __init__(self, server):
        self.server = server.wait_loaded()

    def call(self, method, path, headers=None, body=None, auth=AUTH, **kwargs):
        return self.server.api(method, path, token=None, headers={**(auth or {}), **(headers or {})},
                               body=body, **kwargs)

    def get(self, path, **headers):
        return self.call("GET", path, headers)

    def post(self, path, body, kind="application/json"):
        """body: bytes as they are, else JSON of it."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"time": "2024-08-21T14:33:50Z"}
        if kind is not None:
            headers["content-type"] = kind
        return self.call("POST", path, headers, body)

    def done(self, response):
        """An answer that is a status only."""
        assert (response.status, response.body) == (200, b""), (response.status, response.body)

    def act(self, path, info_hash, **headers):
        self.done(self.get(path, infohash=info_hash, **headers))

    def sessions(self):
        response = self.get("/alldata")
        assert response.status == 200, response.body
        assert response.headers["content-type"] == "application/json"
        answer = response.json()
        assert list(answer) == ["time", "sessions"] and TIME.fullmatch(answer["time"])
        return [check_session(s) for s in answer["sessions"]]

    def session(self, info_hash):
        response = self.get("/torrentdata", infohash=info_hash)
        assert response.status == 200, (response.status, response.body)
        assert response.headers["content-type"] == "application/json"
        return check_session(response.json())

    def add_magnet(self, url, targetdir, **more):
        self.done(self.post("/addmagnet", {"url": url, "targetdir": str(targetdir), **more}))

    def add_file(self, file, targetdir, **more):
        self.done(self.post("/addtorrentfile", {"file": file, "targetdir": str(targetdir), **more}))

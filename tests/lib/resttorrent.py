"""The RestTorrent API: its calls, its objects, and ports that nobody uses."""

import contextlib
import itertools
import os
import socket
from urllib.parse import urlencode

from lib.rookery import TOKEN
from lib.torrentflow import STATES, multipart

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TORRENT = {"infohash": str, "info_hash": str, "state": str, "progress": float,
           "download_rate": int, "upload_rate": int, "num_peers": int, "name": str,
           "save_path": str, "paused": bool, "total_size": int, "memory_only": bool}

_bases = itertools.count(20000 + os.getpid() % 500 * 20, 16)


def bind(kind, port, host="127.0.0.1"):
    """A socket of that kind (socket.SOCK_STREAM or SOCK_DGRAM) that has the port; OSError."""
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        holder.bind((host, port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
    except OSError:
        holder.close()
        raise
    return holder


def is_free(port, host="127.0.0.1"):
    """TCP and UDP."""
    with contextlib.suppress(OSError):
        bind(socket.SOCK_STREAM, port, host).close()
        bind(socket.SOCK_DGRAM, port, host).close()
        return True
    return False


def is_listening(address):
    with contextlib.suppress(OSError):
        socket.create_connection(address, timeout=5).close()
        return True
    return False


def free_ports(n):
    """The first of n neighbours that nobody has now."""
    return next(base for base in _bases if all(is_free(base + i) for i in range(n)))


def check_torrent(torrent):
    """Every key is there with its type, and nothing else."""
    assert {k: type(v) for k, v in torrent.items()} == TORRENT
    assert torrent["infohash"] == torrent["info_hash"]
    assert torrent["state"] in STATES
    assert 0 <= torrent["progress"] <= 1
    return torrent


class RestTorrent:
    """Calls of one server. token None: none is sent."""

    def __init__(self, server, token=TOKEN):
        self.server = server.wait_loaded()
        self.token = token

    def call(self, method, path, headers=None, body=None, **kwargs):
        kwargs.setdefault("token", self.token)
        return self.server.api(method, f"/v1/sessions{path}", headers=headers, body=body, **kwargs)

    def post(self, path, **fields):
        """A urlencoded form."""
        return self.call("POST", path, FORM, urlencode(fields).encode())

    def success(self, response):
        """What an answer says besides that it is one."""
        assert response.status == 200, (response.status, response.body)
        assert response.headers["content-type"] == "application/json"
        answer = response.json()
        assert answer.pop("status") == "success"
        return answer

    def get(self, path=""):
        return self.success(self.call("GET", path))

    # ---- sessions

    def sessions(self):
        return self.get()["sessions"]

    def create(self, **fields):
        """A session; on any free port when nothing else is said."""
        fields.setdefault("port_range", "0")
        answer = self.success(self.post("", **fields))
        session, = answer.values()
        assert list(answer) == ["session"]
        assert set(session) == {"id", "port", "ports"}
        assert len(session["id"]) == 32 and int(session["id"], 16) >= 0
        return session

    def delete(self, session):
        assert self.success(self.call("DELETE", f"/{session['id']}")) == {}

    # ---- torrents

    def path(self, session, info_hash=None):
        return f"/{session['id']}/torrents" + (f"/{info_hash}" if info_hash else "")

    def upload(self, session, metainfo, save_path, filename="x.torrent", **fields):
        """The response to a file in a form."""
        fields["save_path"] = save_path
        headers, body = multipart(*((k, None, v) for k, v in fields.items()),
                                  ("file", filename, metainfo))
        return self.call("POST", self.path(session), headers, body)

    def add(self, session, save_path, **fields):
        """The response to a form or, with json=True, an object."""
        if fields.pop("json", False):
            return self.call("POST", self.path(session), body={"save_path": str(save_path), **fields})
        return self.post(self.path(session), save_path=save_path, **fields)

    def added(self, response):
        return check_torrent(self.success(response))

    def torrents(self, session, query=""):
        return self.get(self.path(session) + query)["torrents"]

    def torrent(self, session, info_hash):
        return check_torrent(self.get(self.path(session, info_hash)))

    def put(self, session, info_hash, **fields):
        return self.call("PUT", self.path(session, info_hash), FORM, urlencode(fields).encode())

    def peers(self, session, info_hash):
        return self.get(self.path(session, info_hash) + "/peers")["peers"]


def failed(response, status, code, message=None):
    """The message of a failure, which has this code."""
    assert response.status == status, (response.status, response.body)
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    said = answer["message"]
    assert answer == {"status": "fail", "message": said, "error": {"code": code, "message": said}}
    assert said
    if message is not None:
        assert said == message
    return said

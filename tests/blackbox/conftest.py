"""What the tests of the client's APIs share: servers for callers of this machine, and folders."""

import json

import pytest

from lib.torrentflow import OPEN, T1, put_content
from lib.web import Web


@pytest.fixture
def start(servers, tmp_path):
    """start(config): a server whose client may use any folder of the test; OPEN without config."""
    def begin(config=None, **kwargs):
        config = json.loads(json.dumps(config or OPEN))
        config.setdefault("client", {})["allowed_dirs"] = [str(tmp_path)]
        return servers(config, **kwargs)
    return begin


@pytest.fixture
def server(start):
    return start()


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def seed(tmp_path):
    """A folder with the right content of both torrents."""
    folder = tmp_path / "seed"
    folder.mkdir()
    put_content(folder)
    return folder


@pytest.fixture
def web():
    """Torrents by URL, and what is none. A test may add pages."""
    torrent = {"Content-Type": "application/x-bittorrent"}
    server = Web({
        "/t1": (200, torrent, T1),
        "/oct": (200, {"Content-Type": "application/octet-stream"}, T1),
        "/plain": (200, {}, T1),
        "/html": (200, {"Content-Type": "text/html"}, b"hello"),
        "/empty": (200, torrent, b""),
        "/gone": (410, torrent, T1),
        "/redir": (302, {"Location": "/t1"}, b""),
        "/r5": (301, {"Location": "/r4"}, b""),
        "/r4": (303, {"Location": "/r3"}, b""),
        "/r3": (307, {"Location": "/r2"}, b""),
        "/r2": (308, {"Location": "/redir"}, b""),
        "/r6": (302, {"Location": "/r5"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
        "/inside": (302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    })
    yield server
    server.close()

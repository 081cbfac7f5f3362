"""What the tests of the client's APIs share: servers for callers of this machine, and folders."""

import json

import pytest

from lib.torrentflow import OPEN, put_content


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

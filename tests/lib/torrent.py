"""A small maker of single-file v1 torrents."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lib import bencode


@dataclass
class Torrent:
    info_hash: bytes
    metainfo: bytes
    name: str


def make_content(path, length, seed):
    """Write length bytes that look random and are the same for the same seed."""
    blocks = (hashlib.shake_256(b"%s %d" % (seed.encode(), i)).digest(1 << 16)
              for i in range(-(-length // (1 << 16))))
    data = b"".join(blocks)[:length]
    Path(path).write_bytes(data)
    return data


def make_torrent(path, trackers, piece_length=1 << 18, private=False):
    """path: the file; trackers: announce URLs, one tier each."""
    path = Path(path)
    data = path.read_bytes()
    pieces = b"".join(hashlib.sha1(data[at:at + piece_length]).digest()
                      for at in range(0, len(data), piece_length))
    info = {"length": len(data), "name": path.name, "piece length": piece_length,
            "pieces": pieces}
    if private:
        info["private"] = 1
    metainfo = {"announce": trackers[0], "info": info}
    if len(trackers) > 1:
        metainfo["announce-list"] = [[t] for t in trackers]
    return Torrent(hashlib.sha1(bencode.encode(info)).digest(), bencode.encode(metainfo),
                   path.name)

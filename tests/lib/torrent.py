"""A small maker of v1 torrents: of a file, or of a folder with pad files (BEP 47)."""

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


def _of(info, trackers, source):
    if source is not None:
        info["source"] = source
    metainfo = {"announce": trackers[0], "info": info}
    if len(trackers) > 1:
        metainfo["announce-list"] = [[t] for t in trackers]
    return Torrent(hashlib.sha1(bencode.encode(info)).digest(), bencode.encode(metainfo),
                   info["name"])


def make_torrent(path, trackers, piece_length=1 << 18, private=False, source=None):
    """path: the file; trackers: announce URLs, one tier each; source: makes it another torrent."""
    path = Path(path)
    data = path.read_bytes()
    pieces = b"".join(hashlib.sha1(data[at:at + piece_length]).digest()
                      for at in range(0, len(data), piece_length))
    info = {"length": len(data), "name": path.name, "piece length": piece_length,
            "pieces": pieces}
    if private:
        info["private"] = 1
    return _of(info, trackers, source)


def make_tree(folder, n_files, seed, length_of=lambda i: i * 997 % 70_000):
    """n_files files in folder and folders below it; some of them are empty."""
    folder = Path(folder)
    for i in range(n_files):
        path = folder / f"part {i % 7}" / f"file-{i:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        make_content(path, 0 if i % 50 == 0 else length_of(i), f"{seed}{i}")


def make_folder_torrent(folder, trackers, piece_length=1 << 15, pad=False, source=None):
    """pad: every file begins at a piece, with a pad file behind the one before."""
    folder = Path(folder)
    files, content = [], b""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if pad and content and len(content) % piece_length:
            missing = -len(content) % piece_length
            files.append({"attr": "p", "length": missing, "path": [".pad", str(missing)]})
            content += bytes(missing)
        files.append({"length": len(data), "path": list(path.relative_to(folder).parts)})
        content += data
    pieces = b"".join(hashlib.sha1(content[at:at + piece_length]).digest()
                      for at in range(0, len(content), piece_length))
    info = {"files": files, "name": folder.name, "piece length": piece_length, "pieces": pieces}
    return _of(info, trackers, source)


def small_torrents(n, trackers=()):
    """n torrents of one piece that nobody has."""
    for i in range(n):
        info = {"length": 1000 + i, "name": f"one of many {i}", "piece length": 1 << 14,
                "pieces": hashlib.sha1(b"%d" % i).digest()}
        metainfo = {"info": info}
        if trackers:
            metainfo["announce-list"] = [[t] for t in trackers]
        yield Torrent(hashlib.sha1(bencode.encode(info)).digest(), bencode.encode(metainfo),
                      info["name"])


def without_trackers(torrent):
    return Torrent(torrent.info_hash,
                   bencode.encode({"info": bencode.decode(torrent.metainfo)[b"info"]}),
                   torrent.name)

"""rookery torrent create and show, held against python3-libtorrent and by hand-made metainfo."""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import libtorrent
import pytest

from lib import bencode
from lib.rookery import BINARY, environment
from lib.torrent import make_content

PROGRAM = os.path.abspath(BINARY)
PIECE = 16384
T2_HASH = "92a63ae0210987f37c3c38ea74645034829c482f"


@pytest.fixture
def torrent(tmp_path):
    """torrent(*arguments) runs `rookery torrent` in tmp_path to its end."""
    def run_torrent(*arguments, wrapper=(), **kwargs):
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return subprocess.run(
            [*wrapper, PROGRAM, "torrent", *map(str, arguments)], cwd=tmp_path, text=True,
            env=environment(), stdin=subprocess.DEVNULL, timeout=60, **streams)
    return run_torrent


@pytest.fixture
def create(torrent, tmp_path):
    """create(*arguments) must succeed in silence: the path of the torrent, and its metainfo."""
    def run_create(*arguments):
        result = torrent("create", *arguments)
        assert (result.returncode, result.stderr) == (0, "")
        info_hash, name = re.fullmatch(r"([0-9a-f]{40})  (.+)\n", result.stdout).groups()
        metainfo = bencode.decode((tmp_path / name).read_bytes())
        assert hashlib.sha1(bencode.encode(metainfo[b"info"])).hexdigest() == info_hash
        return tmp_path / name, metainfo
    return run_create


@pytest.fixture
def show(torrent, tmp_path):
    """show(metainfo, *options) must succeed: the text, or with --json the object."""
    def run_show(metainfo, *options):
        path = tmp_path / "shown.torrent"
        path.write_bytes(metainfo if isinstance(metainfo, bytes) else bencode.encode(metainfo))
        result = torrent("show", path, *options)
        assert (result.returncode, result.stderr) == (0, "")
        return json.loads(result.stdout) if "--json" in options else result.stdout
    return run_show


def one_line(text):
    """The only line of text."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


def refused(result, *words, status=1):
    """The command ended with this status, and with one line that has the words."""
    complaint = one_line(result.stderr)
    assert (result.returncode, result.stdout) == (status, ""), complaint
    assert complaint.startswith("rookery: ")
    for word in words:
        assert str(word) in complaint


def make_tree(root):
    """Names whose order depends on how one compares, an empty file and a large one."""
    for name, length in {"a.txt": 1000, "a/z": 5, "a/b/deep": PIECE, "a/B": 1, "a-": 70000,
                         ".hidden": 3, "empty": 0, "sub/b.txt": 50000, "Zed": 333333,
                         "sub/\u00e4\u2713": 12, "z" * 200: 1}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        make_content(root / name, length, name)
    (root / "no file in it").mkdir()
    return root


def in_order(root):
    """Paths of the files below root, part by part in byte order."""
    return sorted((p.relative_to(root) for p in root.rglob("*") if p.is_file()),
                  key=lambda p: [os.fsencode(part) for part in p.parts])


def libtorrent_makes(path, piece_length=0, flags=libtorrent.create_torrent.v1_only, private=False):
    """What libtorrent makes of a file or folder, our order given, as a dictionary."""
    storage = libtorrent.file_storage()
    if path.is_dir():
        for name in in_order(path):
            storage.add_file(f"{path.name}/{name}", (path / name).stat().st_size)
    else:
        storage.add_file(path.name, path.stat().st_size)
    maker = libtorrent.create_torrent(storage, piece_length, flags)
    maker.set_priv(private)
    libtorrent.set_piece_hashes(maker, str(path.parent))
    return maker.generate()


def v1_hash(metainfo):
    return str(libtorrent.torrent_info(metainfo).info_hashes().v1)


# ---- create

@pytest.mark.parametrize("length", [1, PIECE - 1, PIECE, PIECE + 1, 1000000])
@pytest.mark.parametrize("piece_length", [PIECE, 65536])
def test_a_file_is_what_libtorrent_makes_of_it(create, tmp_path, length, piece_length):
    make_content(tmp_path / "some file.bin", length, "one")
    path, metainfo = create("some file.bin", "--piece-length", piece_length)
    assert path.name == "some file.bin.torrent"
    theirs = libtorrent_makes(tmp_path / "some file.bin", piece_length)
    assert metainfo[b"info"] == theirs[b"info"]


@pytest.mark.parametrize("piece_length", [PIECE, 32768, 1 << 20])
@pytest.mark.parametrize("private", [False, True])
def test_a_folder_is_what_libtorrent_makes_of_it(create, tmp_path, piece_length, private):
    folder = make_tree(tmp_path / "tree")
    path, metainfo = create("tree", "--piece-length", piece_length,
                            *(["--private"] if private else []))
    theirs = libtorrent_makes(folder, piece_length, private=private)
    assert metainfo[b"info"] == theirs[b"info"]
    loaded = libtorrent.torrent_info(str(path))
    assert str(loaded.info_hashes().v1) == v1_hash(theirs)
    assert loaded.priv() == private


def test_a_large_content_and_its_chosen_piece_length(create, tmp_path):
    """Many runs of pieces over several threads; 2048 pieces at most."""
    folder = tmp_path / "large"
    folder.mkdir()
    for i, length in enumerate([30_000_001, 1, 0, 9_999_999, 500_000]):
        make_content(folder / str(i), length, str(i))
    _, metainfo = create("large")
    assert metainfo[b"info"][b"piece length"] == 32768
    assert metainfo[b"info"] == libtorrent_makes(folder, 32768)[b"info"]


def test_a_known_torrent(create, tmp_path):
    (tmp_path / "multi/sub").mkdir(parents=True)
    (tmp_path / "multi/a.txt").write_bytes(b"A" * 1000)
    (tmp_path / "multi/sub/b.txt").write_bytes(b"B" * 50000)
    _, metainfo = create("multi")
    assert v1_hash(metainfo) == T2_HASH


def test_what_is_outside_of_the_info_dictionary(create, tmp_path):
    make_content(tmp_path / "f", 100, "f")
    before = int(time.time())
    _, metainfo = create("f")
    assert set(metainfo) == {b"info", b"created by", b"creation date"}
    assert re.fullmatch(rb"Rookery \d+\.\d+\.\d+", metainfo[b"created by"])
    assert before <= metainfo[b"creation date"] <= time.time()


@pytest.mark.parametrize("urls", [
    ["http://a.example/announce"],
    ["http://a.example/announce", "udp://b.example:6969", "https://[::1]:1/x?key=1", "wss://c"],
])
def test_trackers_are_a_tier_each(create, tmp_path, urls):
    make_content(tmp_path / "f", 100, "f")
    arguments = [word for url in urls for word in ("-a", url)]
    path, metainfo = create(*arguments, "f")
    assert metainfo[b"announce"].decode() == urls[0]
    assert (b"announce-list" in metainfo) == (len(urls) > 1)
    trackers = libtorrent.torrent_info(str(path)).trackers()
    assert [(t.url, t.tier) for t in trackers] == [(url, i) for i, url in enumerate(urls)]


def test_only_the_date_differs_between_two_runs(create, tmp_path):
    make_tree(tmp_path / "tree")
    first, second = (create("tree", "-o", name, "-a", "udp://a.example:1", "--piece-length",
                            PIECE)[1] for name in ("1.torrent", "2.torrent"))
    first.pop(b"creation date")
    second.pop(b"creation date")
    assert first == second


@pytest.mark.parametrize("spelled", ["tree", "tree/", "./tree", "tree/.", "tree/sub/..", "link",
                                     "{tmp}/tree//"])
def test_the_name_of_a_folder_however_it_is_spelled(create, tmp_path, spelled):
    make_tree(tmp_path / "tree")
    (tmp_path / "link").symlink_to("tree")
    _, metainfo = create(spelled.format(tmp=tmp_path), "-o", "out.torrent", "--piece-length", PIECE)
    name = b"link" if spelled == "link" else b"tree"
    assert metainfo[b"info"] == {**libtorrent_makes(tmp_path / "tree", PIECE)[b"info"],
                                 b"name": name}


def test_a_folder_with_one_file_stays_a_folder(create, tmp_path):
    (tmp_path / "folder").mkdir()
    make_content(tmp_path / "folder/f", 10, "f")
    _, metainfo = create("folder")
    assert metainfo[b"info"][b"files"] == [{b"length": 10, b"path": [b"f"]}]


def test_links_inside_are_left_out_and_named(torrent, tmp_path):
    folder = make_tree(tmp_path / "tree")
    (folder / "a/to a file").symlink_to("../a.txt")
    (folder / "to a folder").symlink_to("sub")
    (folder / "to nothing").symlink_to("nowhere")
    result = torrent("create", "tree", "--piece-length", PIECE)
    assert result.returncode == 0
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "tree/a/to a file", "tree/to a folder", "tree/to nothing"]
    for link in ("a/to a file", "to a folder", "to nothing"):
        (folder / link).unlink()
    assert result.stdout.split()[0] == v1_hash(libtorrent_makes(folder, PIECE))


def test_the_default_output_is_never_replaced(torrent, tmp_path):
    make_content(tmp_path / "f", 100, "f")
    (tmp_path / "f.torrent").write_text("precious")
    refused(torrent("create", "f"), "f.torrent", "exists already")
    assert (tmp_path / "f.torrent").read_text() == "precious"


def test_an_output_that_is_named_is_replaced(create, tmp_path):
    make_content(tmp_path / "f", 100, "f")
    (tmp_path / "f.torrent").write_text("precious")
    create("f", "-o", "f.torrent")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "f.torrent"]


def test_the_mode_of_the_output_is_as_usual(create, tmp_path):
    make_content(tmp_path / "f", 100, "f")
    path, _ = create("f")
    (tmp_path / "usual").touch()
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("out", ["absent/x.torrent", "f/x.torrent", "folder", "link", "pipe",
                                 "tree/a.txt", "x" * 300])
def test_an_output_that_cannot_be(torrent, tmp_path, out):
    make_content(tmp_path / "f", 100, "f")
    make_tree(tmp_path / "tree")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("f")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    refused(torrent("create", "tree", "-o", out), out)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_room_for_the_output(torrent, tmp_path):
    """The limit on file sizes stands for a full disk: nothing stays behind."""
    make_content(tmp_path / "f", 1000000, "f")
    result = torrent("create", "f", "--piece-length", PIECE,
                     wrapper=["sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"])
    refused(result, "f.torrent", "File too large")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_output_that_nobody_takes(torrent, tmp_path):
    make_content(tmp_path / "f", 100, "f")
    with open("/dev/full", "w") as full:
        result = torrent("create", "f", stdout=full)
        assert result.returncode == 1
        assert "standard output" in one_line(result.stderr)
        result = torrent("show", "f.torrent", stdout=full)
        assert result.returncode == 1
        assert "standard output" in one_line(result.stderr)


@pytest.mark.parametrize("make, words", [
    (lambda p: None, ["No such file"]),
    (lambda p: p.mkdir(), ["no file in it"]),
    (lambda p: (p / "a/b").mkdir(parents=True), ["no file in it"]),
    (lambda p: p.touch(), ["empty"]),
    (lambda p: (p.mkdir(), (p / "a").touch(), (p / "b").touch()), ["empty"]),
    (lambda p: p.symlink_to("nowhere"), ["symbolic link"]),
    (lambda p: os.mkfifo(p), ["neither a file nor a folder"]),
    (lambda p: (p.mkdir(), (p / "x").write_text("x"), os.mkfifo(p / "pipe")), ["thing/pipe"]),
])
def test_a_content_that_makes_no_torrent(torrent, tmp_path, make, words):
    make(tmp_path / "thing")
    refused(torrent("create", "thing"), "thing", *words)
    assert not (tmp_path / "thing.torrent").exists()


def test_a_socket_in_the_folder(torrent, tmp_path):
    make_tree(tmp_path / "tree")
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as s:  # a short path
        s.bind("tree/socket")
    refused(torrent("create", "tree"), "tree/socket", "neither a file nor a folder")


@pytest.mark.parametrize("inside", [False, True])
def test_a_name_that_is_not_utf8(torrent, tmp_path, inside):
    folder = tmp_path / ("folder" if inside else "folder\udcff")
    folder.mkdir()
    (folder / ("sub\udcfe" if inside else "sub")).mkdir()
    (folder / ("sub\udcfe" if inside else "sub") / "f").write_text("x")
    refused(torrent("create", folder.name), "folder/sub\\xfe/f" if inside else "folder\\xff",
            "not UTF-8")


def test_a_file_that_may_not_be_read(torrent, tmp_path):
    make_tree(tmp_path / "tree")
    (tmp_path / "tree/a-").chmod(0)
    (tmp_path / "tree/sub").chmod(0)
    weak = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    wrapper = weak if os.geteuid() == 0 else []
    refused(torrent("create", "tree", wrapper=wrapper), "tree/sub", "Permission denied")
    (tmp_path / "tree/sub").chmod(0o755)
    refused(torrent("create", "tree", wrapper=wrapper), "tree/a-", "Permission denied")


def has_open(pid, path):
    """Does the process have the file open?"""
    with contextlib.suppress(FileNotFoundError):  # closed while we look
        return any(os.path.samefile(fd, path) for fd in Path(f"/proc/{pid}/fd").iterdir()
                   if fd.is_file())
    return False


@pytest.mark.parametrize("change", [
    lambda path: os.truncate(path, path.stat().st_size + 1),
    lambda path: os.truncate(path, path.stat().st_size - 1),
    lambda path: os.truncate(path, 0),
    lambda path: os.utime(path),
], ids=["longer", "shorter", "empty", "touched"])
def test_a_file_that_changes_meanwhile(tmp_path, change):
    """The program is stopped while it has the file open; a hole of 256 MiB keeps it busy."""
    (tmp_path / "tree").mkdir()
    make_content(tmp_path / "tree/before", 100, "before")
    log = tmp_path / "tree/log"
    log.touch()
    os.truncate(log, 256 << 20)
    process = subprocess.Popen([PROGRAM, "torrent", "create", "tree"], cwd=tmp_path, text=True,
                               env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        while not has_open(process.pid, log):
            assert process.poll() is None, "it did not read the file"
        process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), "it ended before it could be stopped"
        change(log)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    refused(subprocess.CompletedProcess([], process.returncode, out, err), "tree/log",
            "while it was read")
    assert not (tmp_path / "tree.torrent").exists()


def test_a_file_that_another_program_has_a_lease_on(create, tmp_path):
    """As a file server does; the kernel asks for it back with SIGIO."""
    make_content(tmp_path / "f", 100, "f")
    with open(tmp_path / "f", "r+b") as f:
        before = signal.signal(signal.SIGIO,
                               lambda *_: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK))
        try:
            fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            create("f")
            assert fcntl.fcntl(f, fcntl.F_GETLEASE) == fcntl.F_UNLCK, "it was asked for"
        finally:
            signal.signal(signal.SIGIO, before)


@pytest.mark.parametrize("arguments, words", [
    ([], []), (["make"], ["make"]), (["create"], ["PATH"]), (["create", "f", "g"], ["g"]),
    (["create", "f", "--frobnicate"], ["frobnicate"]), (["create", "f", "-a"], ["a"]),
    (["create", "f", "-o"], ["o"]), (["create", "f", "--piece-length"], ["piece-length"]),
    *((["create", "f", "-a", url], [url]) for url in [
        "x", "a.example", "ftp://a.example", "http://", "http:///announce", "udp://:1", "http",
        "http://a b", "HTTP:a"]),
    (["create", "f", "-a", "http://a\nb"], ["http://a\\x0ab"]),
    (["create", "f", "-a", "http://a\udcff"], ["http://a\\xff"]),
    *((["create", "f", "--piece-length", n], [n]) for n in [
        "0", "1", "8192", "16383", "16385", "49152", "268435456", "-16384", "16384k", "0x4000",
        "99999999999999999999"]),
    (["create", "f", "--version", "2"], ["not in this version"]),
    (["create", "f", "--version", "hybrid"], ["not in this version"]),
    (["create", "f", "--version", "3"], ["1, 2 or hybrid"]),
    (["show"], ["FILE"]), (["show", "f", "g"], ["g"]), (["show", "f", "--xml"], ["xml"]),
])
def test_bad_usage(torrent, tmp_path, arguments, words):
    make_content(tmp_path / "f", 100, "f")
    result = torrent(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.strip()
    for word in words:
        assert word in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_version_1_may_be_asked_for(create, tmp_path):
    make_content(tmp_path / "f", 100, "f")
    _, metainfo = create("--version=1", "--", "f")
    assert metainfo[b"info"] == libtorrent_makes(tmp_path / "f", PIECE)[b"info"]


def test_more_pieces_than_a_torrent_may_have(torrent, tmp_path):
    """A file of a hole only: it is refused before anything is read."""
    with open(tmp_path / "huge", "wb") as f:
        f.truncate((1 << 21) * PIECE + 1)
    refused(torrent("create", "huge", "--piece-length", PIECE), "2097153", "--piece-length",
            status=2)


def test_deeper_than_a_torrent_may_be(torrent, tmp_path):
    folder = tmp_path / "deep"
    (folder / "/".join("d" * 101)).mkdir(parents=True)
    (folder / "/".join("d" * 101) / "f").write_text("x")
    refused(torrent("create", "deep"), "deep", "path")
    shutil.rmtree(folder)


@pytest.mark.parametrize("arguments", [["--help"], ["create", "--help"], ["show", "--help"],
                                       ["create", "-h"]])
def test_help(torrent, arguments):
    result = torrent(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: rookery torrent ")


def test_a_terminal_gets_a_progress_bar(torrent, tmp_path):
    make_content(tmp_path / "f", 3_000_000, "f")
    master, slave = pty.openpty()
    try:
        result = torrent("create", "f", stderr=slave)
        shown = os.read(master, 65536).decode()
    finally:
        os.close(slave)
        os.close(master)
    assert result.returncode == 0
    assert re.match(r"\r +\d+ % \[#* *\] \d+ MB/s", shown)
    assert shown.endswith("\r\x1b[K"), "the line is empty again"


# ---- show

def v1_info(**changes):
    info = {"length": 20000, "name": "n", "piece length": PIECE, "pieces": b"\x01" * 40}
    info.update({key.replace("_", " "): value for key, value in changes.items()})
    return {key: value for key, value in info.items() if value is not None}


def with_info(**changes):
    return {"info": v1_info(**changes)}


def test_show_for_people(show):
    text = show({
        "announce": "http://a", "announce-list": [["http://a", "udp://b:1"], ["udp://c:1"]],
        "comment": "c multi", "created by": "mk", "creation date": 1700000000,
        "url-list": ["http://seed/"],
        "info": v1_info(length=None, name="multi", private=1, pieces=b"\x01" * 80, files=[
            {"length": 1000, "path": ["a.txt"]}, {"length": 50000, "path": ["sub", "b.txt"]}])})
    rows = dict(re.split(r"  +", line.strip(), 1) for line in text.splitlines())
    assert rows["name"] == "multi"
    assert re.fullmatch("[0-9a-f]{40}", rows["info-hash"])
    assert rows["size"] == "51000 bytes (49.8 KiB)"
    assert rows["pieces"] == "4 of 16384 bytes (16 KiB)"
    assert rows["private"] == "yes"
    assert rows["version"] == "1"
    assert rows["created"] == "2023-11-14T22:13:20Z"
    assert (rows["created by"], rows["comment"]) == ("mk", "c multi")
    assert re.findall(r"tracker (\d) +(\S+)", text) == [
        ("1", "http://a"), ("1", "udp://b:1"), ("2", "udp://c:1")]
    assert rows["web seed"] == "http://seed/"
    assert rows["files"] == "2"
    assert (rows["1000"], rows["50000"]) == ("a.txt", "sub/b.txt")


def test_show_as_json(show):
    metainfo = {
        "announce": "http://a", "announce-list": [["http://a", "udp://b:1"], ["udp://c:1"]],
        "comment": "c", "created by": "mk", "creation date": 1700000000, "url-list": "http://seed/",
        "info": v1_info(length=None, name="multi", files=[
            {"length": 20000, "path": ["sub", "b.txt"], "attr": "xh"},
            {"length": 0, "path": ["link"], "attr": "l", "symlink path": ["sub", "b.txt"]}])}
    assert show(metainfo, "--json") == {
        "name": "multi", "info_hash": hashlib.sha1(bencode.encode(metainfo["info"])).hexdigest(),
        "hybrid": False, "size": 20000, "pieces": 2, "piece_length": PIECE, "private": False,
        "trackers": [["http://a", "udp://b:1"], ["udp://c:1"]], "web_seeds": ["http://seed/"],
        "creation_date": 1700000000, "created_by": "mk", "comment": "c", "multi_file": True,
        "files": [
            {"path": ["sub", "b.txt"], "size": 20000, "attributes": ["executable", "hidden"]},
            {"path": ["link"], "size": 0, "attributes": ["symlink"], "target": ["sub", "b.txt"]}]}


def test_json_of_what_is_absent(show):
    shown = show(with_info(), "--json")
    for key in ("creation_date", "created_by", "comment"):
        assert shown[key] is None
    assert (shown["trackers"], shown["web_seeds"], shown["multi_file"]) == ([], [], False)
    assert shown["files"] == [{"path": ["n"], "size": 20000, "attributes": []}]


def test_one_tracker(show):
    metainfo = {"announce": "http://a", **with_info()}
    assert show(metainfo, "--json")["trackers"] == [["http://a"]]
    assert re.search(r"^tracker 1 +http://a$", show(metainfo), re.MULTILINE)


@pytest.mark.parametrize("flags, hybrid", [
    (0, True), (libtorrent.create_torrent.v1_only | libtorrent.create_torrent.canonical_files,
                False)])
def test_torrents_of_libtorrent_with_padding(show, tmp_path, flags, hybrid):
    theirs = libtorrent_makes(make_tree(tmp_path / "tree"), PIECE, flags)
    loaded = libtorrent.torrent_info(theirs)
    shown = show(libtorrent.bencode(theirs), "--json")
    assert (shown["hybrid"], shown["info_hash"]) == (hybrid, str(loaded.info_hashes().v1))
    files = loaded.files()
    assert [(f["size"], "padding" in f["attributes"]) for f in shown["files"]] == [
        (files.file_size(i), bool(files.file_flags(i) & files.flag_pad_file))
        for i in range(files.num_files())]
    assert sum("padding" in f["attributes"] for f in shown["files"]) > 3
    assert shown["size"] == sum(f["size"] for f in shown["files"])
    text = show(libtorrent.bencode(theirs))
    assert text.count(" (padding)\n") == sum("padding" in f["attributes"] for f in shown["files"])
    assert ("hybrid" in text) == hybrid


HOSTILE = b"\x1b]0;x\x07\r\nname evil \x7f\xc2\x9b31m \xe2\x80\xae\xff\xc3 \\x1b"


def test_nothing_of_it_reaches_the_terminal(show):
    text = show({
        "announce": HOSTILE, "comment": HOSTILE, "created by": HOSTILE, "url-list": HOSTILE,
        "info": v1_info(length=None, name=HOSTILE, files=[
            {"length": 20000, "path": [HOSTILE, b"a/b/", b"..", HOSTILE]},
            {"length": 0, "attr": "l", "path": ["l"], "symlink path": [HOSTILE]}])})
    assert re.fullmatch(r"[\n -~]*", text), "printable ASCII only"
    safe = r"\x1b]0;x\x07\x0d\x0aname evil \x7f\xc2\x9b31m \xe2\x80\xae\xff\xc3 \\x1b"
    assert text.count(safe) == 8
    assert rf"{safe}/a\x2fb\x2f/../{safe}" + "\n" in text
    assert len(text.splitlines()) == 13


def test_json_of_any_bytes(show):
    shown = show({"comment": HOSTILE, **with_info(name=HOSTILE)}, "--json")
    expected = ("\x1b]0;x\x07\r\nname evil \x7f\u009b31m \u202e\ufffd\ufffd \\x1b")
    assert (shown["name"], shown["comment"], shown["files"][0]["path"]) == (
        expected, expected, [expected])


@pytest.mark.parametrize("date, text", [
    (1, "1970-01-01T00:00:01Z"), (253402300799, "9999-12-31T23:59:59Z"),
    (253402300800, "253402300800 s after 1970"), (2**63 - 1, f"{2**63 - 1} s after 1970"),
])
def test_dates(show, date, text):
    shown = show({"creation date": date, **with_info()})
    assert re.search(rf"^created +{text}$", shown, re.MULTILINE)


@pytest.mark.parametrize("metainfo, word", [
    (b"", "bencode"), (b"d", "bencode"), (b"<html>no</html>", "bencode"), (b"i1e", "dictionary"),
    (b"de", "info"), (b"d4:infoi1ee", "info"), (b"d4:infodee", "name"),
    (b"l" * 5000 + b"e" * 5000, "deep"),
    (with_info(name=None), "name"), (with_info(name=["n"]), "name"),
    (with_info(name=b"n" * 2000), "name"), (with_info(piece_length=None), "piece length"),
    (with_info(piece_length=0), "piece length"), (with_info(piece_length=-PIECE), "piece length"),
    (with_info(piece_length=2**40), "piece length"), (with_info(pieces=None), "pieces"),
    (with_info(pieces=b""), "pieces"), (with_info(pieces=b"\x01" * 39), "pieces"),
    (with_info(pieces=b"\x01" * 60), "pieces"), (with_info(length=None), "length"),
    (with_info(length=-1), "length"), (with_info(length=2**62), "length"),
    (with_info(files=[]), "files"), (with_info(length=None, files={}), "files"),
    (with_info(length=None, files=[{"length": 20000}]), "path"),
    (with_info(length=None, files=[{"length": 20000, "path": []}]), "path"),
    (with_info(length=None, files=[{"length": 20000, "path": [1]}]), "path"),
    (with_info(length=None, files=[{"length": 2**63 - 1, "path": ["a"]}] * 4), "length"),
    (b"d4:infod6:lengthi1e6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:" + b"x" * 20 + b"ee",
     "length"),
])
def test_what_is_no_torrent(torrent, tmp_path, metainfo, word):
    data = metainfo if isinstance(metainfo, bytes) else bencode.encode(metainfo)
    (tmp_path / "bad.torrent").write_bytes(data)
    for option in ([], ["--json"]):
        refused(torrent("show", "bad.torrent", *option), "bad.torrent", word)


def test_version_2_alone(torrent, tmp_path):
    theirs = libtorrent_makes(make_tree(tmp_path / "tree"), PIECE, libtorrent.create_torrent.v2_only)
    (tmp_path / "two.torrent").write_bytes(libtorrent.bencode(theirs))
    refused(torrent("show", "two.torrent"), "two.torrent", "meta version")


def test_every_torrent_that_is_cut_short(torrent, tmp_path):
    whole = bencode.encode({"announce": "http://a", **with_info()})
    for length in range(0, len(whole), 11):
        (tmp_path / "cut.torrent").write_bytes(whole[:length])
        refused(torrent("show", "cut.torrent"), "cut.torrent")


def test_files_that_cannot_be_shown(torrent, tmp_path):
    refused(torrent("show", "absent.torrent"), "absent.torrent", "No such file")
    refused(torrent("show", "."), ".", "directory")
    with open(tmp_path / "huge", "wb") as f:
        f.truncate(200 << 20)
    refused(torrent("show", "huge"), "huge", "larger")


def test_what_create_made_is_shown(create, torrent, tmp_path):
    make_tree(tmp_path / "tree")
    path, metainfo = create("tree", "-a", "http://a.example/announce", "--private",
                            "--piece-length", PIECE)
    shown = json.loads(torrent("show", path, "--json").stdout)
    assert [Path(*f["path"]) for f in shown["files"]] == in_order(tmp_path / "tree")
    assert shown["info_hash"] == v1_hash(metainfo)
    assert (shown["private"], shown["trackers"]) == (True, [["http://a.example/announce"]])

"""The port for peers, and those who misuse it: each is cut off or ignored, and whoever behaves is
served meanwhile."""

import contextlib
import socket
import struct

import pytest

from lib.torrent import make_content, make_torrent
from lib.torrentflow import TorrentFlow
from lib.wait import eventually

PIECE_LEN = 1 << 18
N_PIECES = 7
PROTOCOL = b"\x13BitTorrent protocol"
FAST_AND_EXTENDED = b"\0\0\0\0\0\x10\0\x04"
CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, PIECE = 0, 1, 2, 4, 5, 6, 7
HAVE_ALL, HAVE_NONE, REJECT, EXTENDED = 14, 15, 16, 20


@pytest.fixture(scope="module")
def seeding(shared_servers, tmp_path_factory):
    """(server, torrent, content): it seeds seven pieces."""
    folder = tmp_path_factory.mktemp("seeding")
    content = make_content(folder / "seven.bin", N_PIECES * PIECE_LEN - 100, "hostile")
    torrent = make_torrent(folder / "seven.bin", ["http://127.0.0.1:9/announce"])
    server = shared_servers({"client": {"download_dir": str(folder), "max_peers": 100}})
    flow = TorrentFlow(server)
    flow.added(flow.upload(torrent.metainfo))
    eventually(lambda: flow.status(torrent.info_hash.hex())["is_seeding"], 20)
    return server, torrent, content


class Peer:
    """One connection to the port for peers."""

    def __init__(self, server, source="127.0.0.1"):
        ip, port = server.ready["client"][0].rsplit(":", 1)
        self.socket = socket.create_connection((ip, int(port)), 10, (source, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def shake(self, torrent, peer_id=b"-HO0000-hostilehosti"):
        self.send(PROTOCOL + FAST_AND_EXTENDED + torrent.info_hash + peer_id)
        assert self.read(68)[28:48] == torrent.info_hash
        return self

    def say(self, kind, payload=b""):
        self.send(struct.pack(">IB", 1 + len(payload), kind) + payload)

    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.socket.recv(n - len(data))
            if not part:
                raise ConnectionResetError(f"ended after {len(data)} of {n} bytes")
            data += part
        return data

    def message(self):
        length = struct.unpack(">I", self.read(4))[0]
        body = self.read(length)
        return (body[0], body[1:]) if body else (None, b"")

    def until(self, kind):
        while True:
            got, payload = self.message()
            if got == kind:
                return payload

    def is_cut(self):
        """Ends, by and by, whatever it still says."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True


def get_block(server, torrent, content, piece=3, source="127.0.0.99"):
    """A well-behaved peer gets a block, and it is right."""
    with Peer(server, source).shake(torrent, b"-GO0000-" + source.encode().ljust(12)[:12]) as peer:
        peer.say(HAVE_NONE)
        peer.say(INTERESTED)
        peer.until(UNCHOKE)
        peer.say(REQUEST, struct.pack(">III", piece, 16384, 16384))
        payload = peer.until(PIECE)
        at = piece * PIECE_LEN + 16384
        assert payload == struct.pack(">II", piece, 16384) + content[at:at + 16384]


def test_a_good_peer(seeding):
    get_block(*seeding)


@pytest.mark.parametrize("bytes_", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x13BitTorrent protocoX", bytes(100), b"\x13BitTorrent protocol" +
    FAST_AND_EXTENDED + b"?" * 20 + b"-XX0000-unknowntorre"])
def test_what_is_no_handshake_of_ours(seeding, bytes_):
    with Peer(seeding[0]) as peer:
        peer.send(bytes_)
        assert peer.is_cut()
    get_block(*seeding)


BROKEN = {
    "a message of 4 GiB": struct.pack(">IB", 0xFFFFFFFF, PIECE),
    "an extended message of 1 MiB": struct.pack(">IB", 1 << 20, EXTENDED),
    "a bitfield that is too long": struct.pack(">IB", 1 + 2, BITFIELD) + b"\xff\xff",
    "a bitfield with a spare bit": struct.pack(">IB", 1 + 1, BITFIELD) + b"\xff",
    "a have of no piece": struct.pack(">IBI", 5, HAVE, N_PIECES),
    "a choke with a body": struct.pack(">IB", 2, CHOKE) + b"\0",
    "a request that is too short": struct.pack(">IBI", 5, REQUEST, 1),
    "a block that nobody asked for, out of its piece":
        struct.pack(">IBII", 9 + 16384, PIECE, 1, PIECE_LEN) + bytes(16384),
    "an extended handshake that is no dictionary": struct.pack(">IBB", 5, EXTENDED, 0) + b"xxx",
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_rules_is_cut(seeding, what):
    server, torrent, _ = seeding
    with Peer(server).shake(torrent) as peer:
        peer.send(BROKEN[what])
        assert peer.is_cut()
    get_block(*seeding)


@pytest.mark.parametrize("request_", [
    (N_PIECES, 0, 16384), (0, PIECE_LEN, 16384), (0, PIECE_LEN - 1, 2), (0, 0, 0),
    (0, 0, 1 << 20), (N_PIECES - 1, PIECE_LEN - 16384, 16384), (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_request_out_of_range_is_refused(seeding, request_):
    server, torrent, _ = seeding
    with Peer(server).shake(torrent) as peer:
        peer.say(HAVE_NONE)
        peer.say(INTERESTED)
        peer.until(UNCHOKE)
        peer.say(REQUEST, struct.pack(">III", *request_))
        assert peer.until(REJECT) == struct.pack(">III", *request_)


def test_a_request_while_choked_is_refused(seeding):
    server, torrent, _ = seeding
    with Peer(server).shake(torrent) as peer:
        peer.say(HAVE_ALL)  # no allowed fast pieces for a seed, and it is closed as one soon
        peer.say(REQUEST, struct.pack(">III", 0, 0, 16384))
        with contextlib.suppress(ConnectionResetError):
            assert peer.until(REJECT) == struct.pack(">III", 0, 0, 16384)


def test_a_thousand_that_say_nothing(seeding):
    """From one address: most are cut at once, others are served."""
    server = seeding[0]
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(1000):
            with contextlib.suppress(OSError):
                peers.append(stack.enter_context(Peer(server, "127.0.0.66")))
        cut = sum(peer.is_cut() for peer in peers[:-20])
        assert cut == len(peers) - 20 >= 900
        get_block(*seeding)


def test_a_trickle_is_cut_after_a_while(seeding):
    """A handshake that never ends: ten seconds, not more."""
    with Peer(seeding[0]) as peer:
        peer.socket.settimeout(20)
        peer.send(PROTOCOL[:5])
        assert peer.is_cut()


def test_it_reads_nothing_and_asks_for_everything(seeding):
    """Memory stays within bounds, others are served."""
    server, torrent, _ = seeding
    before_kib = server.rss_kib
    with Peer(server).shake(torrent) as peer:
        peer.say(HAVE_NONE)
        peer.say(INTERESTED)
        peer.until(UNCHOKE)
        requests = b"".join(struct.pack(">IBIII", 13, REQUEST, i % (N_PIECES - 1), 0, 16384)
                            for i in range(20000))
        peer.socket.settimeout(5)
        with contextlib.suppress(OSError):
            peer.send(requests)
        get_block(*seeding)
        assert server.rss_kib < before_kib + (64 << 10)

"""A UDP tracker client (BEP 15, BEP 41) that shows what was really on the wire."""

import socket
import struct
from dataclasses import dataclass, field

from lib import peers
from lib.ids import new_peer_id

PROTOCOL_ID = 0x41727101980
CONNECT, ANNOUNCE, SCRAPE, ERROR = range(4)
NONE, COMPLETED, STARTED, STOPPED = range(4)

REPLY_TIMEOUT_S = 2.0
TRIES = 4


class TrackerError(Exception):
    """The tracker answered with an error message."""


class Silence(Exception):
    """No answer, although the tracker answered what was sent afterwards."""


@dataclass
class Announced:
    interval: int
    leechers: int
    seeders: int
    peers: list
    datagram_len: int


@dataclass
class Announce:
    """What an announce says; the defaults are an unremarkable leecher."""

    info_hash: bytes
    port: int = 6881
    peer_id: bytes = field(default_factory=new_peer_id)
    left: int = 1000
    downloaded: int = 0
    uploaded: int = 0
    event: int = NONE
    ip: int = 0
    key: int = 0
    numwant: int = -1
    options: bytes = b""

    def encode(self, connection_id, transaction_id):
        return struct.pack(
            ">QII20s20sQQQIIIiH", connection_id, ANNOUNCE, transaction_id, self.info_hash,
            self.peer_id, self.downloaded, self.left, self.uploaded, self.event, self.ip,
            self.key, self.numwant, self.port) + self.options


def url_data(text, chunk=255):
    """BEP 41 options that carry text, in as many pieces as chunk makes of it."""
    data = text.encode()
    pieces = [data[i:i + chunk] for i in range(0, len(data), chunk)]
    return b"".join(bytes([2, len(p)]) + p for p in pieces)


class UdpClient:
    """One socket. address: (host, port) of the tracker; source: the local address to use."""

    def __init__(self, address, source=None):
        self.v6 = ":" in address[0]
        self.address = address
        self.socket = socket.socket(socket.AF_INET6 if self.v6 else socket.AF_INET,
                                    socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.settimeout(REPLY_TIMEOUT_S)
        self.socket.bind((source or ("::1" if self.v6 else "127.0.0.1"), 0))
        self.socket.connect(address)
        self.connection_id = None
        self._transaction_id = 0x52000000 + (self.socket.getsockname()[1] << 8)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def next_transaction_id(self):
        self._transaction_id = (self._transaction_id + 1) & 0xFFFFFFFF
        return self._transaction_id

    def send(self, datagram):
        self.socket.send(datagram)

    def recv(self):
        """The next datagram; TimeoutError after REPLY_TIMEOUT_S."""
        return self.socket.recv(65536)

    def exchange(self, datagram, transaction_id):
        """Send, and return (action, body) of the answer to transaction_id. Sends again when there
        is none: a datagram may be lost even on loopback."""
        for _ in range(TRIES):
            self.send(datagram)
            try:
                while True:
                    answer = self.recv()
                    action, tid = struct.unpack_from(">II", answer)
                    if tid == transaction_id:
                        return action, answer
            except TimeoutError:
                continue
        raise TimeoutError(f"no answer from {self.address}")

    def connect(self):
        tid = self.next_transaction_id()
        action, answer = self.exchange(struct.pack(">QII", PROTOCOL_ID, CONNECT, tid), tid)
        assert action == CONNECT and len(answer) == 16, answer
        self.connection_id = struct.unpack_from(">Q", answer, 8)[0]
        return self.connection_id

    def _id(self):
        return self.connection_id if self.connection_id is not None else self.connect()

    def announce(self, info_hash, **fields):
        """Announced, or TrackerError. fields are those of Announce."""
        request = Announce(info_hash, **fields)
        connection_id, tid = self._id(), self.next_transaction_id()
        action, answer = self.exchange(request.encode(connection_id, tid), tid)
        _raise_error(action, answer)
        assert action == ANNOUNCE and len(answer) >= 20, answer
        interval, leechers, seeders = struct.unpack_from(">III", answer, 8)
        unpack = peers.unpack6 if self.v6 else peers.unpack4
        return Announced(interval, leechers, seeders, unpack(answer[20:]), len(answer))

    def scrape(self, hashes):
        """[(seeders, completed, leechers)] in the order of the answer, or TrackerError."""
        connection_id, tid = self._id(), self.next_transaction_id()
        request = struct.pack(">QII", connection_id, SCRAPE, tid) + b"".join(hashes)
        action, answer = self.exchange(request, tid)
        _raise_error(action, answer)
        assert action == SCRAPE and (len(answer) - 8) % 12 == 0, answer
        return [struct.unpack_from(">III", answer, at) for at in range(8, len(answer), 12)]

    def answers_before_connect(self, *datagrams):
        """Send these and then a connect; whatever is answered ahead of that. The tracker reads
        one socket in order, so an empty list is proof of silence."""
        tid = self.next_transaction_id()
        for datagram in datagrams:
            self.send(datagram)
        answers = []
        for _ in range(TRIES):
            self.send(struct.pack(">QII", PROTOCOL_ID, CONNECT, tid))
            try:
                while True:
                    answer = self.recv()
                    if len(answer) == 16 and struct.unpack_from(">II", answer) == (CONNECT, tid):
                        return answers
                    answers.append(answer)
            except TimeoutError:
                continue
        raise TimeoutError(f"no answer from {self.address}")


def _raise_error(action, answer):
    if action == ERROR:
        raise TrackerError(answer[8:].decode())


def add_peers(client, info_hash, ports, **fields):
    """One announce for each port, all from the client's address, without waiting in between more
    than the socket's buffer needs."""
    connection_id = client.connect()
    ports = list(ports)
    for start in range(0, len(ports), 50):
        waiting = {}
        for port in ports[start:start + 50]:
            tid = client.next_transaction_id()
            waiting[tid] = Announce(info_hash, port=port, numwant=0, **fields).encode(
                connection_id, tid)
        _deliver(client, waiting)


def add_torrents(client, hashes, **fields):
    """One announce for each hash."""
    connection_id = client.connect()
    hashes = list(hashes)
    for start in range(0, len(hashes), 50):
        waiting = {}
        for info_hash in hashes[start:start + 50]:
            tid = client.next_transaction_id()
            waiting[tid] = Announce(info_hash, numwant=0, **fields).encode(connection_id, tid)
        _deliver(client, waiting)


def _deliver(client, waiting):
    """Send every datagram of {transaction id: datagram} until each was answered."""
    for _ in range(TRIES):
        for datagram in waiting.values():
            client.send(datagram)
        try:
            while waiting:
                answer = client.recv()
                action, tid = struct.unpack_from(">II", answer)
                _raise_error(action, answer)
                waiting.pop(tid, None)
            return
        except TimeoutError:
            continue
    raise TimeoutError(f"{len(waiting)} announces without an answer")

"""Engine.IO byte by byte: sessions by polling and by WebSocket, of revision 3 or 4."""

import base64
import json
import struct

from lib import http
from lib.rookery import AUTH, TOKEN

PATH = "/socket.io/"
KEY = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
       "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
SEPARATOR = b"\x1e"


def read_head(connection):
    """The head of an answer; what comes behind it stays with the connection."""
    while b"\r\n\r\n" not in connection._buffer:
        connection._fill()
    start, connection._buffer = connection._buffer.split(b"\r\n\r\n", 1)
    lines = start.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return http.Response(int(lines[0].split(" ")[1]), headers, b"", lines[0].split(" ")[0])


class Polling:
    """One Engine.IO session by polling."""

    def __init__(self, server, eio=4, token=TOKEN):
        self.server = server
        self.query = f"?EIO={eio}&transport=polling"
        answer = server.api("GET", PATH + self.query, token=token)
        assert answer.status == 200, answer
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        self.opened = answer.text
        self.sid = json.loads(answer.text[answer.text.index("{"):])["sid"]

    def request(self, method, body=None, headers=None):
        return self.server.api(method, f"{PATH}{self.query}&sid={self.sid}", token=None, body=body,
                               headers=headers)

    def get(self):
        answer = self.request("GET")
        assert answer.status == 200, answer
        return answer.body

    def post(self, body, headers=None):
        body = body.encode() if isinstance(body, str) else body
        answer = self.request("POST", body, headers)
        assert (answer.status, answer.body) == (200, b"ok"), answer

    def is_gone(self):
        answer = self.request("GET")
        return (answer.status, answer.json()) == (
            400, {"code": 1, "message": "Session ID unknown"})


class WebSocket:
    """The client's side of one, over a raw connection. target: the query of /socket.io/."""

    def __init__(self, server, query, headers=None):
        self.connection = http.Connection(server.api_address())
        self.connection.send(http.head("GET", PATH + query, self.connection.address,
                                       {**KEY, **AUTH, **(headers or {})}))
        self.head = read_head(self.connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, payload, opcode=1, fin=True, masked=True):
        payload = payload.encode() if isinstance(payload, str) else payload
        mask = b"\x37\xfa\x21\x3d" if masked else b""
        n = len(payload)
        length = (bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536
                  else b"\x7f" + struct.pack(">Q", n))
        length = bytes([length[0] | (0x80 if masked else 0)]) + length[1:]
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload
        self.connection.send(bytes([opcode | (0x80 if fin else 0)]) + length + mask + body)

    def frame(self):
        """(opcode, payload) of the next frame."""
        first, length = self.connection._take(2)
        assert first & 0x70 == 0 and first & 0x80 and length < 128
        if length == 126:
            length = struct.unpack(">H", self.connection._take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.connection._take(8))[0]
        return first & 15, self.connection._take(length)

    def text(self):
        opcode, payload = self.frame()
        assert opcode == 1, (opcode, payload)
        return payload.decode()

    def closed(self):
        """The code of the close that comes, behind which the connection ends."""
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                self.send(payload, 8)
                assert self.connection.read_to_end() == b""
                return struct.unpack(">H", payload)[0] if payload else None


def utf16_len(text):
    return len(text.encode("utf-16-le")) // 2


def payload(eio, packets):
    """What a POST carries. A packet is text, or bytes: a binary message."""
    texts = [p if isinstance(p, str) else ("b" if eio == 4 else "b4") + base64.b64encode(p).decode()
             for p in packets]
    if eio == 4:
        return SEPARATOR.join(t.encode() for t in texts)
    return "".join(f"{utf16_len(t)}:{t}" for t in texts).encode()


def packets_of(eio, body):
    """The packets in the answer to a GET; ours are ASCII."""
    if eio == 4:
        return [p.decode() for p in body.split(SEPARATOR)]
    packets = []
    while body:
        length, rest = body.split(b":", 1)
        packets.append(rest[:int(length)].decode())
        body = rest[int(length):]
    return packets


class ByPolling:
    """A session that is the same to its user by polling and by WebSocket: send and next."""

    def __init__(self, server, eio):
        self.eio = eio
        self.polling = Polling(server, eio)
        self.opened, = packets_of(eio, self.polling.opened.encode())
        self._came = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def send(self, *packets):
        """False when the server would not have it."""
        answer = self.polling.request("POST", payload(self.eio, packets))
        assert (answer.status, answer.body) == (200, b"ok") or answer.status == 400, answer
        return answer.status == 200

    def next(self):
        while not self._came:
            self._came = packets_of(self.eio, self.polling.get())
        return self._came.pop(0)

    def is_over(self):
        """Waits for the end, past what comes before it."""
        while True:
            answer = self.polling.request("GET")
            if answer.status == 400:
                return answer.json()["code"] == 1
            assert answer.status == 200, answer


class ByWebSocket:
    def __init__(self, server, eio):
        self.eio = eio
        self.socket = WebSocket(server, f"?EIO={eio}&transport=websocket")
        self.opened = self.socket.text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.connection.close()

    def send(self, *packets):
        for packet in packets:
            if isinstance(packet, str):
                self.socket.send(packet)
            else:
                self.socket.send(packet if self.eio == 4 else b"\x04" + packet, opcode=2)
        return True

    def next(self):
        return self.socket.text()

    def is_over(self):
        self.socket.closed()
        return True

"""HTTP/1 over a raw socket, so that tests decide about every byte, and an HTTP tracker client."""

import json
import socket
from dataclasses import dataclass, field
from urllib.parse import quote

from lib import bencode, peers
from lib.ids import new_peer_id

TIMEOUT_S = 10.0


class Failure(Exception):
    """The tracker answered with a failure reason. reply is the whole dictionary."""

    def __init__(self, reply):
        super().__init__(reply[b"failure reason"].decode())
        self.reply = reply


@dataclass
class Response:
    status: int
    headers: dict  # lower-case names
    body: bytes
    version: str

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


@dataclass
class Announced:
    interval: int
    min_interval: int
    seeders: int
    leechers: int
    peers: list
    raw: dict = field(repr=False)


class Connection:
    """One connection. address: (host, port); source: the local address; tls: an SSLContext."""

    def __init__(self, address, source=None, tls=None):
        self.address = address
        self.socket = socket.create_connection(
            address, timeout=TIMEOUT_S, source_address=(source, 0) if source else None)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=None, body=None, version="HTTP/1.1"):
        """Send one request and read its answer."""
        self.send(head(method, target, self.address, headers, body, version) + (body or b""))
        return self.response(method)

    def response(self, method="GET"):
        """Read one answer; ConnectionError when the server closes instead."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        start, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        lines = start.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ")[:2]
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        if int(status) == 100:
            return self.response(method)
        body = b"" if method == "HEAD" or status in ("204", "304") else self._body(headers)
        return Response(int(status), headers, body, version)

    def is_closed(self):
        """Waits until the server closes (True) or sends something (False)."""
        try:
            return not self._buffer and self.socket.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def read_to_end(self):
        """Everything until the server closes."""
        try:
            while True:
                self._fill()
        except ConnectionError:
            data, self._buffer = self._buffer, b""
            return data

    def _fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("closed by the server")
        self._buffer += data

    def _take(self, n):
        while len(self._buffer) < n:
            self._fill()
        data, self._buffer = self._buffer[:n], self._buffer[n:]
        return data

    def _line(self):
        while b"\r\n" not in self._buffer:
            self._fill()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def _body(self, headers):
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self._line().split(b";")[0], 16)
                body += self._take(size)
                self._take(2)
                if size == 0:
                    return body
        return self.read_to_end()


def head(method, target, address, headers=None, body=None, version="HTTP/1.1"):
    """The bytes of a request head."""
    fields = {"Host": f"[{address[0]}]:{address[1]}" if ":" in address[0]
              else f"{address[0]}:{address[1]}"}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    lines = [f"{method} {target} {version}"]
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                lines.append(f"{name}: {one}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def announce_query(info_hash, **params):
    """The query of an announce. A parameter that is None is left out; names may be overridden
    with bytes values, which are %-encoded."""
    fields = {"info_hash": info_hash, "peer_id": new_peer_id(), "port": 6881, "uploaded": 0,
              "downloaded": 0, "left": 1000}
    fields.update(params)
    return "&".join(f"{k}={quote(v, safe='') if isinstance(v, bytes) else v}"
                    for k, v in fields.items() if v is not None)


def scrape_query(hashes):
    return "&".join("info_hash=" + quote(h, safe="") for h in hashes)


class HttpTracker:
    """An HTTP tracker client on one keep-alive connection, opened again when it was closed."""

    def __init__(self, address, source=None, tls=None):
        self._make = lambda: Connection(address, source, tls)
        self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._connection:
            self._connection.close()
        self._connection = None

    def get(self, target, headers=None):
        if self._connection is None:
            self._connection = self._make()
        response = self._connection.request("GET", target, headers)
        if response.headers.get("connection", "").lower() == "close":
            self.close()
        return response

    def announce(self, info_hash, path="/announce", headers=None, **params):
        """Announced, or Failure."""
        reply = self._bencoded(f"{path}?{announce_query(info_hash, **params)}", headers)
        found = reply[b"peers"]
        listed = peers.unpack4(found) if isinstance(found, bytes) else [
            (p[b"ip"].decode(), p[b"port"]) for p in found]
        listed += peers.unpack6(reply.get(b"peers6", b""))
        return Announced(reply[b"interval"], reply[b"min interval"], reply[b"complete"],
                         reply[b"incomplete"], listed, reply)

    def scrape(self, hashes, path="/scrape"):
        """{info-hash: (seeders, completed, leechers)}, or Failure."""
        reply = self._bencoded(f"{path}?{scrape_query(hashes)}")
        return {h: (f[b"complete"], f[b"downloaded"], f[b"incomplete"])
                for h, f in reply[b"files"].items()}

    def _bencoded(self, target, headers=None):
        response = self.get(target, headers)
        assert response.status == 200, (response.status, response.body)
        reply = bencode.decode(response.body)
        if b"failure reason" in reply:
            raise Failure(reply)
        return reply


def multipart(*fields, boundary="a-boundary"):
    """(name, filename or None, value) each: headers and body of multipart/form-data."""
    body = b""
    for name, filename, value in fields:
        file = f'; filename="{filename}"' if filename is not None else ""
        kind = "Content-Type: application/octet-stream\r\n" if filename is not None else ""
        value = value if isinstance(value, bytes) else str(value).encode()
        body += (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n{kind}'
                 "\r\n").encode() + value + b"\r\n"
    return ({"Content-Type": f"multipart/form-data; boundary={boundary}"},
            body + f"--{boundary}--\r\n".encode())

"""The Socket.IO clients of npm, as objects: each is a node process of tests/socketio/client.js."""

import base64
import itertools
import json
import queue
import subprocess
import threading
from urllib.parse import urlencode

from lib.rookery import REPOSITORY, TOKEN

FOLDER = REPOSITORY / "tests" / "socketio"
WAIT_S = 15


def to_wire(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {k: to_wire(v) for k, v in value.items()}
    if isinstance(value, list):
        return [to_wire(v) for v in value]
    return value


class SocketIo:
    """One client. version: 4 or 2, of socket.io-client; token: goes into the query, None: none;
    auth: the payload of CONNECT; other options as the clients have them."""

    def __init__(self, server, version, transports=None, token=TOKEN, auth=None, headers=None,
                 reconnection=False, query=None, scheme="http", **options):
        host, port = server.api_address()
        options = {"reconnection": reconnection, "reconnectionDelay": 50,
                   "reconnectionDelayMax": 100, "timeout": 10000, "forceNew": True, **options}
        query = dict(query or {}, **({"token": token} if token is not None else {}))
        if query:
            options["query"] = query if version == 4 else urlencode(query)
        if auth is not None:
            options["auth"] = auth
        if transports:
            options["transports"] = transports
        if headers:
            options["extraHeaders"] = headers
        self.heard = queue.Queue()
        self.passed = []
        self._acks = itertools.count(1)
        self.process = subprocess.Popen(
            ["node", FOLDER / "client.js", json.dumps(
                {"version": version, "url": f"{scheme}://{host}:{port}", "options": options})],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=FOLDER)
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _listen(self):
        try:
            for line in self.process.stdout:
                self.heard.put(json.loads(line))
        except ValueError:  # closed while reading
            pass
        self.heard.put({"is": "end"})

    def wait(self, what, timeout_s=WAIT_S, **members):
        """The next thing of this kind that has these members; what comes before it is in passed."""
        while True:
            try:
                thing = self.heard.get(timeout=timeout_s)
            except queue.Empty:
                raise AssertionError(f"no {what} {members} in {timeout_s} s; {self.passed}") from None
            if thing["is"] == what and members.items() <= thing.items():
                return thing
            assert thing["is"] != "end", f"the client ended before {what}: {self.passed}"
            self.passed.append(thing)

    def connected(self):
        """Waits for the connection; self."""
        self.wait("connect")
        return self

    def upgraded(self):
        """Waits until its transport, which was polling, is a WebSocket; self."""
        if not any(thing["is"] == "upgrade" for thing in self.passed):
            self.wait("upgrade", transport="websocket")
        return self

    @property
    def opened_by(self):
        """The transport of its first connection."""
        return next(thing for thing in self.passed if thing["is"] == "open")["transport"]

    def do(self, what, **members):
        self.process.stdin.write(json.dumps(to_wire({"do": what, **members})) + "\n")
        self.process.stdin.flush()

    def emit(self, argument, event="v1"):
        self.do("emit", args=[event, argument])

    def ask(self, argument, event="v1"):
        """The acknowledgement of an event."""
        number = next(self._acks)
        self.do("emit", args=[event, argument], ack=number)
        return self.wait("ack", ack=number)["data"]

    def command(self, command, t_id="t", **parameters):
        """The answer to a command that must be that of this command."""
        answer = self.ask({"t_id": t_id, "command": command, **parameters})
        assert (answer.pop("t_id"), answer.pop("command")) == (t_id, command)
        return answer

    def succeed(self, command, **parameters):
        answer = self.command(command, **parameters)
        assert answer.pop("status") == "success", answer
        return answer

    def pushed(self, timeout_s=WAIT_S, **members):
        """The next pushed event that has these members."""
        while True:
            data = self.wait("v1", timeout_s)["data"]
            if "t_id" not in data and members.items() <= data.items():
                return data

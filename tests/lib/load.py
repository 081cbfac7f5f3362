"""Announces without a pause, in a thread, while something else happens to the server."""

import threading
import time

from lib.udp import UdpClient


class AnnounceLoad:
    """with AnnounceLoad(server, info_hash) as load: ... Every announce must be answered."""

    def __init__(self, server, info_hash, source="127.0.0.99"):
        self.answered = 0
        self.slowest_s = 0.0
        self.failure = None
        self._client = UdpClient(server.udp_address(), source)
        self._info_hash = info_hash
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _run(self):
        port = 1000
        self._client.connect()
        try:
            while not self._stop.is_set():
                port = 1000 + (port + 1) % 50000
                began = time.monotonic()
                self._client.announce(self._info_hash, port=port)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.answered += 1
        except Exception as e:  # told in check(); a server that is stopped ends here, too
            self.failure = e

    def check(self, answered_before=-1):
        """Nothing failed so far, and more was answered than answered_before."""
        assert self.failure is None, self.failure
        assert self.answered > answered_before
        return self.answered

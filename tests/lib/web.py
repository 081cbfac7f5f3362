"""A small web server with fixed answers, for torrents by URL."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """pages: {path, with its query or without: (status, headers, body)}; anything else is 404.
    requests: (path, headers) of every request so far."""

    def __init__(self, pages):
        self.pages = dict(pages)
        self.requests = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.requests.append((self.path, dict(self.headers)))
                missing = web.pages.get(self.path.split("?")[0], (404, {}, b"not here"))
                status, headers, body = web.pages.get(self.path, missing)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_address[1]

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def dead_port():
    """A port of 127.0.0.1 that nobody listens on: bound, and so nobody else's, until it is closed."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder

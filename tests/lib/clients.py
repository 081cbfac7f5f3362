"""Foreign BitTorrent clients as peers, each on a loopback address of its own: Transmission knows
peers by address only, so two clients on one address disturb each other.

All have the same face: start with a torrent, is_complete(), stop(). A seeder is started on a
folder that has the content already.
"""

import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import xmlrpc.client
from pathlib import Path

from lib import http
from lib.rookery import STOP_TIMEOUT_S, merged
from lib.wait import eventually


EMPTY = hashlib.sha256(b"").hexdigest()


def free_port(ip, kind=socket.SOCK_STREAM):
    """A port that nobody listens on just now."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.bind((ip, 0))
        return probe.getsockname()[1]


class _Program:
    """A client that is a process. Its output goes to a file in its folder."""

    makes_empty_files = True

    def __init__(self, ip, directory, torrent):
        self.ip = ip
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port(ip)
        self.log = self.directory / "log"
        self.torrent = torrent
        self.torrent_file = self.directory / "it.torrent"
        self.torrent_file.write_bytes(torrent.metainfo)
        self.process = None

    def _launch(self, command):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.directory,
                                            env={"HOME": str(self.directory),
                                                 "PATH": "/usr/bin:/bin"})

    def describe(self):
        said = self.log.read_text(errors="replace")[-2000:]
        return f"{type(self).__name__} on {self.ip}:\n{said}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Transmission(_Program):
    """transmission-daemon, driven by its RPC. It never dials a loopback address, so somebody else
    has to dial it. A file is made when its first byte comes, so empty ones never are."""

    name_in_api = "Transmission"
    makes_empty_files = False

    def __init__(self, ip, directory, torrent, downloads):
        super().__init__(ip, directory, torrent)
        self.rpc_port = free_port(ip)
        self._session = ""
        settings = {
            "rpc-bind-address": ip, "rpc-port": self.rpc_port, "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False, "bind-address-ipv4": ip,
            "bind-address-ipv6": "::1", "peer-port": self.port, "port-forwarding-enabled": False,
            "dht-enabled": False, "lpd-enabled": False, "pex-enabled": False,
            "utp-enabled": False, "encryption": 1, "download-dir": str(downloads)}
        (self.directory / "settings.json").write_text(json.dumps(settings))
        self._launch(["transmission-daemon", "-f", "-g", str(self.directory)])
        eventually(lambda: self._call("session-get"), 10, "Transmission answers")
        self._call("torrent-add", filename=str(self.torrent_file))

    def _call(self, method, **arguments):
        request = urllib.request.Request(
            f"http://{self.ip}:{self.rpc_port}/transmission/rpc",
            json.dumps({"method": method, "arguments": arguments}).encode(),
            {"X-Transmission-Session-Id": self._session})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as e:
            if e.code != 409:
                raise
            self._session = e.headers["X-Transmission-Session-Id"]
            return self._call(method, **arguments)
        assert answer["result"] == "success", answer
        return answer["arguments"]

    def _torrent(self, *fields):
        return self._call("torrent-get", fields=list(fields))["torrents"][0]

    def is_complete(self):
        torrent = self._torrent("leftUntilDone", "metadataPercentComplete", "status")
        return torrent["leftUntilDone"] == 0 and torrent["status"] == 6  # seeding

    def describe(self):
        return super().describe() + str(self._torrent("trackerStats", "errorString", "peers"))

    def stop(self):
        """Leaves the swarm: announces "stopped" and ends."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_TIMEOUT_S)


class Aria2(_Program):
    """aria2c. With seed=False it ends as soon as it has the file."""

    name_in_api = "aria2"

    def __init__(self, ip, directory, torrent, downloads, seed=False, udp=False):
        super().__init__(ip, directory, torrent)
        command = ["aria2c", "--no-conf=true", f"--dir={downloads}", "--bt-enable-lpd=false",
                   "--enable-peer-exchange=false", "--enable-dht6=false",
                   f"--listen-port={self.port}", f"--interface={ip}", "--file-allocation=none",
                   "--summary-interval=0", "--allow-overwrite=true", "--bt-tracker-interval=3",
                   "--bt-stop-timeout=40"]
        if udp:  # its UDP trackers need the DHT's socket
            command += ["--enable-dht=true",
                        f"--dht-listen-port={free_port(ip, socket.SOCK_DGRAM)}",
                        "--dht-entry-point=127.0.0.1:1",
                        f"--dht-file-path={self.directory / 'dht.dat'}"]
        else:
            command += ["--enable-dht=false"]
        command += (["--seed-ratio=0.0", "--check-integrity=true"] if seed else ["--seed-time=0"])
        self._launch(command + [str(self.torrent_file)])

    def is_complete(self):
        """A leecher: has ended well."""
        status = self.process.poll()
        assert status in (None, 0), self.describe()
        return status == 0

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_TIMEOUT_S)


class LibTorrent(_Program):
    """python3-libtorrent. Over UDP it sends the path of the announce URL as BEP 41 URL data."""

    name_in_api = "libtorrent"

    def __init__(self, ip, directory, torrent, downloads, seed=False):
        super().__init__(ip, directory, torrent)
        self._launch([sys.executable, "-B", Path(__file__).with_name("libtorrent_peer.py"),
                      self.torrent_file, downloads, ip, str(self.port),
                      *(["seed"] if seed else [])])

    def has(self, kind):
        """The texts of the alerts of one kind so far."""
        lines = self.log.read_text().split("\n")[:-1]  # the last one may be half a line
        alerts = [json.loads(line) for line in lines if line.startswith("[")]
        return [text for name, text in alerts if name == kind]

    def is_complete(self):
        return bool(self.has("complete"))

    def stop(self):
        """Leaves the swarm: announces "stopped" and ends."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_TIMEOUT_S)


class QBittorrent(_Program):
    """qbittorrent-nox, driven by its web API."""

    name_in_api = "qBittorrent"

    def __init__(self, ip, directory, torrent, downloads, seed=False):
        super().__init__(ip, directory, torrent)
        self.web_port = free_port(ip)
        config = self.directory / "qBittorrent/config/qBittorrent.conf"
        config.parent.mkdir(parents=True)
        config.write_text("\n".join((
            "[LegalNotice]", "Accepted=true", "[BitTorrent]", f"Session\\Port={self.port}",
            f"Session\\InterfaceAddress={ip}", "Session\\DHTEnabled=false",
            "Session\\LSDEnabled=false", "Session\\PeXEnabled=false",
            "Session\\MultiConnectionsPerIp=true", "Session\\SSRFMitigation=false",
            "Session\\QueueingSystemEnabled=false", "[Network]", "PortForwardingEnabled=false",
            "[Preferences]", f"WebUI\\Address={ip}", f"WebUI\\Port={self.web_port}",
            "WebUI\\LocalHostAuth=false", "WebUI\\HostHeaderValidation=false",
            "WebUI\\CSRFProtection=false", "")))
        self._launch(["qbittorrent-nox", f"--profile={self.directory}"])
        eventually(lambda: self._call("app/version"), 20, "qBittorrent answers")
        headers, body = http.multipart(("savepath", None, downloads),
                                       ("skip_checking", None, "true" if seed else "false"),
                                       ("torrents", "a.torrent", torrent.metainfo))
        assert self._call("torrents/add", body, headers) == b"Ok."

    def _call(self, path, body=None, headers=None):
        request = urllib.request.Request(f"http://{self.ip}:{self.web_port}/api/v2/{path}", body,
                                         headers or {})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.read()
        except (urllib.error.URLError, ConnectionError):
            return b""

    def is_complete(self):
        torrents = json.loads(self._call("torrents/info") or b"[]")
        return bool(torrents) and torrents[0]["amount_left"] == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_TIMEOUT_S)


class RTorrent(_Program):
    """rtorrent, driven by XML-RPC over its SCGI socket."""

    name_in_api = "libTorrent (Rakshasa)"

    def __init__(self, ip, directory, torrent, downloads, seed=False):
        super().__init__(ip, directory, torrent)
        self.socket = self.directory / "scgi"
        (self.directory / "session").mkdir()
        rc = self.directory / "rc"
        rc.write_text("\n".join((
            "system.daemon.set=true", f"session.path.set={self.directory / 'session'}",
            f"directory.default.set={downloads}",
            f"network.port_range.set={self.port}-{self.port}", "network.port_random.set=no",
            f"network.bind_address.set={ip}", "dht.mode.set=disable", "protocol.pex.set=no",
            "trackers.use_udp.set=yes", f"network.scgi.open_local={self.socket}",
            "protocol.encryption.set=allow_incoming,try_outgoing,enable_retry", "")))
        self._launch(["rtorrent", "-n", "-o", f"import={rc}"])
        eventually(lambda: self._call("system.pid"), 10, "rTorrent answers")
        self._call("load.start", "", str(self.torrent_file))

    def _call(self, method, *arguments):
        body = xmlrpc.client.dumps(arguments, method).encode()
        head = b"".join(name + b"\0" + value + b"\0" for name, value in (
            (b"CONTENT_LENGTH", b"%d" % len(body)), (b"SCGI", b"1")))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.socket))
            connection.sendall(b"%d:%s,%s" % (len(head), head, body))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return xmlrpc.client.loads(answer.split(b"\r\n\r\n", 1)[1])[0][0]

    def is_complete(self):
        rows = self._call("d.multicall2", "", "main", "d.complete=")
        return bool(rows) and rows[0][0] == 1

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_TIMEOUT_S)


class Rookery:
    """The client of a server of its own, driven through POST /torrents. how: what it is given: the
    "file", or a "magnet" link with its trackers and more, what the link has besides."""

    name_in_api = "Rookery"
    makes_empty_files = True

    def __init__(self, ip, directory, torrent, downloads, servers, seed=False, how="file",
                 config=None, trackers=(), more=""):
        self.ip = ip
        self.torrent = torrent
        self.server = servers(merged({
            "client": {"listen": [f"[{ip}]:0" if ":" in ip else f"{ip}:0"], "download_dir": str(downloads),
                       "announce_to_own_tracker": False},
            "tracker": {"udp": [], "http": []}, "log": {"level": "debug"}}, config or {}))
        if how == "file":
            headers, body = http.multipart(("torrent_file", "a.torrent", torrent.metainfo))
        else:
            link = f"magnet:?xt=urn:btih:{torrent.info_hash.hex()}" + "".join(
                "&tr=" + urllib.parse.quote(tracker, safe="") for tracker in trackers) + more
            headers, body = http.multipart(("torrent_url", None, link))
        answer = self.server.api("POST", "/torrents", body=body,
                                 headers=headers)
        assert answer.status == 200, answer
        assert answer.json()["infohash"] == torrent.info_hash.hex()

    @property
    def port(self):
        """Of its last start."""
        return int(self.server.ready["client"][0].rsplit(":", 1)[1])

    @property
    def path(self):
        return f"/torrents/{self.torrent.info_hash.hex()}"

    def status(self):
        return self.server.get(self.path)

    def is_complete(self):
        status = self.status()
        assert status["error"] == "" or not status["error"].startswith("/"), status["error"]
        return status["is_seeding"]

    def describe(self):
        return f"Rookery on {self.ip}:\n{self.status()}\n{self.server.stderr[-2000:]}"

    def stop(self):
        self.server.stop()

    def kill(self):
        pass  # whoever made the server ends it


def digests(path):
    """{relative name: SHA-256} of a file, or of every file below a folder."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path.parent)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files}


class Swarm:
    """The clients of one test and the folder they work in. Ends them all at the end."""

    def __init__(self, directory, content, copy=shutil.copy):
        self.directory = Path(directory)
        self.content = Path(content)
        self.copy = copy  # how a seeder gets a single file
        self.clients = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.kill()

    def seeder(self, kind, ip, torrent, **options):
        """A client that has the content. Transmission finds it complete by checking it."""
        folder = self.directory / f"seed-{ip}".replace(":", "_")
        folder.mkdir()
        if self.content.is_dir():
            shutil.copytree(self.content, folder / self.content.name)
        else:
            self.copy(self.content, folder / self.content.name)
        if kind is not Transmission:
            options["seed"] = True
        return self._add(kind, ip, torrent, folder, options)

    def leecher(self, kind, ip, torrent, **options):
        folder = self.directory / f"leech-{len(self.clients)}-{ip}".replace(":", "_")
        folder.mkdir()
        client = self._add(kind, ip, torrent, folder, options)
        client.result = folder / self.content.name
        return client

    def _add(self, kind, ip, torrent, folder, options):
        work = self.directory / f"client-{len(self.clients)}"
        client = kind(ip, work, torrent, folder, **options)
        self.clients.append(client)
        return client

    def finish(self, *leechers, timeout_s=45):
        """Wait until all of them are complete, and compare what they have."""
        try:
            eventually(lambda: all([leecher.is_complete() for leecher in leechers]), timeout_s,
                       "every leecher is complete")
        except AssertionError as e:
            raise AssertionError(
                f"{e}\n" + "\n".join(client.describe() for client in self.clients)) from None
        expected = digests(self.content)
        for leecher in leechers:
            got = digests(leecher.result)
            wrong = [name for name, digest in expected.items() if got.get(name) != digest and
                     (leecher.makes_empty_files or digest != EMPTY or name in got)]
            assert not wrong, f"{wrong}\n{leecher.describe()}"

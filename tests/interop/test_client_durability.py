"""What Rookery's client survives: kill -9 at random moments, a disk that is too small, thousands of
torrents, a database that goes away. A libtorrent seeder is on the other side."""

import random
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import http
from lib.clients import LibTorrent, Rookery, Swarm, free_port
from lib.pg import sql
from lib.rookery import AUTH
from lib.torrent import (make_content, make_folder_torrent, make_torrent, make_tree,
                         small_torrents, without_trackers)
from lib.wait import eventually

TRACKER = {"tracker": {"mode": "public", "announce_interval": 2, "min_announce_interval": 1},
           "client": {"enabled": False}}
MIB = 1 << 20
PIECE_LEN = 1 << 18  # of make_torrent


@pytest.fixture(scope="module")
def tracker(shared_servers):
    return shared_servers(TRACKER)


def url(tracker):
    ip, port = tracker.http_address()
    return f"http://{ip}:{port}/announce"


@pytest.fixture
def forty(tmp_path):
    path = tmp_path / "content" / "forty.bin"
    path.parent.mkdir()
    make_content(path, 40 * MIB, "durability")
    with Swarm(tmp_path, path) as swarm:
        yield swarm


def test_killed_twenty_times(tracker, forty, servers):
    """At random moments of a download; then it completes, and little was fetched twice. No start
    claims more than was there: a piece that fails its hash would be fetched, and seen, again."""
    rng = random.Random(20)
    torrent = make_torrent(forty.content, [url(tracker)])
    forty.seeder(LibTorrent, "127.0.7.1", torrent)
    leecher = forty.leecher(Rookery, "127.0.7.2", torrent, servers=servers,
                            config={"client": {"max_download_rate": 3 * MIB}})
    done = 0
    for _ in range(20):
        target = done + rng.randrange(MIB)
        eventually(lambda: leecher.status()["total_done"] >= min(target, 40 * MIB), 20)
        leecher.server.kill9()
        leecher.server.start()
        eventually(lambda: leecher.status()["state"] in ("downloading", "seeding"), 10)
        done = leecher.status()["total_done"]
        if leecher.is_complete():
            break
    kept = pause_until_stored(leecher, 4 * MIB)
    leecher.server.kill9()
    leecher.server.start()
    eventually(lambda: leecher.status()["total_done"] >= kept, 10, "what was stored is there")
    config = leecher.server.config
    leecher.server.configure({**config, "client": {**config["client"], "max_download_rate": 0}})
    leecher.server.restart()
    eventually(lambda: leecher.server.api("PUT", f"{leecher.path}/resume").status == 200, 10)
    forty.finish(leecher, timeout_s=60)


def pause_until_stored(leecher, least):
    """The bytes of whole pieces that the database has of a paused download."""
    eventually(lambda: leecher.status()["total_done"] >= least, 20)
    assert leecher.server.api("PUT", f"{leecher.path}/pause").status == 200
    n_pieces = leecher.status()["pieces_downloaded"]
    eventually(lambda: stored(leecher.server, leecher.torrent, "bit_count(bitfield)") >= n_pieces,
               5, "it is stored at once")
    return n_pieces * PIECE_LEN


SMALL_DISK = ["unshare", "--mount", "sh", "-c",
              'mkdir -p "$0" && mount -t tmpfs -o size=20m tmpfs "$0" && exec "$@"']


def test_disk_of_twenty_for_a_torrent_of_forty(tracker, forty, servers, tmp_path):
    """Downloading pauses and says so, seeding goes on, and with space it goes on by itself."""
    torrent = make_torrent(forty.content, [url(tracker)])
    small = make_torrent(make_small(tmp_path), [url(tracker)])
    forty.seeder(LibTorrent, "127.0.8.1", torrent)
    disk = tmp_path / "disk"
    server = servers.make({"client": {"listen": ["127.0.8.2:0"], "download_dir": str(disk)},
                           "tracker": {"udp": [], "http": []}})
    server.wrapper = [*SMALL_DISK, str(disk)]
    server.start()
    inside = server.process.pid

    # A torrent that it has: what it goes on seeding.
    root = f"/proc/{inside}/root{disk}"
    with open(f"{root}/small.bin", "wb") as f:
        f.write((tmp_path / "small.bin").read_bytes())
    add(server, small)
    eventually(lambda: status(server, small)["is_seeding"], 10)

    add(server, torrent)
    full = eventually(lambda: said_full(server, torrent), 30, "it says that the disk is full")
    assert "forty.bin" in full["error"]
    assert 0 < full["pieces_downloaded"] * PIECE_LEN <= 20 * MIB
    (tmp_path / "others").mkdir()
    with Swarm(tmp_path / "others", tmp_path / "small.bin") as others:
        others.finish(others.leecher(LibTorrent, "127.0.8.3", small), timeout_s=30)

    remount(inside, disk)
    eventually(lambda: status(server, torrent)["is_seeding"], 90, "it goes on by itself")
    assert status(server, torrent)["error"] == ""


def make_small(folder):
    make_content(folder / "small.bin", MIB, "small")
    return folder / "small.bin"


def said_full(server, torrent):
    now = status(server, torrent)
    return now if "No space left on device" in now["error"] else None


def remount(pid, disk):
    """Room, in the server's own view of the file system."""
    subprocess.run(["nsenter", "--mount", f"--target={pid}", "mount", "-o", "remount,size=100m",
                    str(disk)], check=True, timeout=10)


def stored(server, torrent, column):
    """What the database has of a torrent."""
    rows = sql(server.config["database"]["url"],
               f"SELECT {column} FROM torrents WHERE info_hash = %s", torrent.info_hash)
    return rows[0][0] if rows else None


def add(server, torrent):
    headers, body = http.multipart(("torrent_file", "a.torrent", torrent.metainfo))
    answer = server.api("POST", "/torrents", body=body, headers=headers)
    assert answer.status == 200, answer


def status(server, torrent):
    return server.get(f"/torrents/{torrent.info_hash.hex()}")


def add_all(server, torrents):
    """One after the other, on one connection."""
    with http.Connection(server.api_address()) as connection:
        for torrent in torrents:
            headers, body = http.multipart(("torrent_file", "a.torrent", torrent.metainfo))
            answer = connection.request("POST", "/torrents", {**headers, **AUTH}, body)
            assert answer.status == 200, answer


def test_five_thousand_torrents(servers):
    """Added one by one; there after a restart, and announced to the own tracker without a storm."""
    server = servers({"tracker": {"announce_interval": 3600}})
    torrents = list(small_torrents(5000))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda some: add_all(server, some), [torrents[i::4] for i in range(4)]))
    assert status(server, torrents[0])["state"] == "downloading"
    server.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    server.process = None
    server.start()
    eventually(lambda: status(server, torrents[-1])["state"] == "downloading", 20)
    eventually(lambda: server.stats()["torrents"] > 1000, 60, "they are announced, paced")


def test_database_goes_away_while_it_downloads(tracker, own_cluster, forty, servers):
    """The download goes on; what changes is stored when the database is back."""
    torrent = make_torrent(forty.content, [url(tracker)])
    forty.seeder(LibTorrent, "127.0.9.1", torrent)
    leecher = forty.leecher(
        Rookery, "127.0.9.2", torrent, servers=servers,
        config={"client": {"max_download_rate": 6 * MIB},
                "database": {"url": own_cluster.new_database()}})
    eventually(lambda: leecher.status()["progress"] > 10, 20)
    own_cluster.stop()
    eventually(lambda: leecher.status()["progress"] > 60, 20, "it goes on without the database")
    headers, body = http.multipart(("torrent_file", "a.torrent", next(small_torrents(1)).metainfo))
    refused = leecher.server.api("POST", "/torrents", body=body,
                                 headers=headers)
    assert refused.status == 503
    own_cluster.start()
    forty.finish(leecher, timeout_s=60)
    leecher.server.restart()
    eventually(leecher.is_complete, 20)
    assert 40 * MIB <= stored(leecher.server, torrent, "total_down") < 42 * MIB


def error_of(client):
    return eventually(lambda: client.status()["error"], 20, "it says that the files are missing")


def test_files_that_went_away_and_came_back(tracker, servers, tmp_path):
    """A folder that was renamed while the server was down, and one below a save path in use: an
    error, no download over what is lost, and seeding again when they are back."""
    make_tree(tmp_path / "a tree", 20, "away")
    torrent = make_folder_torrent(tmp_path / "a tree", [url(tracker)])
    with Swarm(tmp_path, tmp_path / "a tree") as swarm:
        down = swarm.seeder(Rookery, "127.0.10.1", torrent, servers=servers)
        live = swarm.seeder(Rookery, "127.0.10.2", torrent, servers=servers)
        for seeder in (down, live):
            eventually(seeder.is_complete, 20)
            seeder.server.stop()
        down_path = tmp_path / "seed-127.0.10.1"
        live_path = tmp_path / "seed-127.0.10.2" / "a tree"
        down_path.rename(tmp_path / "elsewhere")
        down.server.start()
        assert f"/{down_path.name}" in error_of(down)  # long paths are cut at their front

        live.server.start()  # so that no file is open
        eventually(live.is_complete, 20)
        live_path.rename(tmp_path / "moved")
        leecher = swarm.leecher(LibTorrent, "127.0.10.3", torrent)
        assert "/seed-127.0.10.2/a tree" in error_of(live)
        for seeder in (down, live):
            assert not seeder.status()["is_seeding"] or seeder.status()["num_peers"] == 0
        assert not list(down_path.iterdir()) and not live_path.exists()

        (tmp_path / "elsewhere").rename(down_path)
        (tmp_path / "moved").rename(live_path)
        for seeder in (down, live):
            eventually(lambda: seeder.status()["error"] == "" and seeder.is_complete(), 30,
                       "it heals")
            assert seeder.status()["total_done"] == seeder.status()["total_wanted"]
        swarm.finish(leecher, timeout_s=30)


OWN = {"announce_interval": 2, "min_announce_interval": 1}


def peers_of(server, torrent):
    """[address:port] as its tracker has them."""
    answer = server.api("GET", f"/api/torrent/{torrent.info_hash.hex()}")
    return [] if answer.status == 404 else [about["ip"] for _, about in answer.json()["peers"]]


@pytest.mark.parametrize("mode", ["listed", "private", "private_listed"])
def test_own_torrent_on_the_own_tracker(servers, tmp_path, mode):
    """It names no tracker: it is listed, announced by a call and found by another client."""
    content = make_small(tmp_path)
    server = servers({"tracker": {"mode": mode, **OWN},
                      "client": {"listen": ["127.0.11.1:0"],
                                 "download_dir": str(tmp_path)}})
    path = f"/{server.new_key()}/announce" if "private" in mode else "/announce"
    ip, port = server.http_address()
    torrent = make_torrent(content, [f"http://{ip}:{port}{path}"])
    add(server, without_trackers(torrent))
    eventually(lambda: peers_of(server, torrent) == [server.ready["client"][0]], 10)
    with Swarm(tmp_path, content) as swarm:
        swarm.finish(swarm.leecher(LibTorrent, "127.0.11.2", torrent), timeout_s=30)
    eventually(lambda: server.get(f"/api/torrent/{torrent.info_hash.hex()}")["completed"] == 1, 10)
    if "listed" in mode:
        server.restart()
        eventually(lambda: len(peers_of(server, torrent)) == 1, 10, "the whitelist was stored")


def test_torrent_that_names_its_own_tracker(servers, tmp_path):
    """Over HTTP and UDP, and by name: still one peer, and one download."""
    content = make_small(tmp_path)
    folder = tmp_path / "downloads"
    http_port, udp_port = free_port("127.0.0.1"), free_port("127.0.0.1", socket.SOCK_DGRAM)
    server = servers({"tracker": {"mode": "public", "http": [f"127.0.0.1:{http_port}"],
                                  "udp": [f"127.0.0.1:{udp_port}"], **OWN},
                      "client": {"listen": ["127.0.12.1:0"], "download_dir": str(folder)}})
    torrent = make_torrent(content, [f"http://127.0.0.1:{http_port}/announce",
                                     f"udp://127.0.0.1:{udp_port}/announce",
                                     f"http://localhost:{http_port}/announce"])
    add(server, torrent)
    own = server.ready["client"][0]
    eventually(lambda: peers_of(server, torrent) == [own], 10)
    with Swarm(tmp_path, content) as swarm:
        seeder = swarm.seeder(LibTorrent, "127.0.12.2", torrent)
        eventually(lambda: status(server, torrent)["is_seeding"], 30)
        counts = eventually(lambda: one_download(server, torrent), 10)
        assert sorted(peers_of(server, torrent)) == sorted([own, f"127.0.12.2:{seeder.port}"])
        seeder.stop()
    eventually(lambda: peers_of(server, torrent) == [own], 10)
    server.restart()
    eventually(lambda: peers_of(server, torrent) == [server.ready["client"][0]], 10)
    assert one_download(server, torrent) == counts


def one_download(server, torrent):
    counts = server.get(f"/api/torrent/{torrent.info_hash.hex()}")
    assert counts["completed"] <= 1
    return counts["completed"] == 1 and counts["seeders"] >= 1

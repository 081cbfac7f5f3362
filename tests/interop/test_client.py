"""Rookery's client and the clients of others, through Rookery's tracker: who seeds, who downloads,
over HTTP and UDP. What arrives is compared by SHA-256; what both sides and the tracker say of it too.
"""

import os
import signal

import pytest

from lib.clients import (
    Aria2, LibTorrent, QBittorrent, Rookery, RTorrent, Swarm, Transmission, digests)
from lib.torrent import make_content, make_folder_torrent, make_torrent, make_tree
from lib.wait import eventually

CONTENT_LEN = 64 << 20
TRACKER = {"tracker": {"mode": "public", "announce_interval": 3, "min_announce_interval": 1},
           "client": {"enabled": False}}
FOREIGN = [LibTorrent, Transmission, Aria2, QBittorrent, RTorrent]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "sixty-four.bin"
    make_content(path, CONTENT_LEN, "client")
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """300 files, six of them empty."""
    path = tmp_path_factory.mktemp("content") / "a tree"
    make_tree(path, 300, "tree")
    return path


@pytest.fixture
def swarm(tmp_path, content):
    with Swarm(tmp_path, content) as swarm:
        yield swarm


@pytest.fixture
def tree_swarm(tmp_path, tree):
    with Swarm(tmp_path, tree) as swarm:
        yield swarm


@pytest.fixture
def five_swarm(tmp_path):
    """Five files that begin and end within pieces."""
    path = tmp_path / "content" / "five"
    make_tree(path, 6, "five", length_of=lambda i: i * 99_991)
    (path / "part 0" / "file-000.bin").unlink()
    with Swarm(tmp_path, path) as swarm:
        yield swarm


@pytest.fixture(scope="module")
def tracker(shared_servers):
    """A server whose client is switched off: the tracker between all of them."""
    return shared_servers(TRACKER)


def url(tracker, kind="http"):
    ip, port = tracker.http_address() if kind == "http" else tracker.udp_address()
    return f"{kind}://{ip}:{port}/announce"


def of_its_own(make, swarm, tracker_url, **options):
    """A torrent that no other test has: nobody of an older swarm is in it, nothing is counted."""
    return make(swarm.content, [tracker_url], source=str(swarm.directory), **options)


def swarm_of(tracker, torrent):
    """{"address:port": left} as the tracker has it."""
    answer = tracker.api("GET", f"/api/torrent/{torrent.info_hash.hex()}")
    return {} if answer.status == 404 else {about["ip"]: about["left"]
                                            for _, about in answer.json()["peers"]}


def wait_for_seeder(tracker, torrent, client):
    eventually(lambda: swarm_of(tracker, torrent).get(f"{client.ip}:{client.port}") == 0, 30,
               "the tracker knows the seeder")


def options(kind, udp=False):
    return {"udp": True} if kind is Aria2 and udp else {}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_seeds_to(tracker, swarm, servers, kind, scheme):
    torrent = of_its_own(make_torrent, swarm, url(tracker, scheme))
    seeder = swarm.seeder(Rookery, "127.0.1.1", torrent, servers=servers)
    eventually(seeder.is_complete, 20, "it has checked what it has")
    wait_for_seeder(tracker, torrent, seeder)
    leecher = swarm.leecher(kind, "127.0.1.2", torrent, **options(kind, scheme == "udp"))
    swarm.finish(leecher, timeout_s=60)
    status = seeder.status()
    assert CONTENT_LEN <= status["total_upload"] < 1.1 * CONTENT_LEN
    assert status["total_download"] < 0.02 * CONTENT_LEN  # requests and the like


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_downloads_from(tracker, swarm, servers, kind, scheme):
    torrent = of_its_own(make_torrent, swarm, url(tracker, scheme))
    seeder = swarm.seeder(kind, "127.0.2.1", torrent, **options(kind, scheme == "udp"))
    wait_for_seeder(tracker, torrent, seeder)
    leecher = swarm.leecher(Rookery, "127.0.2.2", torrent, servers=servers)
    swarm.finish(leecher, timeout_s=60)
    status = leecher.status()
    assert CONTENT_LEN <= status["total_download"] < 1.03 * CONTENT_LEN
    assert status["progress"] == 100 and status["num_pieces"] == status["pieces_downloaded"]
    wait_for_seeder(tracker, torrent, leecher)
    counts = tracker.get(f"/api/torrent/{torrent.info_hash.hex()}")
    assert counts["completed"] == 1


@pytest.mark.parametrize("pad", [False, True])
def test_three_hundred_files(tracker, tree_swarm, servers, pad):
    """From libtorrent to Rookery, and from there to aria2 and Transmission."""
    torrent = of_its_own(make_folder_torrent, tree_swarm, url(tracker), pad=pad)
    seeder = tree_swarm.seeder(LibTorrent, "127.0.3.1", torrent)
    wait_for_seeder(tracker, torrent, seeder)
    rookery = tree_swarm.leecher(Rookery, "127.0.3.2", torrent, servers=servers)
    tree_swarm.finish(rookery, timeout_s=60)
    assert not (rookery.result / ".pad").exists()
    seeder.stop()
    tree_swarm.finish(tree_swarm.leecher(Aria2, "127.0.3.3", torrent),
                      tree_swarm.leecher(Transmission, "127.0.3.4", torrent), timeout_s=60)


@pytest.mark.parametrize("scheme", ["http", "udp"])
def test_ipv6(tracker, swarm, servers, scheme):
    """One of each side on the same address: Rookery downloads from libtorrent, over IPv6 alone."""
    address, port = (tracker.http_address if scheme == "http" else tracker.udp_address)(v6=True)
    torrent = of_its_own(make_torrent, swarm, f"{scheme}://[{address}]:{port}/announce")
    seeder = swarm.seeder(LibTorrent, "::1", torrent)
    eventually(lambda: f"[::1]:{seeder.port}" in swarm_of(tracker, torrent), 30)
    leecher = swarm.leecher(Rookery, "::1", torrent, servers=servers)
    swarm.finish(leecher, timeout_s=60)
    assert f"[::1]:{leecher.port}" in swarm_of(tracker, torrent)


def test_magnet_from_libtorrent(tracker, swarm, servers):
    torrent = of_its_own(make_torrent, swarm, url(tracker))
    seeder = swarm.seeder(LibTorrent, "127.0.4.1", torrent)
    wait_for_seeder(tracker, torrent, seeder)
    leecher = swarm.leecher(Rookery, "127.0.4.2", torrent, servers=servers, how="magnet",
                            trackers=[url(tracker, "udp")])
    swarm.finish(leecher, timeout_s=60)
    assert leecher.status()["name"] == swarm.content.name


@pytest.mark.parametrize("killed", [False, True])
def test_magnet_that_names_files(tracker, five_swarm, servers, killed):
    """BEP 53: these files and no others, also when the server is killed between the add and the
    metadata. What they share pieces with is in the part file at the most."""
    torrent = of_its_own(make_folder_torrent, five_swarm, url(tracker))
    leecher = five_swarm.leecher(Rookery, "127.0.8.2", torrent, servers=servers, how="magnet",
                                 trackers=[url(tracker)], more="&so=0,2,9-12")
    if killed:
        leecher.server.kill9()
        leecher.server.start()
        leecher.server.wait_loaded()
    assert leecher.status()["state"] == "downloading_metadata"
    five_swarm.seeder(LibTorrent, "127.0.8.1", torrent)
    eventually(lambda: leecher.status()["is_finished"], 60)
    wanted = [leecher.status()["files"][i]["path"] for i in (0, 2)]
    expected, got = digests(five_swarm.content), digests(leecher.result)
    assert got == {name: expected[name] for name in wanted}
    assert not leecher.status()["is_seeding"] and leecher.status()["progress"] == 100
    # A leecher, as far as the tracker is concerned.
    assert swarm_of(tracker, torrent)[f"127.0.8.2:{leecher.port}"] > 0
    leecher.server.kill9()
    leecher.server.start()
    leecher.server.wait_loaded()
    assert leecher.status()["is_finished"] and digests(leecher.result) == got


def test_peers_of_a_magnet_outlive_a_pause(swarm, servers):
    """x.pe: nobody names them again."""
    torrent = of_its_own(make_torrent, swarm, "http://127.0.0.1:1/announce")
    seeder = swarm.seeder(LibTorrent, "127.0.9.1", torrent)
    leecher = swarm.leecher(Rookery, "127.0.9.2", torrent, servers=servers, how="magnet",
                            more=f"&x.pe=127.0.9.1:{seeder.port}",
                            config={"client": {"max_download_rate": 1 << 20}})
    for _ in range(3):
        eventually(lambda: leecher.status()["num_peers"] == 1, 20, "it is connected")
        assert leecher.server.api("PUT", f"{leecher.path}/pause").status == 200
        eventually(lambda: leecher.status()["num_peers"] == 0, 20)
        assert leecher.server.api("PUT", f"{leecher.path}/resume").status == 200
    eventually(lambda: leecher.status()["num_peers"] == 1, 20)


def test_rookery_to_rookery_by_magnet(tracker, tree_swarm, servers):
    torrent = of_its_own(make_folder_torrent, tree_swarm, url(tracker))
    seeder = tree_swarm.seeder(Rookery, "127.0.5.1", torrent, servers=servers)
    eventually(seeder.is_complete, 20)
    wait_for_seeder(tracker, torrent, seeder)
    leecher = tree_swarm.leecher(Rookery, "127.0.5.2", torrent, servers=servers, how="magnet",
                                 trackers=[url(tracker)])
    tree_swarm.finish(leecher, timeout_s=60)


def test_goes_on_from_half_when_the_seeder_was_killed(tracker, swarm, servers):
    """The only seeder is killed half-way, then Rookery is; both come back."""
    torrent = of_its_own(make_torrent, swarm, url(tracker))
    seeder = swarm.seeder(LibTorrent, "127.0.6.1", torrent)
    wait_for_seeder(tracker, torrent, seeder)
    leecher = swarm.leecher(Rookery, "127.0.6.2", torrent, servers=servers,
                            config={"client": {"max_download_rate": 8 << 20}})
    eventually(lambda: leecher.status()["progress"] > 40, 30, "it is under way")
    os.kill(seeder.process.pid, signal.SIGKILL)
    seeder.process.wait()
    eventually(lambda: leecher.status()["num_peers"] == 0, 20)
    half = leecher.status()["total_done"]
    assert half > 0.3 * CONTENT_LEN
    leecher.server.restart()
    eventually(lambda: leecher.status()["state"] == "downloading", 20)
    assert leecher.status()["total_done"] >= half - (1 << 20)
    swarm.seeder(LibTorrent, "127.0.6.3", torrent)
    leecher.server.configure({**leecher.server.config, "client": {
        **leecher.server.config["client"], "max_download_rate": 0}})
    leecher.server.restart()
    swarm.finish(leecher, timeout_s=60)
    assert leecher.status()["total_download"] < 1.1 * CONTENT_LEN

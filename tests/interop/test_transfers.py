"""Real clients find each other through the tracker and finish a file of 16 MiB.

Each client has a loopback address of its own. Transmission never dials loopback addresses, so
where it takes part somebody else dials it.
"""

import pytest

from lib.clients import Aria2, LibTorrent, Swarm, Transmission
from lib.torrent import make_content, make_torrent
from lib.wait import eventually

CONTENT_LEN = 16 << 20


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "sixteen.bin"
    make_content(path, CONTENT_LEN, "interop")
    return path


@pytest.fixture
def swarm(tmp_path, content):
    with Swarm(tmp_path, content) as swarm:
        yield swarm


def tracker(mode):
    """Clients without peers ask again soon, instead of after half an hour."""
    return {"tracker": {"mode": mode, "announce_interval": 3, "min_announce_interval": 1}}


@pytest.fixture(scope="module")
def server(shared_servers):
    return shared_servers(tracker("public"))


@pytest.fixture(scope="module")
def private_server(shared_servers):
    return shared_servers(tracker("private"))


def host(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def http_url(server, path="/announce", v6=False):
    return f"http://{host(server.http_address(v6))}{path}"


def udp_url(server, path="/announce", v6=False):
    return f"udp://{host(server.udp_address(v6))}{path}"


def peers(server, torrent):
    """{"address:port": (client, left)} as the API shows the swarm."""
    response = server.api("GET", f"/api/torrent/{torrent.info_hash.hex()}")
    if response.status == 404:
        return {}
    return {about["ip"]: (who["client"], about["left"])
            for who, about in response.json()["peers"]}


def at(client):
    return host((client.ip, client.port))


def wait_for_seeder(server, torrent, client):
    eventually(lambda: peers(server, torrent).get(at(client), (None, -1))[1] == 0, 20,
               "the tracker knows the seeder")


def test_http_transmission_aria2_and_libtorrent(server, swarm, content):
    torrent = make_torrent(content, [http_url(server)])
    seeder = swarm.seeder(Transmission, "127.0.0.11", torrent)
    wait_for_seeder(server, torrent, seeder)
    aria2 = swarm.leecher(Aria2, "127.0.0.12", torrent)
    libtorrent = swarm.leecher(LibTorrent, "127.0.0.13", torrent)
    swarm.finish(aria2, libtorrent)

    eventually(lambda: peers(server, torrent).get(at(libtorrent)) == ("libtorrent", 0), 10)
    assert peers(server, torrent)[at(seeder)] == ("Transmission", 0)
    assert server.get(f"/api/torrent/{torrent.info_hash.hex()}")["completed"] >= 1
    eventually(lambda: at(aria2) not in peers(server, torrent), 10, "it has ended")
    seeder.stop()
    eventually(lambda: at(seeder) not in peers(server, torrent), 10, "stopped was heard")


def test_http_transmission_downloads(server, swarm, content):
    torrent = make_torrent(content, [http_url(server)])
    leecher = swarm.leecher(Transmission, "127.0.0.21", torrent)
    eventually(lambda: at(leecher) in peers(server, torrent), 20)
    swarm.seeder(LibTorrent, "127.0.0.22", torrent)
    swarm.finish(leecher)
    eventually(lambda: peers(server, torrent)[at(leecher)] == ("Transmission", 0), 10)


def test_udp_libtorrent_transmission_and_aria2(server, swarm, content):
    torrent = make_torrent(content, [udp_url(server)])
    seeder = swarm.seeder(Transmission, "127.0.0.31", torrent)
    wait_for_seeder(server, torrent, seeder)
    libtorrent = swarm.leecher(LibTorrent, "127.0.0.32", torrent)
    aria2 = swarm.leecher(Aria2, "127.0.0.33", torrent, udp=True)
    swarm.finish(libtorrent, aria2)
    eventually(lambda: peers(server, torrent).get(at(libtorrent)) == ("libtorrent", 0), 10)


@pytest.mark.parametrize("url", [http_url, udp_url])
def test_ipv6_libtorrent(server, swarm, content, url):
    torrent = make_torrent(content, [url(server, v6=True)])
    seeder = swarm.seeder(LibTorrent, "::1", torrent)
    wait_for_seeder(server, torrent, seeder)
    leecher = swarm.leecher(LibTorrent, "::1", torrent)
    swarm.finish(leecher)
    eventually(lambda: peers(server, torrent).get(at(leecher)) == ("libtorrent", 0), 10)


def test_ipv6_aria2(server, swarm, content):
    torrent = make_torrent(content, [http_url(server, v6=True)])
    seeder = swarm.seeder(LibTorrent, "::1", torrent)
    wait_for_seeder(server, torrent, seeder)
    swarm.finish(swarm.leecher(Aria2, "::1", torrent))


def test_private_every_client_with_its_key(private_server, swarm, content):
    """libtorrent carries its key in BEP 41 URL data, the others in the path of the URL."""
    server = private_server
    keys = [server.new_key() for _ in range(4)]
    urls = [udp_url(server, f"/announce/{keys[0]}"), udp_url(server, f"/{keys[1]}/announce"),
            http_url(server, f"/announce/{keys[2]}"), http_url(server, f"/{keys[3]}/announce")]
    torrents = [make_torrent(content, [url], private=True) for url in urls]
    transmission = swarm.leecher(Transmission, "127.0.0.53", torrents[2])
    eventually(lambda: at(transmission) in peers(server, torrents[0]), 20)
    seeder = swarm.seeder(LibTorrent, "127.0.0.51", torrents[0])  # dials Transmission
    wait_for_seeder(server, torrents[0], seeder)
    libtorrent = swarm.leecher(LibTorrent, "127.0.0.52", torrents[1])
    aria2 = swarm.leecher(Aria2, "127.0.0.54", torrents[3])
    for client, key in ((seeder, keys[0]), (libtorrent, keys[1]), (transmission, keys[2]),
                        (aria2, keys[3])):
        found = eventually(lambda: server.get(f"/api/v1/peers?key={key}"), 10)
        assert [(peer["ip"], peer["port"], peer["peer_id"]["client"]) for peer in found] == [
            (client.ip, client.port, client.name_in_api)]
    swarm.finish(transmission, libtorrent, aria2)


# What libtorrent calls a refusal. It shows the tracker's text over HTTP only.
REFUSED = "tracker sent a failure message"


@pytest.mark.parametrize("url, text", [(http_url, "key"), (udp_url, "")])
def test_private_without_a_key_libtorrent_is_refused(private_server, swarm, content, url, text):
    torrent = make_torrent(content, [url(private_server)], private=True)
    client = swarm.seeder(LibTorrent, "127.0.0.61", torrent)
    errors = eventually(lambda: client.has("tracker_error_alert"), 20)
    assert REFUSED in errors[0] and text in errors[0].split(REFUSED)[1], errors
    assert at(client) not in peers(private_server, torrent)


@pytest.mark.parametrize("url, text", [(http_url, "torrent not on whitelist"), (udp_url, "")])
def test_listed_libtorrent_is_refused_until_listed(shared_servers, swarm, content, url, text):
    server = shared_servers.once("listed", tracker("listed"))
    torrent = make_torrent(content, [url(server)])
    refused = swarm.seeder(LibTorrent, "127.0.0.71", torrent)
    errors = eventually(lambda: refused.has("tracker_error_alert"), 20)
    assert REFUSED in errors[0] and text in errors[0].split(REFUSED)[1], errors

    server.ok("POST", f"/api/whitelist/{torrent.info_hash.hex()}")
    welcome = swarm.seeder(LibTorrent, "127.0.0.72", torrent)
    wait_for_seeder(server, torrent, welcome)
    server.ok("DELETE", f"/api/whitelist/{torrent.info_hash.hex()}")

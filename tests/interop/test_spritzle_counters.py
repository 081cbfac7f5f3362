"""The session counters of the spritzle API during a real transfer: one Rookery seeds, another downloads,
and both tell the same story of it."""

import pytest

from lib.clients import Rookery, Swarm
from lib.spritzle import COUNTERS, Spritzle
from lib.torrent import make_content, make_torrent
from lib.wait import eventually

CONTENT_LEN = 8 << 20
BLOCK_LEN = 16384
PIECE_LEN = 1 << 18
N_BLOCKS = CONTENT_LEN // BLOCK_LEN
TRACKER = {"tracker": {"mode": "public", "announce_interval": 3, "min_announce_interval": 1},
           "client": {"enabled": False}}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "eight.bin"
    make_content(path, CONTENT_LEN, "counters")
    return path


@pytest.fixture
def swarm(tmp_path, content):
    with Swarm(tmp_path, content) as swarm:
        yield swarm


@pytest.fixture(scope="module")
def tracker(shared_servers):
    return shared_servers(TRACKER)


def seeder(swarm, servers, torrent, **options):
    """Rookery finds the content by checking it."""
    folder = swarm.directory / "seed"
    folder.mkdir()
    swarm.copy(swarm.content, folder / swarm.content.name)
    client = Rookery("127.0.0.31", None, torrent, folder, servers, **options)
    swarm.clients.append(client)
    eventually(client.is_complete, 20, "the seeder has checked its file")
    return client


def leecher(swarm, servers, torrent, **options):
    return swarm.leecher(Rookery, "127.0.0.32", torrent, servers=servers, **options)


def messages(session, way):
    prefix = f"ses.num_{way}_"
    return {k.removeprefix(prefix): v for k, v in session.items() if k.startswith(prefix)}


def sizes(session, way):
    return sum(v for k, v in session.items() if k.startswith(f"sock_bufs.socket_{way}_size"))


@pytest.mark.parametrize("kind, how", [("http", "file"), ("udp", "magnet")])
def test_a_transfer(swarm, servers, tracker, content, kind, how):
    host, port = tracker.http_address() if kind == "http" else tracker.udp_address()
    url = f"{kind}://{host}:{port}/announce"
    torrent = make_torrent(content, [url], source=str(swarm.directory))
    n_pieces = CONTENT_LEN // PIECE_LEN
    up = seeder(swarm, servers, torrent)
    uploads = Spritzle(up.server)
    idle = uploads.session()
    assert idle["ses.num_seeding_torrents"] == 1 and idle["net.sent_payload_bytes"] == 0
    assert idle["ses.num_have_pieces"] == idle["ses.num_total_pieces_added"] == n_pieces
    assert idle["disk.num_blocks_hashed"] == N_BLOCKS
    assert idle["disk.num_blocks_written"] == idle["ses.num_piece_passed"] == 0

    down = leecher(swarm, servers, torrent, how=how, trackers=[url])
    downloads = Spritzle(down.server)
    seen = []
    eventually(lambda: seen.append(downloads.session()) or down.is_complete(), 45, "complete")
    swarm.finish(down)
    # Two that have all they want have parted, and the last bytes are counted.
    eventually(lambda: uploads.session()["peer.num_peers_connected"] == 0, 20, "they have parted")
    got, gave = downloads.session(), uploads.session()

    for before, after in [*zip(seen, seen[1:]), (seen[-1], got), (idle, gave)]:
        for key in COUNTERS:
            assert before[key] <= after[key], key

    # Payload and everything around it.
    assert got["net.recv_payload_bytes"] == CONTENT_LEN + got["net.recv_redundant_bytes"]
    assert gave["net.sent_payload_bytes"] == got["net.recv_payload_bytes"]
    assert got["net.recv_failed_bytes"] == 0
    for session, ways in ((got, ("recv", "sent")), (gave, ("sent", "recv"))):
        for way in ways:
            assert session[f"net.{way}_bytes"] > session[f"net.{way}_payload_bytes"]
            assert session[f"net.{way}_ip_overhead_bytes"] >= 40
    assert CONTENT_LEN * 0.02 < got["net.recv_ip_overhead_bytes"] < CONTENT_LEN * 0.2
    assert sizes(got, "recv") == got["net.on_read_counter"] > 0
    assert sizes(gave, "send") == gave["net.on_write_counter"] > 0

    # Messages: what one says the other hears. Who closes first may not hear the last of it.
    for said, heard in ((messages(gave, "outgoing"), messages(got, "incoming")),
                        (messages(got, "outgoing"), messages(gave, "incoming"))):
        for name in ("request", "piece", "unchoke", "interested", "have_all", "have_none",
                     "bitfield", "ext_handshake", "metadata", "choke", "reject", "cancel"):
            assert heard[name] <= said[name], name
        assert said["ext_handshake"] == heard["ext_handshake"] >= 1
    assert messages(got, "incoming")["piece"] == messages(gave, "outgoing")["piece"] >= N_BLOCKS
    assert messages(got, "outgoing")["request"] >= N_BLOCKS
    assert gave["peer.piece_requests"] == messages(gave, "incoming")["request"] >= N_BLOCKS
    assert messages(gave, "outgoing")["have_all"] == messages(got, "incoming")["have_all"] == 1
    assert messages(got, "outgoing")["interested"] >= 1
    assert messages(gave, "outgoing")["unchoke"] >= 1
    if how == "magnet":
        assert messages(got, "incoming")["metadata"] >= 1
        assert messages(gave, "outgoing")["metadata"] == messages(got, "incoming")["metadata"]

    # Pieces, blocks and the disk.
    assert got["ses.num_piece_passed"] == got["ses.num_have_pieces"] == n_pieces
    assert got["ses.num_total_pieces_added"] == n_pieces and got["ses.num_piece_failed"] == 0
    assert got["disk.num_blocks_written"] == N_BLOCKS
    assert got["disk.num_blocks_hashed"] >= N_BLOCKS
    assert 0 < got["disk.num_write_ops"] <= N_BLOCKS
    assert gave["disk.num_blocks_read"] >= N_BLOCKS
    assert 0 < gave["disk.num_read_ops"] <= gave["disk.num_blocks_read"]
    for session in (got, gave):
        assert session["disk.num_jobs"] == session["disk.queued_write_bytes"] == 0
        assert session["disk.num_read_jobs"] == session["disk.num_write_jobs"] == 0
        assert session["disk.num_writing_threads"] == session["disk.blocked_disk_jobs"] == 0
        assert session["net.on_disk_counter"] > 0 and session["net.on_tick_counter"] > 0
        times = [session[f"disk.disk_{kind}_time"] for kind in ("read", "write", "hash")]
        assert session["disk.disk_job_time"] >= sum(times)
    # The seeder checked its file in threads, and then read it; the other wrote.
    assert idle["disk.disk_hash_time"] > 0 and idle["disk.request_latency"] == 0
    assert idle["disk.num_blocks_read"] == N_BLOCKS and idle["disk.num_read_ops"] == n_pieces
    assert gave["disk.disk_read_time"] > idle["disk.disk_read_time"] > 0
    assert gave["disk.request_latency"] > 0
    assert 0 < gave["disk.num_blocks_cache_hits"] <= gave["disk.num_blocks_read"] - N_BLOCKS
    assert gave["disk.disk_write_time"] == got["disk.request_latency"] == 0
    assert got["disk.disk_write_time"] > 0

    # Why blocks were looked for, and where.
    assert got["picker.unchoke_piece_picks"] >= 1 and got["picker.incoming_piece_picks"] >= 1
    assert got["picker.piece_picker_rand_loops"] >= 1
    assert got["picker.piece_picker_partial_loops"] >= 1
    assert got["picker.piece_picker_rare_loops"] >= 1
    assert got["picker.piece_picker_sequential_loops"] == got["picker.hash_fail_piece_picks"] == 0
    assert not any(value for key, value in gave.items() if key.startswith("picker."))
    assert got["peer.num_peers_end_game"] == gave["peer.num_peers_end_game"] == 0

    # Connections: one of the two began it.
    assert got["peer.connection_attempts"] + gave["peer.connection_attempts"] >= 1
    assert got["peer.incoming_connections"] + gave["peer.incoming_connections"] >= 1
    for session in (got, gave):
        assert session["net.has_incoming_connections"] == (session["peer.incoming_connections"] > 0)
        assert session["peer.disconnected_peers"] >= 1
        assert session["peer.num_tcp_peers"] == session["peer.num_peers_half_open"] == 0
        assert session["peer.connection_attempt_loops"] >= session["peer.connection_attempts"]
    assert got["peer.connection_attempt_loops"] + gave["peer.connection_attempt_loops"] >= 1
    # Both have all there is: one of them says so and leaves, the other sees it end.
    assert got["peer.uninteresting_peers"] + gave["peer.uninteresting_peers"] >= 1

    # Trackers.
    for session in (got, gave):
        assert session["net.sent_tracker_bytes"] >= 16 + 98
        assert session["net.recv_tracker_bytes"] >= 16 + 20
        assert (session["net.on_udp_counter"] > 0) == (kind == "udp")

    # The torrent's own status tells the same.
    info_hash = torrent.info_hash.hex()
    assert downloads.status(info_hash)["total_payload_download"] == CONTENT_LEN
    assert downloads.status(info_hash)["all_time_download"] == CONTENT_LEN
    assert uploads.status(info_hash)["all_time_upload"] == gave["net.sent_payload_bytes"]
    assert uploads.status(info_hash)["total_upload"] >= CONTENT_LEN


def test_while_it_runs(swarm, servers, tracker, content):
    """Slow enough to be looked at: the gauges of both sides."""
    host, port = tracker.http_address()
    torrent = make_torrent(content, [f"http://{host}:{port}/announce"], source=str(swarm.directory))
    up = seeder(swarm, servers, torrent)
    down = leecher(swarm, servers, torrent, config={"client": {"max_download_rate": 200_000}})
    uploads, downloads = Spritzle(up.server), Spritzle(down.server)
    session = eventually(lambda: (s := downloads.session())["net.recv_payload_bytes"] > BLOCK_LEN
                         and s["peer.num_peers_down_unchoked"] and s, 20, "it has begun")
    assert session["ses.num_downloading_torrents"] == 1
    for key in ("peer.num_peers_connected", "peer.num_tcp_peers", "peer.num_peers_down_interested",
                "peer.num_peers_down_unchoked"):
        assert session[key] == 1, key
    assert session["peer.num_peers_up_interested"] == session["peer.num_peers_up_unchoked"] == 0
    waits = eventually(lambda: (s := downloads.session())["net.limiter_down_queue"] and s, 20,
                       "it waits for its limit")
    assert waits["net.limiter_down_bytes"] >= BLOCK_LEN and waits["net.limiter_up_bytes"] == 0
    other = uploads.session()
    for key in ("peer.num_peers_connected", "peer.num_tcp_peers", "peer.num_peers_up_interested",
                "peer.num_peers_up_unchoked", "peer.num_peers_up_unchoked_all"):
        assert other[key] == 1, key
    assert other["ses.num_seeding_torrents"] == 1
    status = downloads.status(torrent.info_hash.hex())
    assert (status["num_peers"], status["num_seeds"], status["num_connections"]) == (1, 1, 1)
    assert status["distributed_full_copies"] >= 1
    eventually(lambda: downloads.status(torrent.info_hash.hex())["download_payload_rate"] > 0, 10)
    # The seeder dies, and its end is seen.
    up.server.kill9()
    after = eventually(lambda: (s := downloads.session())["peer.disconnected_peers"] and s, 20)
    assert sum(after[f"peer.{end}_peers"] for end in ("eof", "connreset", "broken_pipe")) == 1
    assert after["peer.num_peers_connected"] == after["peer.num_peers_down_unchoked"] == 0
    up.server.start()


def test_one_that_waits_to_send(swarm, servers, tracker, content):
    """A seeder with a limit, a leecher that goes through the pieces in order, and a pause."""
    host, port = tracker.http_address()
    torrent = make_torrent(content, [f"http://{host}:{port}/announce"], source=str(swarm.directory))
    up = seeder(swarm, servers, torrent, config={"client": {"max_upload_rate": 200_000}})
    down = leecher(swarm, servers, torrent)
    uploads, downloads = Spritzle(up.server), Spritzle(down.server)
    waits = eventually(lambda: (s := uploads.session())["net.limiter_up_queue"] and s, 20,
                       "it waits for its limit")
    assert waits["net.limiter_up_bytes"] > 0 and waits["net.limiter_down_bytes"] == 0
    info_hash = torrent.info_hash.hex()
    before = downloads.session()
    downloads.empty_ok("PUT", f"/torrent/{info_hash}/flags", b'{"sequential_download": true}')
    after = eventually(lambda: (s := downloads.session())["picker.piece_picker_sequential_loops"]
                       and s, 20, "it goes in order")
    assert after["picker.piece_picker_rand_loops"] >= before["picker.piece_picker_rand_loops"]
    uploads.empty_ok("POST", f"/torrent/{info_hash}/pause")
    paused = eventually(lambda: (s := uploads.session())["peer.uninteresting_peers"] and s, 20)
    assert paused["peer.num_peers_connected"] == 0


def test_the_last_blocks(tmp_path, servers, tracker):
    """All that is left is asked for, and takes its time."""
    small = tmp_path / "one.bin"
    make_content(small, 1 << 20, "the last blocks")
    with Swarm(tmp_path, small) as swarm:
        host, port = tracker.http_address()
        torrent = make_torrent(small, [f"http://{host}:{port}/announce"], source=str(tmp_path))
        seeder(swarm, servers, torrent, config={"client": {"max_upload_rate": 200_000}})
        down = leecher(swarm, servers, torrent)
        api = Spritzle(down.server)
        last = eventually(lambda: (s := api.session())["peer.num_peers_end_game"] and s, 30)
        assert last["peer.num_peers_end_game"] == last["ses.num_downloading_torrents"] == 1
        swarm.finish(down)
        assert api.session()["peer.num_peers_end_game"] == 0


def test_a_file_that_changed_under_the_seeder(swarm, servers, tracker, content):
    """Pieces that fail their hash are counted, and whoever sent them is banned."""
    host, port = tracker.http_address()
    torrent = make_torrent(content, [f"http://{host}:{port}/announce"], source=str(swarm.directory))
    up = seeder(swarm, servers, torrent)
    spoiled = swarm.directory / "seed" / content.name
    with open(spoiled, "r+b") as file:
        for at in range(0, CONTENT_LEN, PIECE_LEN):
            file.seek(at)
            file.write(b"not what it was")
    down = leecher(swarm, servers, torrent)
    session = eventually(lambda: (s := Spritzle(down.server).session())["ses.num_piece_failed"]
                         and s, 30, "a bad piece has come")
    assert session["net.recv_failed_bytes"] >= PIECE_LEN
    assert session["ses.num_piece_passed"] == 0
    banned = eventually(lambda: (s := Spritzle(down.server).session())["peer.num_banned_peers"]
                        and s, 20, "it is banned")
    assert banned["peer.banned_for_hash_failure"] == 1
    assert up.status()["is_seeding"]

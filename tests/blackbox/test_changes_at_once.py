"""Changes of one torrent that come while an earlier one is being stored."""

import contextlib
import select

import psycopg2
import pytest

from lib.http import Connection, head
from lib.pg import sql
from lib.rookery import AUTH
from lib.spritzle import Spritzle
from lib.torrentflow import H1, T1
from lib.wait import eventually

SEQUENTIAL, SUPER_SEEDING = 2, 8  # bits of torrents.flags


@pytest.fixture
def api(start, cluster, empty):
    """With a torrent that nothing happens to by itself. url: its database."""
    url = cluster.new_database()
    api = Spritzle(start(database=url), token=None)
    api.url = url
    api.added(api.upload(T1, args={"save_path": str(empty), "paused": True}))
    return api


@contextlib.contextmanager
def held(url):
    """Nobody else changes a torrent in the database meanwhile."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM torrents FOR UPDATE")
        yield
    finally:
        connection.close()


@contextlib.contextmanager
def connections(api, n):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Connection(api.server.api_address())) for _ in range(n)]


def flags(connection, text):
    """A request that is sent, and not waited for."""
    body = text.encode()
    connection.send(head("PUT", f"/torrent/{H1}/flags", connection.address, body=body) + body)


def rate(connection, name, value):
    connection.send(head("GET", f"/set{name}", connection.address,
                         {**AUTH, "infohash": H1, name: value}))


def taken(api):
    """What was sent before is being worked on: the server has been around its loop since."""
    for _ in range(2):
        api.get("/session/dht")


def row(api, columns):
    return sql(api.url, f"SELECT {columns} FROM torrents")[0]


@pytest.mark.parametrize("first, second, flags_after", [
    ('{"sequential_download": true}', '{"sequential_download": false}', (False, False)),
    ('{"sequential_download": true}', '{"super_seeding": true}', (True, True)),
    ('{"sequential_download": true, "super_seeding": true}', '{"super_seeding": false}',
     (True, False))])
def test_the_second_of_two_flags_wins(api, first, second, flags_after):
    """Also where it asks for what there is until the first one is stored."""
    with connections(api, 2) as both:
        with held(api.url):
            for connection, text in zip(both, (first, second)):
                flags(connection, text)
                taken(api)
            assert not select.select([c.socket for c in both], [], [], 0)[0], "answered too soon"
        for connection in both:
            answer = connection.response()
            assert (answer.status, answer.body) == (200, b"")
    shown = api.get(f"/torrent/{H1}/flags")
    assert (shown["sequential_download"], shown["super_seeding"]) == flags_after
    stored, = row(api, "flags")
    assert (bool(stored & SEQUENTIAL), bool(stored & SUPER_SEEDING)) == flags_after
    assert shown["paused"]


def test_the_last_rate_wins_and_the_other_stays(api):
    with connections(api, 3) as all_three:
        with held(api.url):
            for connection, name, value in zip(all_three, ("downrate", "uprate", "downrate"),
                                               ("5", "7", "0")):
                rate(connection, name, value)
                taken(api)
        assert [c.response().status for c in all_three] == [200] * 3
    assert row(api, "max_down_bps, max_up_bps") == (0, 7 * 1024)


@pytest.mark.parametrize("n_answered", [0, 1])
def test_killed_between_two_changes(api, n_answered):
    """Each is there as a whole or not at all; one that was answered is there, or what came later."""
    with connections(api, 2) as both:
        with held(api.url):
            flags(both[0], '{"sequential_download": true, "super_seeding": true}')
            taken(api)
            flags(both[1], '{"sequential_download": false}')
            taken(api)
            if not n_answered:
                api.server.kill9()
        if n_answered:
            assert both[0].response().status == 200
            api.server.kill9()
    eventually(lambda: sql(api.url, "SELECT count(*) FROM pg_stat_activity WHERE "
                           "datname = current_database() AND pid <> pg_backend_pid()") == [(0,)],
               10, "what the server had sent is done or given up")
    api.server.start().wait_loaded()
    shown = api.get(f"/torrent/{H1}/flags")
    left = (shown["sequential_download"], shown["super_seeding"])
    assert left in ((True, True), (False, True) if n_answered else (False, False))
    stored, = row(api, "flags")
    assert (bool(stored & SEQUENTIAL), bool(stored & SUPER_SEEDING)) == left

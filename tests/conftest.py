"""Fixtures of the black-box and interop tests."""

import os

import pytest

from lib import rookery
from lib.pg import Cluster
from lib.rookery import Servers

LOG_TAIL = 6000  # characters shown of each server's log when a test fails


def pytest_report_header():
    return f"program under test: {rookery.BINARY}"


def pytest_sessionstart():
    if not os.access(rookery.BINARY, os.X_OK):
        pytest.exit(f"{rookery.BINARY} is not there: run script/build, or set ROOKERY_BIN", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name, value in getattr(item, "funcargs", {}).items():
        servers = value.all if isinstance(value, Servers) else [value]
        for server in servers:
            if isinstance(server, rookery.Server):
                report.sections.append((f"log of {name}: {server.directory}",
                                        server.stderr[-LOG_TAIL:]))


@pytest.fixture(scope="session")
def pristine_cluster():
    """Made once, never started: what other clusters are copied from."""
    cluster = Cluster()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def cluster(pristine_cluster):
    """The PostgreSQL of all tests that do not stop it. Every server gets its own database."""
    cluster = Cluster(like=pristine_cluster).start()
    yield cluster
    cluster.remove()


@pytest.fixture
def own_cluster(pristine_cluster):
    """A running PostgreSQL that the test may stop, start and kill."""
    cluster = Cluster(like=pristine_cluster).start()
    yield cluster
    cluster.remove()


@pytest.fixture
def servers(tmp_path, cluster):
    """servers(config) starts a server for this test."""
    started = Servers(tmp_path, cluster)
    yield started
    started.destroy()


@pytest.fixture(scope="module")
def shared_servers(tmp_path_factory, cluster):
    """The same for a whole module."""
    started = Servers(tmp_path_factory.mktemp("shared"), cluster)
    yield started
    started.destroy()

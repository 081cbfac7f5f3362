"""A real PostgreSQL for the tests that need an external one, on a Unix socket only."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg2

from lib.wait import eventually

START_TIMEOUT_S = 30
ROOM_LEN = 3 << 30  # bytes that all clusters of a run stay below
_numbers = itertools.count(1)


def _program(name):
    found = shutil.which(name)
    if found:
        return found
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert installed, f"{name} is not installed"
    return str(installed[-1])


def _as_postgres():
    """PostgreSQL refuses to run as root: arguments for subprocess that change the user."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def _parent():
    """Memory where there is enough of it: databases that are thrown away need no disk."""
    try:
        if shutil.disk_usage("/dev/shm").free > ROOM_LEN:
            return "/dev/shm"
    except OSError:
        pass
    return "/tmp"


class Cluster:
    """One cluster in a directory of its own. like: another, stopped cluster to copy
    (initdb takes seconds)."""

    def __init__(self, like=None):
        self.directory = Path(tempfile.mkdtemp(prefix="rookery-pg-", dir=_parent()))
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self._process = None
        if like:
            subprocess.run(["cp", "-a", like.data, self.data], check=True)
        else:
            subprocess.run(
                [_program("initdb"), "-D", self.data, "-A", "trust", "-U", "postgres", "-N",
                 "--no-locale", "-E", "UTF8", "--no-instructions"],
                check=True, stdout=subprocess.DEVNULL, cwd=self.directory, **_as_postgres())

    def start(self):
        """Returns when it accepts connections."""
        settings = {"listen_addresses": "", "unix_socket_directories": self.directory,
                    "fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB",
                    "max_connections": "60", "autovacuum": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", self.data, *options], stdout=log, stderr=log,
                cwd=self.directory, start_new_session=True, **_as_postgres())
        eventually(self._accepts, START_TIMEOUT_S, "PostgreSQL accepts connections")
        return self

    def _accepts(self):
        assert self._process.poll() is None, self.log.read_text()
        try:
            psycopg2.connect(self.url("postgres")).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast shutdown. SIGQUIT: every process ends at once, as in a crash."""
        if self._process:
            self._process.send_signal(how)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def remove(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory)

    @property
    def pid(self):
        """Of the postmaster."""
        return self._process.pid

    def url(self, database):
        return f"host={self.directory} user=postgres dbname={database}"

    def new_database(self):
        """The connection string of a fresh database."""
        name = f"rookery{next(_numbers)}"
        sql(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    def backends(self, url):
        """Process ids of the two sessions that a server keeps in the database of url, once those
        that load have gone."""
        def lasting():
            rows = sql(self.url("postgres"), "SELECT pid FROM pg_stat_activity WHERE datname = %s",
                       url.rsplit("dbname=", 1)[1])
            return [row[0] for row in rows] if len(rows) == 2 else None
        return eventually(lasting, 10, "the server has two sessions")


def sql(url, statement, *values):
    """Run one statement in a connection of its own; the rows, if it has any."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()

"""Commands, configuration errors and exit status, without a server that runs."""

import json
import re

import pytest

from lib.pg import sql
from lib.rookery import run, to_yaml

COMMANDS = ["serve", "check-config", "migrate"]


def one_line(text):
    """The only line of text."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


@pytest.fixture
def check(tmp_path):
    """check(yaml, env) runs check-config over a file with that text."""
    def run_check(yaml, env=None):
        path = tmp_path / "some.yaml"
        path.write_text(yaml)
        return run("check-config", "--config", path, env=env)
    return run_check


def test_version():
    result = run("--version")
    assert result.returncode == 0
    assert re.search(r"\b\d+\.\d+\.\d+\b", result.stdout)


def test_help_names_every_command():
    result = run("--help")
    assert result.returncode == 0
    for command in COMMANDS + ["torrent create", "torrent show"]:
        assert command in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    result = run(command, "--help")
    assert result.returncode == 0
    assert command in result.stdout and "--config" in result.stdout


@pytest.mark.parametrize("arguments", [
    ["frobnicate"], ["--frobnicate"], ["serve", "--frobnicate"], ["serve", "--config"],
    ["serve", "--ready-file"], ["serve", "surplus"], ["check-config", "--config"],
    ["migrate", "--frobnicate"],
])
def test_bad_usage(arguments):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_configuration_file(command, tmp_path):
    result = run(command, "--config", tmp_path / "absent.yaml")
    assert result.returncode == 2
    assert "absent.yaml" in one_line(result.stderr)


@pytest.mark.parametrize("yaml", ["", "\n", "# nothing\n", "---\n", "{}\n"])
def test_an_empty_file_is_valid(check, yaml):
    result = check(yaml)
    assert (result.returncode, result.stderr) == (0, "")


def test_every_key_is_valid(check):
    result = check(to_yaml({
        "data_dir": "./data",
        "log": {"level": "debug", "format": "json"},
        "database": {"url": "host=/tmp dbname=x"},
        "tracker": {
            "mode": "private_listed", "udp": ["0.0.0.0:6969", "[::]:6969"], "http": [],
            "tls": {"certificate": "", "key": ""}, "workers": 1, "announce_interval": 1,
            "min_announce_interval": 1, "peer_timeout": 1, "max_numwant": 1, "max_scrape": 1,
            "connection_id_lifetime": 1, "trust_forwarded_for": ["10.0.0.0/8", "::1/128"],
            "external_ip": "192.0.2.1", "persist_completed": False},
        "api": {"listen": ["127.0.0.1:1212", "[::1]:1212"],
                "tls": {"certificate": "", "key": ""}, "tokens": {"admin": "MyAccessToken"},
                "local_without_token": True, "hosts": ["example.org"],
                "cors_origins": ["http://example.org"], "max_body": 4096},
    }))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("yaml, line, key", [
    ("trackr:\n  mode: public\n", 1, "trackr"),
    ("log:\n  level: info\ntracker:\n  mod: public\n", 4, "tracker.mod"),
    ("tracker:\n  mode: open\n", 2, "tracker.mode"),
    ("tracker:\n  mode: [public]\n", 2, "tracker.mode"),
    ("tracker:\n\n  workers: many\n", 3, "tracker.workers"),
    ("tracker:\n  workers: -1\n", 2, "tracker.workers"),
    ("tracker:\n  workers: 1.5\n", 2, "tracker.workers"),
    ("tracker:\n  announce_interval: 0\n", 2, "tracker.announce_interval"),
    ("tracker:\n  announce_interval: 99999999999999999999\n", 2, "tracker.announce_interval"),
    ("tracker:\n  persist_completed: yes\n", 2, "tracker.persist_completed"),
    ("tracker:\n  persist_completed: 1\n", 2, "tracker.persist_completed"),
    ("tracker:\n  udp: 6969\n", 2, "tracker.udp"),
    ("tracker:\n  udp: [\"127.0.0.1\"]\n", 2, "tracker.udp"),
    ("tracker:\n  udp:\n    - 127.0.0.1:6969\n    - 127.0.0.1:65536\n", 4, "tracker.udp"),
    ("tracker:\n  http: [\"example.org:80\"]\n", 2, "tracker.http"),
    ("tracker:\n  trust_forwarded_for: [\"10.0.0.0/33\"]\n", 2, "tracker.trust_forwarded_for"),
    ("tracker:\n  external_ip: somewhere\n", 2, "tracker.external_ip"),
    ("tracker: public\n", 1, "tracker"),
    ("log:\n  level: loud\n", 2, "log.level"),
    ("log:\n  format: xml\n", 2, "log.format"),
    ("log:\n  level: info\n  level: debug\n", 3, "log.level"),
    ("api:\n  max_body: none\n", 2, "api.max_body"),
    ("api:\n  tokens: MyAccessToken\n", 2, "api.tokens"),
])
def test_an_error_has_its_place(check, tmp_path, yaml, line, key):
    result = check(yaml)
    assert result.returncode == 2
    complaint = one_line(result.stdout + result.stderr)
    assert complaint.startswith(f"{tmp_path / 'some.yaml'}:{line}: {key}"), complaint
    assert len(complaint.split(": ", 2)[2]) > 5, "what is wrong"


def test_all_errors_at_once(check, tmp_path):
    result = check("nonsense: 1\ntracker:\n  mode: open\n  workers: x\napi:\n  max_body: -1\n")
    assert result.returncode == 2
    places = [line.removeprefix(f"{tmp_path / 'some.yaml'}:").split(": ")[:2]
              for line in (result.stdout + result.stderr).splitlines()]
    assert places == [["1", "nonsense"], ["3", "tracker.mode"], ["4", "tracker.workers"],
                      ["6", "api.max_body"]]


@pytest.mark.parametrize("yaml", ["tracker: [\n", "tracker:\n\tmode: public\n", "a: b: c\n",
                                  "- a list\n", "\x00\x01\x02"])
def test_what_is_not_yaml(check, tmp_path, yaml):
    result = check(yaml)
    assert result.returncode == 2
    assert re.match(re.escape(str(tmp_path / "some.yaml")) + r":\d+: ",
                    one_line(result.stdout + result.stderr))


@pytest.mark.parametrize("variable, value", [
    ("ROOKERY_TRACKER__MODE", "open"), ("ROOKERY_TRACKER__WORKERS", "x"),
    ("ROOKERY_TRACKER__PERSIST_COMPLETED", "yes"), ("ROOKERY_TRACKER__UDP", "nowhere"),
    ("ROOKERY_LOG__LEVEL", "loud"),
])
def test_an_error_of_the_environment_names_the_variable(check, variable, value):
    result = check("", {variable: value})
    assert result.returncode == 2
    assert variable in one_line(result.stdout + result.stderr)


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize("listen, token", [
    ("0.0.0.0:0", "MyAccessToken"), ("[::]:0", "MyAccessToken"), ("0.0.0.0:0", "fifteen-letters"),
    ("192.0.2.1:0", "tiny-one"),
])
def test_a_weak_token_on_an_open_address(tmp_path, command, listen, token):
    path = tmp_path / "some.yaml"
    path.write_text(to_yaml({"data_dir": str(tmp_path / "data"),
                             "api": {"listen": ["127.0.0.1:0", listen],
                                     "tokens": {"admin": token}}}))
    result = run(command, "--config", path)
    assert result.returncode == 2
    assert "api.tokens" in one_line(result.stdout + result.stderr)
    assert token not in result.stdout + result.stderr


@pytest.mark.parametrize("listen, token", [
    ("127.0.0.1:0", "MyAccessToken"), ("[::1]:0", "short"), ("127.9.9.9:0", "x"),
    ("0.0.0.0:0", "sixteen-letters!"),
])
def test_a_token_that_is_good_enough(check, listen, token):
    result = check(to_yaml({"api": {"listen": [listen], "tokens": {"admin": token}}}))
    assert (result.returncode, result.stderr) == (0, "")


def test_migrate_prints_each_once(cluster, tmp_path):
    url = cluster.new_database()
    path = tmp_path / "some.yaml"
    path.write_text(to_yaml({"database": {"url": url}, "log": {"level": "error"}}))
    first = run("migrate", "--config", path)
    assert first.returncode == 0, first.stderr
    assert re.search(r"\b0001_\w+", first.stdout)
    tables = {row[0] for row in sql(
        url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert {"whitelist", "access_keys", "completed_counts"} <= tables

    again = run("migrate", "--config", path)
    assert again.returncode == 0, again.stderr
    assert not re.search(r"\b0001_", again.stdout)


def test_migrate_without_a_database_it_can_reach(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text(json.dumps({"database": {"url": f"host={tmp_path} dbname=absent"},
                                "log": {"level": "error"}}))
    result = run("migrate", "--config", path, env={"PGCONNECT_TIMEOUT": "2"})
    assert result.returncode == 1
    assert str(tmp_path) in one_line(result.stderr)


@pytest.mark.parametrize("statement, named", [
    ("UPDATE schema_migrations SET checksum = repeat('0', 64)", "0001_"),
    ("INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later', repeat('0', 64))",
     "9999_later"),
])
@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_database_that_another_program_migrated(cluster, tmp_path, statement, named, command):
    """Nothing is changed in it."""
    url = cluster.new_database()
    path = tmp_path / "some.yaml"
    path.write_text(to_yaml({
        "database": {"url": url}, "log": {"level": "error"}, "data_dir": str(tmp_path / "data"),
        "tracker": {"udp": [], "http": []}, "api": {"listen": ["127.0.0.1:0"]}}))
    assert run("migrate", "--config", path).returncode == 0
    sql(url, statement)
    before = sql(url, "SELECT name, checksum FROM schema_migrations ORDER BY name")
    result = run(command, "--config", path)
    assert result.returncode == 1
    assert named in one_line(result.stderr)
    assert sql(url, "SELECT name, checksum FROM schema_migrations ORDER BY name") == before

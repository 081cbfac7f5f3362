"""What tests of the Torrust API share."""

import itertools

STATS = ["torrents", "seeders", "completed", "leechers"] + [
    f"{protocol}{family}_{what}_handled" for protocol in ("tcp", "udp") for family in (4, 6)
    for what in ("connections", "announces", "scrapes")]
BASES = ["/api", "/api/v1"]

_sources = (f"127.0.{n // 250 + 1}.{n % 250 + 1}" for n in itertools.count())


def stranger():
    """An address that no other call comes from, so that the limit on bad tokens is not near."""
    return next(_sources)

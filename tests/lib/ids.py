"""Fresh info-hashes and peer ids: different in every call, the same in every run."""

import hashlib
import itertools

_numbers = itertools.count(1)


def new_hash():
    """20 bytes that no other test has."""
    return hashlib.sha1(b"info-hash %d" % next(_numbers)).digest()


def new_peer_id(prefix=b"-qB4480-"):
    """A peer id of the client that prefix stands for."""
    tail = hashlib.sha1(b"peer %d" % next(_numbers)).hexdigest().encode()
    return (prefix + tail)[:20]


def new_key():
    """An access key: 32 letters and digits."""
    return hashlib.sha256(b"key %d" % next(_numbers)).hexdigest()[:32]

"""Compact peer lists (BEP 23, 7) as sets of (address, port)."""

import ipaddress


def unpack4(data):
    assert len(data) % 6 == 0, f"{len(data)} bytes of IPv4 peers"
    return [_endpoint(data[i:i + 6], 4) for i in range(0, len(data), 6)]


def unpack6(data):
    assert len(data) % 18 == 0, f"{len(data)} bytes of IPv6 peers"
    return [_endpoint(data[i:i + 18], 16) for i in range(0, len(data), 18)]


def _endpoint(entry, address_len):
    address = ipaddress.ip_address(entry[:address_len])
    return str(address), int.from_bytes(entry[address_len:], "big")

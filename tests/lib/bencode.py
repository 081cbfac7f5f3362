"""Bencode. decode() is strict: sorted keys, no leading zeros, nothing behind the end."""


class BencodeError(ValueError):
    """The bytes are not canonical bencode."""


def encode(value):
    if isinstance(value, bool):
        raise TypeError("bencode has no booleans")
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, (list, tuple)):
        return b"l" + b"".join(encode(v) for v in value) + b"e"
    if isinstance(value, dict):
        items = {(k.encode() if isinstance(k, str) else k): v for k, v in value.items()}
        return b"d" + b"".join(encode(k) + encode(items[k]) for k in sorted(items)) + b"e"
    raise TypeError(f"cannot bencode {type(value).__name__}")


def decode(data):
    """bytes, int, list, and dict with bytes keys."""
    value, end = _decode(data, 0)
    if end != len(data):
        raise BencodeError(f"{len(data) - end} bytes behind the end: {data[end:end + 20]!r}")
    return value


def _decode(data, at):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        text = data[at + 1:end]
        if str(int(text)).encode() != text:
            raise BencodeError(f"integer {text!r}")
        return int(text), end + 1
    if kind == b"l":
        items, at = [], at + 1
        while data[at:at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        return items, at + 1
    if kind == b"d":
        return _decode_dict(data, at + 1)
    if kind.isdigit():
        colon = data.index(b":", at)
        length = int(data[at:colon])
        if str(length).encode() != data[at:colon]:
            raise BencodeError(f"length {data[at:colon]!r}")
        end = colon + 1 + length
        if end > len(data):
            raise BencodeError("string is cut short")
        return data[colon + 1:end], end
    raise BencodeError(f"unexpected {kind!r} at {at}")


def _decode_dict(data, at):
    items, last = {}, None
    while data[at:at + 1] != b"e":
        key, at = _decode(data, at)
        if not isinstance(key, bytes):
            raise BencodeError("a key that is not a string")
        if last is not None and key <= last:
            raise BencodeError(f"key {key!r} after {last!r}")
        items[key], at = _decode(data, at)
        last = key
    return items, at + 1

"""Waiting for states that have no event of their own."""

import time

POLL_S = 0.02


def eventually(check, timeout_s=5.0, what=None):
    """The first true value of check(), polled; an exception in check() counts as "not yet".

    Raises AssertionError with the last value or exception when timeout_s is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        last = None
        try:
            value = check()
            if value:
                return value
            last = repr(value)
        except (AssertionError, OSError, LookupError, ValueError) as e:
            last = f"{type(e).__name__}: {e}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or check} (last: {last})")
        time.sleep(POLL_S)

# SPDX-License-Identifier: Apache-2.0
"""How long to wait. Where everything runs some times slower, as under emulation, WEFT_TIME_SCALE says how
many; it stretches what is waited for, never what is asserted."""
import os
import time

SCALE = float(os.environ.get("WEFT_TIME_SCALE", "1"))


def patience(seconds):
    """The longest wait for something that must come."""
    return seconds * SCALE


def pause(seconds):
    """Long enough for something to have happened that cannot be waited for."""
    time.sleep(seconds * SCALE)


def until(condition, what, timeout=10):
    """What the condition gives once it holds; an AssertionError with `what`, or what that returns, if it does not."""
    end = time.monotonic() + patience(timeout)
    while not (found := condition()):
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.05)
    return found

# SPDX-License-Identifier: MPL-2.0
"""Waiting with a deadline. The deadline is generous, because machines stall; it is never part of what is tested."""
import time

DEADLINE_S = 30.0


def wait_until(condition, what='the condition', deadline=DEADLINE_S, pause=0.02):
    """Calls condition() until it gives something true, which is returned."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f'waited {deadline:.0f} s for {what} in vain; last seen: {value!r}')
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def wait_same(look, wanted, what='the condition', deadline=DEADLINE_S):
    """Calls look() until it gives what is wanted; in vain, it tells what it gave last."""
    last = None

    def is_same():
        nonlocal last
        last = look()
        return last == wanted
    try:
        wait_until(is_same, what, deadline)
    except AssertionError:
        raise AssertionError(f'waited {deadline:.0f} s for {what} in vain: wanted {wanted!r}, last seen: {last!r}') from None

# SPDX-License-Identifier: MPL-2.0
"""Waiting with a deadline. The deadline is generous, because machines stall; it is never part of what is tested."""
import time

DEADLINE_S = 30.0


def wait_until(condition, what='the condition', deadline=DEADLINE_S, pause=0.02, is_good=bool):
    """Calls condition() until it gives something good, by default something true, which is returned."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if is_good(value):
            return value
        if time.monotonic() >= end:
            raise AssertionError(f'waited {deadline:.0f} s for {what} in vain; last seen: {value!r}')
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def wait_same(look, wanted, what='the condition', deadline=DEADLINE_S):
    """Calls look() until it gives what is wanted."""
    return wait_until(look, f'{what} (wanted {wanted!r})', deadline, is_good=lambda value: value == wanted)

# SPDX-License-Identifier: MPL-2.0
"""What a daemon takes that has nothing to do."""
import time

from bench.figures import Figure
from bench.pairs import daemon
from bench.processes import cpu_percent, memory_kb

SECONDS = 10


def measure(bench):
    one = daemon(bench, 'idle')
    bench.say(f'idle: {SECONDS} s')
    time.sleep(1)
    used, = cpu_percent([one.process.pid], SECONDS)
    memory = memory_kb(one.process.pid)
    yield Figure('idle.cpu', 'idle daemon: CPU', used, '%', 0.5, f'over {SECONDS} s')
    yield Figure('idle.memory', 'idle daemon: memory', memory['pss'] / 1024, 'MB', 20, f"PSS; private {memory['uss'] / 1024:.1f} MB, resident {memory['rss'] / 1024:.1f} MB")

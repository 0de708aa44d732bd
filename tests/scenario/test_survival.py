# SPDX-License-Identifier: MPL-2.0
"""A stream between two peers lives through what happens to machines: the wall clock is set, a machine sleeps.

The machine that runs this may stall by itself, and such a hole looks like the one that is looked for. So each thing is done again
when the sound was hurt; a daemon that does not live through it is hurt every time."""
import os
import signal
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from support import wav
from support.site import Site
from support.wait import wait_same, wait_until

RATE_HZ = 48000
TARGET_MS = 300
ATTEMPTS = 6
FAKETIME = next(iter(sorted(Path('/usr/lib').glob('*/faketime/libfaketime.so.1'))), None)


class Pair:
    """a plays to b; b owns the stream, as the peer of its destination."""

    def __init__(self, directory):
        self.directory = directory
        self.site = Site(directory, ('a', 'b'))
        self.stream = None

    def start(self, sink=None):
        self.site.start()
        a, b = self.site.api('a'), self.site.api('b')
        wav.write(self.site.daemons['a'].media_dir / 'song.wav', wav.telltale(RATE_HZ, 5), RATE_HZ)
        player = a.player('song.wav', loop=True)
        source = {'endpoint_uri': f"/peers/{self.site.uids['a']}/endpoints/{player['endpoint_uid']}"}
        sink = sink or (lambda api: api.sink())
        self.stream = b.stream(source, sink(b), target_latency_ms=TARGET_MS)
        self.wait_received(400)
        return self

    def status(self):
        return self.site.api('b').get(self.stream['stream_uri'])['status']

    def wait_received(self, n):
        """So many packets more: the time of the sound, which a slow machine does not stretch."""
        first = self.status()['packets']['received']
        return wait_until(lambda: self.status()['packets']['received'] >= first + n, f'{n} packets more', deadline=60)


@pytest.fixture
def pair(workdir):
    made = Pair(workdir)
    yield made
    made.site.close()


# ---- the wall clock ----

def set_clock(daemon, seconds):
    """Returns when the daemon has been seen to live in its new time: its log says when a change was made."""
    offset = daemon.directory / 'clock'
    text = f'{seconds:+d}\n'
    new = offset.with_suffix('.new')
    new.write_text(text)
    new.rename(offset)

    def shows():
        daemon.api.delete(daemon.api.sink()['endpoint_uri'])
        stamp = datetime.strptime(daemon.log_tail(1).split()[0], '%Y-%m-%dT%H:%M:%S.%fZ').replace(tzinfo=timezone.utc)
        return abs(stamp.timestamp() - time.time() - seconds) < 600
    wait_until(shows, f'the clock of {daemon.name} to be set by {seconds} s')


@pytest.mark.skipif(FAKETIME is None, reason='faketime is not installed (tools/install-deps test)')
@pytest.mark.parametrize('who', ['a', 'b'])
def test_a_wall_clock_that_is_set_costs_no_sound(pair, who):
    daemon = pair.site.daemons[who]
    (daemon.directory / 'clock').write_text('+0\n')
    daemon.extra_env = {'LD_PRELOAD': str(FAKETIME), 'FAKETIME_TIMESTAMP_FILE': str(daemon.directory / 'clock'),
                        'FAKETIME_NO_CACHE': '1', 'DONT_FAKE_MONOTONIC': '1', 'FAKETIME_DONT_FAKE_MONOTONIC': '1'}
    pair.start(lambda api: api.recorder('take.wav', rate_hz=RATE_HZ, channels=2))
    take = pair.site.daemons['b'].media_dir / 'take.wav'
    since = pair.status()['since']
    offset = 0
    for by in (3600, -7200, 3600):
        for _ in range(ATTEMPTS):
            offset += by  # a second attempt goes on in the same direction: what has been seen before may be borne
            recorded = wait_until(lambda: wav.seconds(take), 'a recording')
            before = pair.status()
            set_clock(daemon, offset)
            pair.wait_received(600)  # three seconds
            wait_until(lambda recorded=recorded: wav.seconds(take) > recorded + 3, 'the recording to go on', deadline=60)
            after = pair.status()
            assert after['packets']['rejected'] == before['packets']['rejected'], 'packets were taken for old ones'
            if after['samples'] == before['samples'] and disturbance(take, recorded) == 0:
                break
        else:
            raise AssertionError(f'the clock was set by {by:+d} s {ATTEMPTS} times, and each time sound was lost: {after}')
    # The lease of the sender is 15 s, and is renewed by a peer whose clock says something else.
    set_clock(daemon, offset + 3600)
    pair.wait_received(16 * 200)
    status = pair.status()
    assert status['state'] in ('running', 'degraded') and (status['since'] == since or status['samples']['lost'] > 0), status


# ---- sleep ----

def resident_kb(daemon):
    with open(f'/proc/{daemon.process.pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS:'))


def sleep_s(daemon, seconds):
    """As a machine that is suspended: the process stands still, and its clock goes on."""
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)  # this is what happens to it
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)


def disturbance(take, begin_s):
    """(length from the first hole after begin_s to the last, of those that have less than a second of sound between them)."""
    samples, _ = wav.read(take)
    first = last = None
    for at, n in wav.zero_runs(samples[int(begin_s * RATE_HZ):]):
        if first is None:
            first = at
        elif at - last > RATE_HZ:
            break
        last = at + n
    return 0.0 if first is None else (last - first) / RATE_HZ


@pytest.mark.parametrize('who, most_s', [
    ('a', 5.0 + 0.1),  # what was not sent, less what was in the queue; and not more than 100 ms to start
    ('b', 1.0 + TARGET_MS / 1000 + 0.1),  # a second is caught up; then the queue fills
])
def test_sound_is_back_after_sleep(pair, who, most_s):
    pair.start(lambda api: api.recorder('take.wav', rate_hz=RATE_HZ, channels=2))
    daemon = pair.site.daemons[who]
    take = pair.site.daemons['b'].media_dir / 'take.wav'
    before_kb = resident_kb(daemon)
    lengths = []
    for _ in range(ATTEMPTS):
        recorded = wait_until(lambda: wav.seconds(take), 'a recording')
        lost = pair.status()['samples']['lost']
        sleep_s(daemon, 5)
        wait_until(lambda: pair.status()['samples']['lost'] > lost, 'the hole to be noticed', deadline=60)
        pair.wait_received(600)
        wait_until(lambda: wav.seconds(take) > recorded + most_s + 2, 'the recording to go on', deadline=60)
        lengths.append(disturbance(take, recorded))
        assert lengths[-1] > 0
        if lengths[-1] <= most_s:
            break
    assert lengths[-1] <= most_s, f'after {lengths} s'
    assert pair.status()['state'] in ('running', 'degraded'), pair.status()

    def off_ms():
        """Figures that are not what they were before. The queue of libroc alone might take a minute to get right."""
        latency = pair.status()['latency_ms']
        return {name: latency[name] for name, usual in {'end_to_end': TARGET_MS, 'network': 0}.items()
                if latency[name] is None or abs(latency[name] - usual) >= 50}
    wait_same(off_ms, {}, 'the latency to be as before')
    assert resident_kb(daemon) < before_kb + 8192

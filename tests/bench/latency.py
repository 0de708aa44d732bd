# SPDX-License-Identifier: MPL-2.0
"""Latency in real time between two daemons, found in recordings: how late impulses are, and how soon the first sample comes
after a POST. Endpoints tell the wall time of their frame 0, to the millisecond; both daemons have the same wall clock."""
import datetime
import time
from statistics import median

import numpy as np

from bench.figures import Figure, NotMeasured
from bench.pairs import SETTINGS, TARGET_MS, daemon, is_heard, listen
from support import wav
from support.wait import wait_until

IMPULSE_MS = 500
TARGETS_MS = (50, 100, 200)


def started_s(api, endpoint):
    at = api.get(endpoint['endpoint_uri'])['status']['started_at']
    return datetime.datetime.strptime(at, '%Y-%m-%dT%H:%M:%S.%f%z').timestamp()


def recorded(api, stream, endpoint, path):
    """Ends the stream; (loudness of the frames, wall time of the first, what the ledgers say)"""
    begin = started_s(api, endpoint)
    ledger = api.get(stream['stream_uri'])['status']['ledger']
    api.delete(stream['stream_uri'])
    wait_until(lambda: api.get(endpoint['endpoint_uri'])['status']['active_streams'] == 0, 'the recording to be closed')
    samples, rate = wav.read(path)
    if rate != 48000:
        raise NotMeasured(f'a recording has {rate} Hz')
    return np.abs(samples).max(axis=1), begin, ledger


def stalls(ledgers):
    worst = max(ledger['worst_late_ms'] for ledger in ledgers)
    return f', stalls of this machine up to {worst:.0f} ms' if worst > 5 else ''


# ---- how late ----

class Impulses:
    """A stream of impulses from a tone to a recording."""

    def __init__(self, a, b, target):
        self.a, self.b, self.target = a, b, target
        self.tone = a.api.tone(waveform='impulse', interval_ms=IMPULSE_MS, level_dbfs=-3)
        self.take = b.api.recorder(f'impulses-{target}.wav')
        settings = {**SETTINGS, 'target_latency_ms': target}
        self.into, uris = listen(b.api, self.take, **settings)
        self.out = a.api.stream(self.tone, uris, **settings)

    def wait(self):
        wait_until(lambda: is_heard(self.b.api, self.into), 'impulses to arrive')

    def latencies_ms(self):
        """(measured ones, what rocd reports, ledgers)"""
        sent = started_s(self.a.api, self.tone)
        reported = self.b.api.get(self.into['stream_uri'])['status']['latency_ms']['end_to_end']
        sender = self.a.api.get(self.out['stream_uri'])['status']['ledger']
        loud, begin, ledger = recorded(self.b.api, self.into, self.take, self.b.media_dir / f'impulses-{self.target}.wav')
        impulses = [i for i in np.flatnonzero(loud > 0.35) if loud[i] == loud[max(0, i - 24):i + 25].max()]
        if len(impulses) < 2:
            raise NotMeasured(f'{len(impulses)} impulses came')
        return [float((begin - sent) * 1000 + i / 48) % IMPULSE_MS for i in impulses], reported, [sender, ledger]


def measure_impulses(bench, a, b):
    seconds = 3 if bench.short else 30
    bench.say(f'latency: impulses at {len(TARGETS_MS)} targets, {seconds} s')
    streams = [Impulses(a, b, target) for target in TARGETS_MS]
    for stream in streams:
        stream.wait()
    time.sleep(seconds)
    for stream in streams:
        found, reported, ledgers = stream.latencies_ms()
        over = [ms - stream.target for ms in found]
        note = f'{len(found)} impulses in a recording, {min(over):+.1f} to {max(over):+.1f} ms'
        if reported is not None:
            note += f'; rocd reports {reported - stream.target:+.1f} ms'
        yield Figure(f'latency.over.{stream.target}', f'latency over target of {stream.target} ms, two daemons', median(over), 'ms',
                     None, note + stalls(ledgers), {'latencies_ms': found, 'reported_ms': reported})


# ---- how soon ----

def first_sample(a, b, number):
    """(ms from POST /streams at the sender to the first sample in the recording, to the event that says so, ledgers)"""
    take, tone = b.api.recorder(f'first-{number}.wav'), a.api.tone(waveform='sine', frequency_hz=440, level_dbfs=-3)
    into, uris = listen(b.api, take)
    wait_until(lambda: b.api.stream_is(into, 'connecting'), 'the receiver to wait for sound')
    with b.api.events('?types=stream_updated') as events:
        events.wait_greeting()
        begin, begin_wall = time.monotonic(), time.time()
        out = a.api.stream(tone, uris, **SETTINGS)
        events.wait_for(lambda e: e.data.get('stream_uid') == into['stream_uid'] and
                        e.data['status']['state'] in ('running', 'degraded'), 'the event that sound has come')
        told = time.monotonic() - begin
    wait_until(lambda: b.api.get(take['endpoint_uri'])['status']['frames'] > 0, 'the recording to begin')
    sender = a.api.get(out['stream_uri'])['status']['ledger']
    loud, start, ledger = recorded(b.api, into, take, b.media_dir / f'first-{number}.wav')
    a.api.delete(out['stream_uri'])
    sounding = np.flatnonzero(loud > 1.5 / 32768)
    if not len(sounding):
        raise NotMeasured('a recording is silent')
    return float(start + sounding[0] / 48000 - begin_wall) * 1000, told * 1000, [sender, ledger]


def measure_first_sample(bench, a, b):
    n = 3 if bench.short else 10
    bench.say(f'latency: POST to first sample, {n} times')
    found = [first_sample(a, b, i) for i in range(n)]
    for which, name, text in ((0, 'sample', 'POST /streams to first sample'), (1, 'event', 'POST /streams to the event that sound came')):
        values = [each[which] for each in found]
        yield Figure(f'latency.first_{name}', f'{text}, target {TARGET_MS} ms', median(values), 'ms',
                     TARGET_MS + 50 if which == 0 else None, f'{n} times, {min(values):.0f} to {max(values):.0f} ms'
                     + stalls([ledger for each in found for ledger in each[2]]), {'ms': values})


def measure(bench):
    a, b = daemon(bench, 'sender'), daemon(bench, 'receiver')
    yield from measure_first_sample(bench, a, b)
    yield from measure_impulses(bench, a, b)

# SPDX-License-Identifier: MPL-2.0
"""What is said of the latency of devices, beside impulses that went through them: out of a loudspeaker, whose monitor is led
into a virtual loudspeaker, and from there into a recording."""
import datetime

import numpy as np
import pytest

from support import wav
from support.wait import wait_until

RATE_HZ = 48000
INTERVAL_MS = 1000
TOLERANCE_MS = 6  # two streams, each true to 3 ms
ATTEMPTS = 5


def started_s(api, endpoint):
    at = api.get(endpoint['endpoint_uri'])['status']['started_at']
    return datetime.datetime.strptime(at, '%Y-%m-%dT%H:%M:%S.%f%z').timestamp()


def told_ms(api, *streams):
    return [api.get(stream['stream_uri'])['status']['latency_ms']['end_to_end'] for stream in streams]


def frames(api, take):
    return api.get(take['endpoint_uri'])['status']['frames']


def measure(desk, tone, speaker, virtual, take_name):
    """(told, heard): what is said of both ways at the end of a recording, and where its last impulse is. The latency moves slowly, as
    the tuner lets it."""
    api = desk.api
    take = api.recorder(take_name)
    out = api.stream(tone, speaker, target_latency_ms=200)
    into = api.stream(virtual, take, target_latency_ms=200)
    wait_until(lambda: api.stream_is(out, 'running') and api.stream_is(into, 'running'), 'sound')
    wait_until(lambda: None not in told_ms(api, out, into), 'latencies to be told', deadline=120)
    position = frames(api, take)
    wait_until(lambda: frames(api, take) > position + 3 * RATE_HZ, 'impulses', deadline=120)
    sent, begin = started_s(api, tone), started_s(api, take)
    told = sum(told_ms(api, out, into))
    api.delete(into['stream_uri'])
    api.delete(out['stream_uri'])
    wait_until(lambda: api.get(take['endpoint_uri'])['status']['active_streams'] == 0, 'the recording to be closed')
    samples, rate = wav.read(desk.media_dir / take_name)
    assert rate == RATE_HZ
    loud = np.abs(samples).max(axis=1)
    impulses = [i for i in np.flatnonzero(loud > 0.35) if loud[i] == loud[max(0, i - 24):i + 25].max()]
    assert len(impulses) >= 2
    return told, ((begin - sent) * 1000 + impulses[-1] * 1000 / RATE_HZ) % INTERVAL_MS


@pytest.mark.parametrize('quantum', [128, 1024, 4096])
def test_the_latency_of_devices_is_that_of_impulses(pipewire, daemons, quantum):
    """A machine that stalls moves both by a quantum, one sooner than the other; then it is measured again."""
    pipewire.run('pw-metadata', '-n', 'settings', '0', 'clock.force-quantum', str(quantum))
    desk = daemons('desk', env=pipewire.daemon_env())
    api = desk.api
    speaker = wait_until(lambda: next((e for e in api.get('/peers/self/endpoints')
                                       if e.get('device', {}).get('system_name') == 'fake-out'), None), 'the loudspeaker')
    virtual = api.post('/peers/self/endpoints', {'kind': 'virtual_speaker', 'display_name': 'Ear'})
    name = f"rocd.{virtual['endpoint_uid']}"
    tone = api.tone(waveform='impulse', interval_ms=INTERVAL_MS, level_dbfs=-3)
    pipewire.wait_node(name)
    for channel in ('FL', 'FR'):
        pipewire.run('pw-link', f'fake-out:monitor_{channel}', f'{name}:playback_{channel}')
    seen = []
    for attempt in range(ATTEMPTS):
        seen.append(measure(desk, tone, speaker, virtual, f'take-{attempt}.wav'))
        if abs(seen[-1][0] - seen[-1][1]) < TOLERANCE_MS:
            break
    else:
        raise AssertionError(f'told and heard, in ms: {seen}')

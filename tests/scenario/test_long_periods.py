# SPDX-License-Identifier: MPL-2.0
"""A sound server that is made to move much sound at a time: that a target latency does not hold it is told, with the least that
does, and goes away as it came."""
import re

from support.site import Site
from support.wait import wait_until

QUANTUM = 2048  # 42.7 ms
TARGET_MS = 30


def force(pipewire, quantum):
    pipewire.run('pw-metadata', '-n', 'settings', '0', 'clock.force-quantum', str(quantum))


def reason_of(api, stream):
    status = api.get(stream['stream_uri'])['status']
    return next((c for c in status['conditions'] if c['reason'] == 'PeriodTooLong'), None)


def test_a_target_that_does_not_hold_what_the_device_takes_at_once(pipewire, daemons):
    api = daemons('desk', env=pipewire.daemon_env()).api
    speaker = wait_until(lambda: next((e for e in api.get('/peers/self/endpoints')
                                       if e.get('device', {}).get('system_name') == 'fake-out'), None), 'the loudspeaker')
    stream = api.stream(api.tone(), speaker, target_latency_ms=TARGET_MS)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    wait_until(lambda: 0 < api.get(speaker['endpoint_uri'])['status'].get('period_ms', 0) < TARGET_MS, 'the period to be told')
    assert not reason_of(api, stream)

    force(pipewire, QUANTUM)
    told = wait_until(lambda: reason_of(api, stream), 'the reason', deadline=60)
    assert told['type'] == 'Destination' and api.stream_is(stream, 'degraded')
    for word in (speaker['display_name'], '42.7 ms', f'{TARGET_MS} ms', 'clock.force-quantum'):
        assert word in told['message'], told
    assert abs(api.get(speaker['endpoint_uri'])['status']['period_ms'] - QUANTUM / 48) < 0.1

    # the value that is told works
    least = int(re.search(r'(\d+) ms is the least', told['message']).group(1))
    api.patch(stream['stream_uri'], {'settings': {'target_latency_ms': least}})
    wait_until(lambda: api.stream_is(stream, 'running'), f'a target of {least} ms to work', deadline=60)
    assert not reason_of(api, stream)

    # and so does the first, as soon as the period is what it was
    api.patch(stream['stream_uri'], {'settings': {'target_latency_ms': TARGET_MS}})
    wait_until(lambda: reason_of(api, stream), 'the reason once more', deadline=60)
    force(pipewire, 0)
    wait_until(lambda: api.stream_is(stream, 'running') and not reason_of(api, stream), 'the reason to go', deadline=60)


def test_the_source_s_device_is_another_peer_s(pipewire, tmp_path):
    site = Site(tmp_path, ('desk', 'hall'))
    site.daemons['desk'].extra_env = pipewire.daemon_env()
    try:
        site.start()
        hall = site.api('hall')
        listed = f'/peers/{site.uids["desk"]}/endpoints'
        microphone = wait_until(lambda: next((e for e in hall.get(listed) if e.get('system_name') == 'fake-mic'), None),
                                'the microphone')
        stream = hall.stream(microphone, hall.sink(), target_latency_ms=TARGET_MS)
        wait_until(lambda: hall.stream_is(stream, 'running'), 'sound')
        force(pipewire, QUANTUM)
        told = wait_until(lambda: reason_of(hall, stream), 'the reason', deadline=60)
        assert told['type'] == 'Source' and hall.stream_is(stream, 'degraded')
        for word in ('desk/' + microphone['display_name'], '42.7 ms', f'{TARGET_MS} ms', 'clock.force-quantum'):
            assert word in told['message'], told
        force(pipewire, 0)
        wait_until(lambda: hall.stream_is(stream, 'running') and not reason_of(hall, stream), 'the reason to go', deadline=60)
    finally:
        site.close()

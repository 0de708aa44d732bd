# SPDX-License-Identifier: MPL-2.0
"""What was lost of a stream's sound is told by any peer of the site, and of devices too."""
import signal
import time

import pytest

from support.client import stream_spec
from support.site import Site
from support.wait import wait_until

TARGET_MS = 100


@pytest.fixture
def site(workdir):
    made = Site(workdir, ('a', 'b', 'c'))
    yield made
    made.close()


def stand_still(daemon, seconds):
    daemon.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)  # that is what it is about
    daemon.process.send_signal(signal.SIGCONT)


def of_cause(api, stream, cause):
    return [g for g in api.get(f"{stream['stream_uri']}/glitches") if g['cause'] == cause]


def test_a_third_peer_tells_what_was_lost(site):
    site.start()
    a, b, c = (site.api(name) for name in 'abc')
    stream = c.post('/streams', stream_spec(a.tone(), b.sink(), target_latency_ms=TARGET_MS))
    wait_until(lambda: b.stream_is(stream, 'running'), 'sound')
    assert of_cause(c, stream, 'stall') == []
    stand_still(site.daemons['b'], 2.5)
    told = wait_until(lambda: of_cause(c, stream, 'stall'), 'the stall to be told', deadline=60)
    assert sum(g['lost_ms'] for g in told) > 500
    wait_until(lambda: a.get(stream['stream_uri'])['status'].get('glitches', {}).get('stall'), 'its count at the source')
    site.daemons['b'].process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: c.call('GET', f"{stream['stream_uri']}/glitches").status == 503, 'it to be out of reach', deadline=60)
    finally:
        site.daemons['b'].process.send_signal(signal.SIGCONT)


def play_to_speaker(pipewire, daemons):
    desk = daemons('desk', env=pipewire.daemon_env())
    api = desk.api
    speaker = wait_until(lambda: next((e for e in api.get('/peers/self/endpoints')
                                       if e.get('device', {}).get('system_name') == 'fake-out'), None), 'the loudspeaker')
    stream = api.stream(api.tone(), speaker, target_latency_ms=TARGET_MS)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    return desk, api, speaker, stream


def xruns(api, speaker):
    return api.get(speaker['endpoint_uri'])['status'].get('xruns', 0)


def test_a_device_that_runs_dry_is_told(pipewire, daemons):
    _, api, speaker, stream = play_to_speaker(pipewire, daemons)
    for _ in range(10):  # of a sudden it wants more than there is
        pipewire.run('pw-metadata', '-n', 'settings', '0', 'clock.force-quantum', '2048')
        pipewire.run('pw-metadata', '-n', 'settings', '0', 'clock.force-quantum', '64')
        try:
            told = wait_until(lambda: of_cause(api, stream, 'device_xrun'), 'the xrun to be told', deadline=3)
            break
        except AssertionError:
            continue
    else:
        raise AssertionError(f"no xrun was told of: {api.get(speaker['endpoint_uri'])['status']}")
    assert told[0]['lost_ms'] is None and told[0]['pieces'] >= 1


def test_a_device_that_we_do_not_serve_is_no_fault_of_its_own(pipewire, daemons):
    desk, api, speaker, stream = play_to_speaker(pipewire, daemons)
    before, dry = xruns(api, speaker), len(of_cause(api, stream, 'device_xrun'))
    for _ in range(5):
        stand_still(desk, 0.4)  # PipeWire goes on without it
        try:
            wait_until(lambda: xruns(api, speaker) > before, 'xruns', deadline=5)
            break
        except AssertionError:
            continue
    else:
        raise AssertionError(f"the device had no xrun: {api.get(speaker['endpoint_uri'])['status']}")
    assert sum(g['pieces'] for g in wait_until(lambda: of_cause(api, stream, 'stall'), 'the stall to be told')) > 0
    assert len(of_cause(api, stream, 'device_xrun')) == dry

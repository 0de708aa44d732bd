# SPDX-License-Identifier: MPL-2.0
"""An intercom: two peers and a hub with a bus that leaves out of each mix whom it goes to. Judged by what they record."""
import pytest

from support import wav
from support.client import stream_spec
from support.site import Site
from support.wait import wait_until

PITCH_HZ = {'a': 500, 'b': 1200}


@pytest.fixture
def site(workdir):
    made = Site(workdir, ('a', 'b', 'hub'))
    yield made
    made.close()


def levels(samples, rate):
    """In dB, of the pitch of each peer, in the middle of what was heard."""
    import numpy as np
    n = rate
    window = samples[len(samples) // 2 - n // 2:][:n, 0]
    spectrum = np.abs(np.fft.rfft(window * np.hanning(n))) * 4 / n
    return {name: 20 * np.log10(max(spectrum[hz - 5:hz + 6].max(), 1e-9)) for name, hz in PITCH_HZ.items()}


def test_each_hears_the_other_and_not_itself(site):
    site.start()
    hub = site.api('hub')
    bus = hub.endpoint(kind='bus', display_name='Intercom', bus={'mix_minus': True})
    streams = {}
    for name in PITCH_HZ:
        api = site.api(name)
        voice, take = api.tone(frequency_hz=PITCH_HZ[name], level_dbfs=-12), api.recorder('take.wav')
        hub.post('/streams', stream_spec(voice, bus, target_latency_ms=100))
        streams[name] = api.post('/streams', stream_spec(bus, take, target_latency_ms=100))
    everything = hub.post('/streams', stream_spec(bus, hub.recorder('all.wav'), target_latency_ms=100))
    for name, stream in streams.items():
        wait_until(lambda name=name, stream=stream: site.api(name).stream_is(stream, 'running', 'degraded'), 'it to run')
    takes = {name: site.daemons[name].media_dir / 'take.wav' for name in PITCH_HZ} | {
        'hub': site.daemons['hub'].media_dir / 'all.wav'}
    for take in takes.values():
        wait_until(lambda take=take: take.exists() and wav.seconds(take) > 5, '5 s of sound', deadline=60)
    for name, stream in {**streams, 'hub': everything}.items():
        site.api(name).delete(stream['stream_uri'])
        uri = stream['destination']['endpoint_uri']
        wait_until(lambda name=name, uri=uri: site.api(name).get(uri)['status']['active_streams'] == 0, 'the file to be closed')
    for name, other in (('a', 'b'), ('b', 'a')):
        heard = levels(*wav.read(takes[name]))
        assert abs(heard[other] + 12) < 1.5, (name, heard)
        assert heard[name] < -85, (name, heard)  # the wire has 16 bits
    heard = levels(*wav.read(takes['hub']))
    assert all(abs(level + 12) < 1.5 for level in heard.values()), heard

# SPDX-License-Identifier: MPL-2.0
"""Buses: endpoints that take and give, what may be led into what, and who is a member; what they transcode; channel maps; delays
of endpoints."""
import struct

import numpy as np
import pytest

from support import wav
from support.client import stream_spec
from support.net import roc_uris, udp_ports
from support.wait import wait_until


@pytest.fixture
def api(shared):
    yield shared.api
    for stream in shared.api.get('/streams'):
        shared.api.delete(stream['stream_uri'])
    for endpoint in shared.api.get('/peers/self/endpoints'):
        shared.api.delete(endpoint['endpoint_uri'])


def bus(api, name='', **own):
    return api.endpoint(kind='bus', display_name=name, **({'bus': own} if own else {}))


def test_a_bus_is_an_endpoint_like_others(api):
    made = bus(api, 'Mix')
    assert made['stream_direction'] == 'duplex' and made['driver'] == 'bus' and made['bus'] == {'mix_minus': False}
    assert made['status']['state'] == 'available' and made['status']['rate_hz'] == 48000
    assert api.patch(made['endpoint_uri'], {'bus': {'mix_minus': True}})['bus'] == {'mix_minus': True}
    assert 'bus' in [d['name'] for d in api.get('/peers/self/drivers')]
    api.problem(400, 'POST', '/peers/self/endpoints', {'kind': 'bus', 'tone': {}})
    api.problem(400, 'POST', '/peers/self/endpoints', {'kind': 'tone', 'bus': {}})
    api.problem(400, 'PATCH', made['endpoint_uri'], {'kind': 'null'})


def test_several_in_a_row_carry_sound(api):
    first, second = bus(api, 'first'), bus(api, 'second', mix_minus=True)
    streams = [api.stream(api.tone(level_dbfs=-20), first, target_latency_ms=50),
               api.stream(first, second, target_latency_ms=50, member='first'),
               api.stream(second, api.sink(), target_latency_ms=50, member='listener')]
    for stream in streams:
        wait_until(lambda stream=stream: api.stream_is(stream, 'running', 'degraded'), 'the stream to run')
    uri = streams[-1]['stream_uri']
    wait_until(lambda: abs(max(api.get(uri)['status']['level_dbfs'], default=-120) + 20) < 1.5, 'the tone at the end')
    assert api.get(first['endpoint_uri'])['status']['active_streams'] == 2
    api.patch(uri, {'settings': {'member': 'first'}})
    wait_until(lambda: max(api.get(uri)['status']['level_dbfs'], default=0) <= -120 and
               api.stream_is(streams[-1], 'running', 'degraded'), 'silence for the only member')


def test_a_ring_is_refused_and_shown(api):
    a, b, c = (bus(api, name) for name in ('Alpha', 'Beta', 'Gamma'))
    api.stream(a, b)
    between = api.stream(b, c, enabled=False)
    problem = api.problem(409, 'POST', '/streams', stream_spec(c, a))
    assert 'Gamma → Alpha → Beta → Gamma' in problem['detail'], problem
    api.problem(409, 'POST', '/streams', stream_spec(b, a))
    side = api.stream(a, c)  # two ways to one place are no ring
    api.problem(409, 'PATCH', side['stream_uri'], {'source': {'connection_type': 'endpoint', 'endpoint_uri': c['endpoint_uri']},
                                                   'destination': {'connection_type': 'endpoint',
                                                                   'endpoint_uri': a['endpoint_uri']}})
    api.delete(between['stream_uri'])
    api.delete(side['stream_uri'])
    turned = api.stream(c, a)
    assert api.patch(turned['stream_uri'], {'display_name': 'back'})['display_name'] == 'back', 'no ring with itself'
    api.problem(400, 'POST', '/streams', stream_spec(a, a))


def test_a_ring_of_long_names_is_shown_in_whole_letters(api):
    a, b = bus(api, 'a' + 'é' * 60), bus(api)
    api.stream(a, b)
    detail = api.problem(409, 'POST', '/streams', stream_spec(b, a))['detail']
    assert 'aééé' in detail and '\ufffd' not in detail
    assert 'bus' in detail, 'what has no name is shown as in the list'


def test_members_have_names(api):
    mix = bus(api)
    stream = api.stream(api.tone(), mix, member='stage left')
    assert stream['settings']['member'] == 'stage left'
    assert api.patch(stream['stream_uri'], {'settings': {'member': None}})['settings']['member'] is None
    for bad in ('', 'x' * 65, 'é' * 33, 7, 'a\nb'):
        api.problem(400, 'PATCH', stream['stream_uri'], {'settings': {'member': bad}})
    assert api.patch(stream['stream_uri'], {'settings': {'member': 'é' * 32}})['settings']['member'] == 'é' * 32


def test_a_delay_is_for_what_is_heard(api):
    sink = api.sink(delay_ms=20)
    assert sink['delay_ms'] == 20
    stream = api.stream(api.tone(), sink, target_latency_ms=50)
    wait_until(lambda: api.stream_is(stream, 'running', 'degraded'), 'the stream to run')
    assert api.patch(sink['endpoint_uri'], {'delay_ms': 1500})['delay_ms'] == 1500
    latency = wait_until(lambda: (api.get(stream['stream_uri'])['status']['latency_ms']['end_to_end'] or 0) > 1500, 'it to be told')
    assert latency and api.get(stream['stream_uri'])['status']['state'] in ('running', 'degraded')
    for spec in ({'kind': 'tone', 'delay_ms': 1}, {'kind': 'bus', 'delay_ms': 1}, {'kind': 'null', 'delay_ms': 2001}):
        problem = api.problem(400, 'POST', '/peers/self/endpoints', spec)
        assert problem['errors'][0]['pointer'] == '/delay_ms'


def assert_levels(take, expected, seconds=0.5):
    """Somewhere in the recording each channel keeps its level for so long."""
    def is_heard():
        try:
            samples, rate = wav.read(take)
        except (FileNotFoundError, AssertionError, struct.error):
            return False
        fits = (np.abs(samples - np.array(expected)) < 0.005).all(axis=1)
        return max((n for _, n in wav.runs(fits)), default=0) >= seconds * rate
    wait_until(is_heard, f'the levels {expected}', deadline=60)


def player_of_levels(daemon, name, levels, rate):
    wav.write(daemon.media_dir / name, np.tile(levels, (2 * rate, 1)), rate)
    return daemon.api.player(name, loop=True)


def test_sixteen_channels_are_mapped(daemon):
    levels = [0.05 * (i + 1) for i in range(16)]
    source = player_of_levels(daemon, 'sixteen.wav', levels, 48000)
    take = daemon.api.recorder('take.wav', rate_hz=48000, channels=16)
    daemon.api.stream(source, take, encoding='l16/48000/16', channel_map=list(reversed(range(16))), target_latency_ms=200)
    assert_levels(daemon.media_dir / 'take.wav', levels[::-1])


@pytest.mark.parametrize('fec', ['rs8m', 'ldpc'])
def test_a_bus_transcodes(daemon, fec):
    """Into a bus at one rate, channel count, latency and without FEC, out of it at others, by Roc's protocol."""
    api = daemon.api
    ports = udp_ports(3)
    uris = roc_uris(ports, fec)
    source = player_of_levels(daemon, 'mono.wav', [0.25], 44100)
    mix, take = bus(api, 'Transcoder'), api.recorder('take.wav', rate_hz=96000, channels=2)
    api.stream(uris, take, fec=fec, encoding='l16/48000/2', target_latency_ms=300)
    api.stream(source, mix, encoding='l16/44100/1', target_latency_ms=50)
    out = api.stream(mix, uris, fec=fec, encoding='l16/48000/2', target_latency_ms=300)
    wait_until(lambda: api.stream_is(out, 'running'), 'the mix to be sent')
    assert_levels(daemon.media_dir / 'take.wav', [0.25, 0.25])

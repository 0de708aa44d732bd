# SPDX-License-Identifier: MPL-2.0
"""The latency of a stream, stage by stage: the sum is what is reported, and each says whether it was measured."""
from support.wait import wait_until

MEASURED = {'capture', 'network', 'jitter_buffer', 'playback'}


def check(latency, target_ms):
    stages = latency['stages']
    assert set(stages) == MEASURED | {'encode', 'fec_block', 'resampler'}
    assert abs(sum(s['ms'] for s in stages.values()) - latency['end_to_end']) < 0.01
    assert all(s['method'] == ('measured' if name in MEASURED else 'computed') for name, s in stages.items())
    assert latency['network'] == stages['network']['ms']
    assert latency['queue'] <= latency['end_to_end'] and 0 < latency['end_to_end'] < target_ms + 200


def test_within_a_peer(shared):
    api = shared.api
    stream = api.stream(api.tone(), api.sink(), target_latency_ms=100)
    latency = wait_until(lambda: (l := api.get(stream['stream_uri'])['status']['latency_ms']).get('method') == 'measured' and l,
                         'it to be measured')
    check(latency, 100)
    assert latency['network'] == 0 and latency['stages']['encode']['ms'] == 5
    assert latency['stages']['fec_block']['ms'] == 0  # nothing is lost on the way, so nothing is repaired
    metrics = api.call('GET', '/metrics').body.decode()
    assert f'rocd_stream_latency_stage_seconds{{stream="{stream["stream_uid"]}"' in metrics
    api.delete(stream['stream_uri'])


def test_a_stream_without_sound_has_none(shared):
    api = shared.api
    stream = api.stream(api.tone(), api.sink(), enabled=False)
    latency = api.get(stream['stream_uri'])['status']['latency_ms']
    assert latency['end_to_end'] is None and 'stages' not in latency and 'method' not in latency
    api.delete(stream['stream_uri'])

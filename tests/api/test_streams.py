# SPDX-License-Identifier: MPL-2.0
"""Streams: made, changed and removed; merge patches; states and reasons."""
import pytest

from support.client import stream_spec
from support.net import roc_uris
from support.wait import wait_until

NOWHERE = '/peers/self/endpoints/zzzzzz-zzzzzz-zzzzzz'
LISTEN = roc_uris([0, 0, 0])


@pytest.fixture
def pair(shared):
    source, sink = shared.api.tone(), shared.api.sink()
    yield source, sink
    for endpoint in (source, sink):
        shared.api.delete(endpoint['endpoint_uri'])


def test_life(shared, pair):
    api = shared.api
    reply = api.expect(201, 'POST', '/streams', stream_spec(*pair, display_name='Radio'))
    stream = reply.json
    uri = stream['stream_uri']
    assert reply.headers['Location'] == uri == f"/streams/{stream['stream_uid']}"
    assert reply.etag == '"1"' and stream['generation'] == 1 and stream['display_name'] == 'Radio'
    assert stream['settings']['fec'] == 'rs8m' and stream['settings']['target_latency_ms'] is None
    assert uri in [s['stream_uri'] for s in api.get('/streams')]
    running = wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    assert running['generation'] == 1, 'status is no change of the spec'
    wait_until(lambda: api.get(uri)['status']['packets']['received'] > 10, 'packets')
    assert max(wait_until(lambda: api.get(uri)['status']['level_dbfs'], 'a level')) <= 0
    api.delete(uri)
    api.problem(404, 'GET', uri)
    api.problem(404, 'DELETE', uri)
    wait_until(lambda: api.get(pair[0]['endpoint_uri'])['status']['active_streams'] == 0, 'the endpoint to be let go')


def test_merge_patch(shared, pair):
    api = shared.api
    stream = api.stream(*pair, gain_db=-3, target_latency_ms=150, channel_map=[1, 0])
    uri = stream['stream_uri']
    patched = api.patch(uri, {'settings': {'gain_db': -6}}, headers={'Content-Type': 'application/merge-patch+json'})
    assert patched['settings'] == {**stream['settings'], 'gain_db': -6}
    assert patched['generation'] == 2
    patched = api.patch(uri, {'settings': {'target_latency_ms': None, 'channel_map': None}})
    assert patched['settings'] == {**stream['settings'], 'gain_db': -6, 'target_latency_ms': None, 'channel_map': None}
    assert api.patch(uri, {'settings': {'channel_map': [-1, 0]}})['settings']['channel_map'] == [-1, 0]
    assert api.patch(uri, {'settings': None})['settings']['gain_db'] == 0
    assert api.patch(uri, {'display_name': 'x', 'enabled': False})['status']['state'] == 'stopped'
    assert api.patch(uri, {'display_name': None})['display_name'] == stream['display_name'], 'as if it had not been given'
    for patch, pointer in (({'source': None}, '/source'), ({'settings': {'gain_db': 13}}, '/settings/gain_db'),
                           ({'settings': {'nonsense': None}}, '/settings/nonsense'), ({'stream_uid': 'x'}, '/stream_uid'),
                           ({'settings': 7}, '/settings'), ({'source': {'endpoint_uri': None}}, '/source/endpoint_uri')):
        problem = api.problem(400, 'PATCH', uri, patch)
        assert pointer in [e['pointer'] for e in problem['errors']], (patch, problem)
    for patch in ([], 7, 'x', None):
        api.problem(400, 'PATCH', uri, data=b'null' if patch is None else None, body=patch)
    api.delete(uri)


def test_patching_a_connection(shared, pair):
    api = shared.api
    stream = api.stream(LISTEN, pair[1])
    uri = stream['stream_uri']
    patched = api.patch(uri, {'source': {'allowed_sources': ['127.0.0.1', '::1']}})
    assert patched['source'] == {**stream['source'], 'allowed_sources': ['127.0.0.1', '::1']}
    replaced = api.patch(uri, {'source': {'connection_type': 'endpoint', 'endpoint_uri': pair[0]['endpoint_uri']}})
    assert set(replaced['source']) == {'connection_type', 'endpoint_uri'}
    api.delete(uri)


def test_generations_guard(shared, pair):
    api = shared.api
    uri = api.stream(*pair, enabled=False)['stream_uri']
    api.patch(uri, {'display_name': 'a'}, headers={'If-Match': '"1"'})
    problem = api.problem(412, 'PATCH', uri, {'display_name': 'b'}, headers={'If-Match': '"1"'})
    assert problem['error_code'] == 'generation_mismatch'
    assert api.get(uri)['display_name'] == 'a'
    api.problem(412, 'PUT', uri, stream_spec(*pair), headers={'If-Match': '"1"'})
    api.problem(412, 'DELETE', uri, headers={'If-Match': '"1"'})
    api.problem(412, 'PATCH', uri, {}, headers={'If-Match': 'W/"2"'})
    api.problem(400, 'PATCH', uri, {}, headers={'If-Match': '2'})
    api.patch(uri, {'display_name': 'c'}, headers={'If-Match': '"1", "2"'})
    api.patch(uri, {'display_name': 'd'}, headers={'If-Match': '*'})
    api.delete(uri, headers={'If-Match': api.expect(200, 'GET', uri).etag})


def test_put(shared, pair):
    uri = '/streams/aaaaaa-bbbbbb-cccccc'
    spec = stream_spec(*pair, enabled=False)
    shared.api.problem(404, 'PUT', uri, spec)
    made = shared.api.put(uri, spec, 201, headers={'If-None-Match': '*'})
    assert made['stream_uri'] == uri and made['generation'] == 1
    shared.api.problem(412, 'PUT', uri, spec, headers={'If-None-Match': '*'})
    replaced = shared.api.put(uri, {**spec, 'settings': {'gain_db': 1}})
    assert replaced['generation'] == 2 and replaced['settings']['gain_db'] == 1
    assert shared.api.put(uri, spec)['settings']['gain_db'] == 0, 'what is left out gets its default'
    shared.api.delete(uri)


def test_waits_for_what_is_missing_and_starts_by_itself(daemon):
    api = daemon.api
    source, sink = api.tone(), api.sink()
    stream = api.stream(NOWHERE, sink)
    pending = wait_until(lambda: api.stream_is(stream, 'pending'), 'the stream to wait')
    assert pending['status']['conditions'], 'it says why'
    assert pending['status']['conditions'][0]['message']
    api.put(NOWHERE, {'kind': 'tone'}, 201, headers={'If-None-Match': '*'})
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to start by itself')
    api.patch(source['endpoint_uri'], {'display_name': 'not used'})
    api.patch(NOWHERE, {'enabled': False})
    wait_until(lambda: api.stream_is(stream, 'pending'), 'the stream to wait for the disabled endpoint')
    api.patch(NOWHERE, {'enabled': True})
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to go on')
    problem = api.problem(409, 'DELETE', NOWHERE)
    assert stream['stream_uid'] in problem['detail'] and 'force' in problem['detail']
    api.problem(400, 'DELETE', NOWHERE + '?force=perhaps')
    api.delete(NOWHERE + '?force=true')
    gone = wait_until(lambda: api.stream_is(stream, 'pending'), 'the stream to wait for the removed endpoint')
    assert gone['source']['endpoint_uri'].endswith('zzzzzz-zzzzzz-zzzzzz')


def test_disabled_and_enabled(shared, pair):
    api = shared.api
    stream = api.stream(*pair, enabled=False)
    assert stream['status']['state'] == 'stopped'
    api.patch(stream['stream_uri'], {'enabled': True})
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    api.patch(stream['stream_uri'], {'enabled': False})
    wait_until(lambda: api.stream_is(stream, 'stopped'), 'the stream to stop')
    api.delete(stream['stream_uri'])


def test_listens_where_it_says(shared, pair):
    api = shared.api
    stream = api.stream(LISTEN, pair[1])
    now = wait_until(lambda: (s := api.get(stream['stream_uri']))['status']['local_uris']['media'] and s, 'local_uris')
    local = now['status']['local_uris']
    assert local['media'].startswith('rtp+rs8m://127.0.0.1:') and not local['media'].endswith(':0')
    assert local['repair'].startswith('rs8m://127.0.0.1:') and local['control'].startswith('rtcp://127.0.0.1:')
    assert len({u.rsplit(':', 1)[1] for u in local.values()}) == 3
    api.delete(stream['stream_uri'])


def test_two_streams_on_one_port(shared, pair):
    api = shared.api
    first = api.stream(LISTEN, pair[1])
    local = wait_until(lambda: (u := api.get(first['stream_uri'])['status']['local_uris'])['media'] and u, 'local_uris')
    taken = {'media_uri': local['media'], 'repair_uri': local['repair'], 'control_uri': local['control']}
    reply = api.call('POST', '/streams', stream_spec(taken, pair[1]))
    if reply.status == 201:  # accepted, and then it says why it does not work
        stuck = wait_until(lambda: (s := api.get(reply.json['stream_uri']))['status']['conditions'] and s, 'a condition')
        assert stuck['status']['conditions'][0]['reason'] == 'PortInUse', stuck['status']
        api.delete(first['stream_uri'])
        wait_until(lambda: not api.get(stuck['stream_uri'])['status']['conditions'] or
                   api.get(stuck['stream_uri'])['status']['conditions'][0]['reason'] != 'PortInUse', 'the port to be free')
        api.delete(stuck['stream_uri'])
    else:
        assert reply.status == 409, reply
        api.delete(first['stream_uri'])


def test_directions_must_fit(shared, pair):
    source, sink = pair
    for wrong in ((sink, source), (source, source), (sink, sink)):
        reply = shared.api.call('POST', '/streams', stream_spec(*wrong))
        assert reply.status in (400, 409), reply


def test_several_streams_into_one_sink(shared, pair):
    api = shared.api
    streams = [api.stream(*pair) for _ in range(4)]
    for stream in streams:
        wait_until(lambda s=stream: api.stream_is(s, 'running'), 'all to run')
    assert api.get(pair[1]['endpoint_uri'])['status']['active_streams'] == 4
    for stream in streams:
        api.delete(stream['stream_uri'])


def test_several_streams_out_of_one_source_share_an_encoder(shared):
    api = shared.api
    tone = api.tone()

    def encoders():
        return api.get(tone['endpoint_uri'])['status'].get('encoders')
    streams = [api.stream(tone, api.sink(), target_latency_ms=target_ms) for target_ms in (100, 100, 200)]
    wait_until(lambda: all(api.stream_is(s, 'running') for s in streams) and encoders() == 1, 'one encoder for all')
    streams.append(api.stream(tone, api.sink(), target_latency_ms=100, packet_length_ms=2.5))
    wait_until(lambda: api.stream_is(streams[-1], 'running') and encoders() == 2, 'one of its own, as the packets are others')
    for stream in streams:
        api.delete(stream['stream_uri'])
    wait_until(lambda: encoders() is None, 'it to be out of use')

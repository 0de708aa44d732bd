# SPDX-License-Identifier: MPL-2.0
"""Endpoints: made, changed and removed; what they show."""
import base64
import hashlib
import string
import pytest

from support import wav
from support.wait import wait_until

ENDPOINTS = '/peers/self/endpoints'


def test_what_is_made_is_shown(shared):
    api = shared.api
    reply = api.expect(201, 'POST', ENDPOINTS, {'kind': 'tone', 'display_name': 'Beep', 'tone': {'frequency_hz': 1000}})
    made = reply.json
    peer = api.get('/peers/self')['peer_uid']
    assert reply.headers['Location'] == made['endpoint_uri'] == f"/peers/{peer}/endpoints/{made['endpoint_uid']}"
    assert reply.etag == f'"{made["generation"]}"' == '"1"'
    assert made['tone'] == {'waveform': 'sine', 'frequency_hz': 1000, 'level_dbfs': -20, 'interval_ms': 1000}
    assert made['endpoint_type'] == 'streaming_device' and made['stream_direction'] == 'input'
    assert made['driver'] == 'tone' and made['peer_uid'] == peer
    assert api.expect(200, 'GET', made['endpoint_uri']).etag == reply.etag
    assert made['endpoint_uid'] in [e['endpoint_uid'] for e in api.get(ENDPOINTS)]
    assert api.get(f"{ENDPOINTS}/{made['endpoint_uid']}")['endpoint_uri'] == made['endpoint_uri']
    api.delete(made['endpoint_uri'])
    api.problem(404, 'GET', made['endpoint_uri'])
    api.problem(404, 'DELETE', made['endpoint_uri'])


def test_lists_are_sorted(daemon):
    for i in range(8):
        daemon.api.tone(frequency_hz=100 + i)
    uids = [e['endpoint_uid'] for e in daemon.api.get(ENDPOINTS)]
    assert len(uids) == 8 and uids == sorted(uids)


@pytest.mark.parametrize('spec, direction', [
    ({'kind': 'tone'}, 'input'),
    ({'kind': 'null'}, 'output'),
    ({'kind': 'null', 'null': {'direction': 'input'}}, 'input'),
    ({'kind': 'null', 'null': {'direction': 'output'}}, 'output'),
    ({'kind': 'file', 'file': {'name': 'a.wav'}}, 'input'),
    ({'kind': 'file', 'file': {'name': 'a.wav', 'mode': 'record'}}, 'output'),
])
def test_directions(shared, spec, direction):
    made = shared.api.post(ENDPOINTS, spec)
    assert made['stream_direction'] == direction
    shared.api.delete(made['endpoint_uri'])


@pytest.mark.parametrize('kind', ['device', 'default'])
def test_a_device_is_named_by_what_it_is(shared, kind):
    problem = shared.api.problem(400, 'POST', ENDPOINTS, {'kind': kind})
    assert problem['errors'][0]['pointer'] == '/device', problem


def test_a_member_of_another_kind_is_named(shared):
    device = {'driver': 'pipewire', 'system_name': 'x', 'direction': 'output'}
    problem = shared.api.problem(400, 'POST', ENDPOINTS, {'kind': 'tone', 'device': device})
    assert problem['errors'][0]['pointer'] == '/device' and 'tone' in problem['detail'], problem


def test_what_is_not_built_yet_is_refused_by_name(shared):
    problem = shared.api.problem(400, 'POST', ENDPOINTS, {'kind': 'app'})
    assert problem['error_code'] == 'unsupported' and 'app' in problem['detail'], problem


@pytest.mark.parametrize('kind', ['virtual_speaker', 'virtual_microphone'])
def test_a_virtual_device_waits_for_its_sound_server(shared, kind):
    """Without PipeWire in this build it is refused by name."""
    if not any(kind in driver['kinds'] for driver in shared.api.get('/peers/self/drivers')):
        problem = shared.api.problem(400, 'POST', ENDPOINTS, {'kind': kind})
        assert problem['error_code'] == 'unsupported' and kind in problem['detail'], problem
        return
    made = shared.api.post(ENDPOINTS, {'kind': kind})
    assert made['status']['state'] == 'unavailable' and made['virtual'] == {'idle': 'auto'}, made
    ready = shared.api.get('/readyz')
    assert ready['ready'] and 'pipewire' in [r['name'] for r in ready['reasons']], ready
    shared.api.delete(made['endpoint_uri'])


def test_patch_and_generations(shared):
    api = shared.api
    made = api.tone(frequency_hz=500)
    uri = made['endpoint_uri']
    changed = api.patch(uri, {'tone': {'level_dbfs': -30}, 'display_name': 'New'})
    assert changed['tone'] == {**made['tone'], 'level_dbfs': -30} and changed['display_name'] == 'New'
    assert changed['generation'] == 2
    back = api.patch(uri, {'tone': {'level_dbfs': None}}, headers={'If-Match': '"2"'})
    assert back['tone']['level_dbfs'] == -20 and back['generation'] == 3
    problem = api.problem(412, 'PATCH', uri, {'enabled': False}, headers={'If-Match': '"2"'})
    assert problem['error_code'] == 'generation_mismatch'
    assert api.patch(uri, {'enabled': False})['status']['state'] == 'disabled'
    assert api.patch(uri, {'kind': 'tone'})['kind'] == 'tone'
    assert api.problem(400, 'PATCH', uri, {'kind': 'null'})['errors'][0]['pointer'] == '/kind'
    assert api.problem(400, 'PUT', uri, {'kind': 'null'})['errors'][0]['pointer'] == '/kind'
    whole = api.put(uri, {'kind': 'tone'})
    assert whole['enabled'] and whole['tone']['frequency_hz'] == 440
    api.problem(412, 'DELETE', uri, headers={'If-Match': '"1"'})
    api.delete(uri, headers={'If-Match': f'"{whole["generation"]}"'})


def test_put_makes_under_a_given_uid(shared):
    uri = ENDPOINTS + '/aaaaaa-bbbbbb-cccccc'
    shared.api.problem(404, 'PUT', uri, {'kind': 'tone'})
    made = shared.api.put(uri, {'kind': 'tone'}, 201, headers={'If-None-Match': '*'})
    assert made['endpoint_uid'] == 'aaaaaa-bbbbbb-cccccc'
    shared.api.problem(412, 'PUT', uri, {'kind': 'tone'}, headers={'If-None-Match': '*'})
    shared.api.delete(uri)


def test_a_file_may_come_later(daemon):
    player = daemon.api.player('later/song.wav')
    assert player['status']['state'] in ('available', 'unavailable')
    uri = player['endpoint_uri']
    now = wait_until(lambda: (e := daemon.api.get(uri))['status']['state'] == 'unavailable' and e, 'unavailable')
    assert now['status']['reason'] == 'FileMissing' and 'song.wav' in now['status']['message']
    wav.write(daemon.media_dir / 'later/song.wav', wav.telltale(44100, 1), 44100)
    wait_until(lambda: daemon.api.get(uri)['status']['state'] == 'available', 'the file to be seen')


def uid_of(public_key):
    """The reproducible uid of a peer: SHA-256 of a tag and its key, 18 bytes of it as letters and digits."""
    letters = string.ascii_lowercase + string.digits
    text = ''.join(letters[b % 36] for b in hashlib.sha256(b'\x01' + public_key).digest()[:18])
    return '-'.join(text[i:i + 6] for i in (0, 6, 12))


def key_of(node_id):
    """The public key in a node id: base32, and 20 bits of SHA-256 that tell a slip."""
    groups = node_id.split('-')
    assert len(node_id) == 63 and [len(group) for group in groups] == [7] * 8
    text = ''.join(groups)
    key = base64.b32decode(text[:52].upper() + '====')
    assert base64.b32encode(hashlib.sha256(b'rocd node id' + key).digest()).decode().lower()[:4] == text[52:]
    return key


def test_peer(daemon):
    api = daemon.api
    peer, = api.get('/peers')
    assert peer['state'] == 'online' and peer == {**api.get('/peers/self'), 'uptime_s': peer['uptime_s']}
    assert {'file', 'tone', 'null'} <= set(peer['drivers'])
    key = key_of(peer['node_id'])
    assert uid_of(key) == peer['peer_uid'] and key == (daemon.state_dir / 'peer.key').read_bytes()[32:]
    assert peer['address'] == daemon.address
    renamed = api.patch('/peers/self', {'name': 'Küche'}, headers={'If-Match': f'"{peer["generation"]}"'})
    assert renamed['name'] == 'Küche' and renamed['generation'] == peer['generation'] + 1
    for name in ('', 'x' * 129, 'a\nb', 7, None):
        api.problem(400, 'PATCH', '/peers/self', {'name': name})


def test_drivers_tell_what_can_be_made(shared):
    drivers = {d['name']: d for d in shared.api.get('/peers/self/drivers')}
    assert set(drivers) == set(shared.api.get('/peers/self')['drivers'])
    for kind in ('file', 'tone', 'null'):
        assert kind in drivers[kind]['kinds'] and drivers[kind]['available'], drivers[kind]
    assert 'wav' in drivers['file']['limits']['formats']

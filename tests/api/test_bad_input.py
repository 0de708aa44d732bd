# SPDX-License-Identifier: MPL-2.0
"""What people and programs get wrong, and what somebody may try on purpose. Each is refused with a sentence, and the
daemon goes on."""
import contextlib
import json
import os
import socket

import pytest

from support import wav
from support.client import stream_spec
from support.wait import wait_until

ENDPOINTS = '/peers/self/endpoints'
NOWHERE = {'connection_type': 'endpoint', 'endpoint_uri': ENDPOINTS + '/zzzzzz-zzzzzz-zzzzzz'}
EXTERNAL = {'connection_type': 'external', 'media_uri': 'rtp://127.0.0.1:9'}
SPEC = {'source': NOWHERE, 'destination': EXTERNAL, 'settings': {'fec': 'none'}}


def nested(n, opening='{"a":', closing='}', inside='1'):
    return (opening * n + inside + closing * n).encode()


MALFORMED = {
    'empty': b'', 'space': b'  \n', 'half': b'{"kind":', 'word': b'tone', 'single quotes': b"{'kind': 'tone'}",
    'trailing comma': b'{"kind": "tone",}', 'comment': b'{"kind": "tone"} // x', 'two values': b'{"kind": "tone"}{}',
    'NaN': b'{"kind": "tone", "tone": {"level_dbfs": NaN}}', 'infinity': b'{"kind":"tone","tone":{"level_dbfs":-Infinity}}',
    'hex': b'{"kind": "tone", "rate_hz": 0xBB80}', 'leading zero': b'{"kind": "tone", "rate_hz": 048000}',
    'byte order mark': b'\xef\xbb\xbf{"kind": "tone"}', 'not UTF-8': b'{"kind": "tone", "display_name": "\xff\xfe"}',
    'overlong': b'{"kind": "tone", "display_name": "\xc0\x80"}', 'surrogate': b'{"kind":"tone","display_name":"\xed\xa0\x80"}',
    'lone surrogate': b'{"kind": "tone", "display_name": "\\ud800"}', 'control': b'{"kind": "tone", "display_name": "a\x01b"}',
    'bad escape': b'{"kind": "\\x74one"}', 'NUL': b'{"kind": "tone"}\x00', 'UTF-16': '{"kind": "tone"}'.encode('utf-16'),
    'deep objects': nested(17), 'deep arrays': nested(17, '[', ']'), 'very deep': nested(30000, '[', ']', ''),
    'deep and open': b'[' * 60000,
}


@pytest.mark.parametrize('name', MALFORMED)
def test_malformed(shared, name):
    problem = shared.api.problem(400, 'POST', ENDPOINTS, data=MALFORMED[name])
    assert problem['error_code'] in ('malformed_json', 'invalid_request'), problem


def test_oversized(shared):
    api = shared.api
    spec = json.dumps({'kind': 'tone'}).encode()
    api.problem(413, 'POST', ENDPOINTS, data=spec + b' ' * (65537 - len(spec)))
    api.problem(413, 'POST', '/streams', data=b'x' * 1_000_000)
    made = api.post(ENDPOINTS, data=spec + b' ' * (65536 - len(spec)))
    api.delete(made['endpoint_uri'])


DUPLICATES = [b'{"kind": "tone", "kind": "tone"}', b'{"kind": "tone", "tone": {"level_dbfs": -3, "level_dbfs": -3}}',
              b'{"kind": "tone", "k\\u0069nd": "null"}']


@pytest.mark.parametrize('body', DUPLICATES)
def test_duplicates(shared, body):
    problem = shared.api.problem(400, 'POST', ENDPOINTS, data=body)
    assert problem['errors'], problem


WRONG_ENDPOINTS = [
    ({}, '/kind'), ({'kind': None}, '/kind'), ({'kind': 'spoon'}, '/kind'), ({'kind': ['tone']}, '/kind'),
    ({'kind': 'tone', 'spoon': 1}, '/spoon'), ({'kind': 'tone', 'tone': {'spoon': 1}}, '/tone/spoon'),
    ({'kind': 'tone', 'a/b~c': 1}, '/a~1b~0c'),
    ({'kind': 'tone', 'enabled': 1}, '/enabled'), ({'kind': 'tone', 'enabled': 'true'}, '/enabled'),
    ({'kind': 'tone', 'rate_hz': 7999}, '/rate_hz'), ({'kind': 'tone', 'rate_hz': 192001}, '/rate_hz'),
    ({'kind': 'tone', 'rate_hz': 48000.5}, '/rate_hz'), ({'kind': 'tone', 'rate_hz': '48000'}, '/rate_hz'),
    ({'kind': 'tone', 'rate_hz': 2**63}, '/rate_hz'), ({'kind': 'tone', 'rate_hz': -2**31 - 1}, '/rate_hz'),
    ({'kind': 'tone', 'channels': 0}, '/channels'), ({'kind': 'tone', 'channels': 17}, '/channels'),
    ({'kind': 'tone', 'display_name': 'x' * 129}, '/display_name'), ({'kind': 'tone', 'display_name': 'ö' * 65}, '/display_name'),
    ({'kind': 'tone', 'display_name': 'a\u0000b'}, '/display_name'), ({'kind': 'tone', 'display_name': 'a\nb'}, '/display_name'),
    ({'kind': 'tone', 'display_name': 7}, '/display_name'), ({'kind': 'tone', 'tone': []}, '/tone'),
    ({'kind': 'tone', 'tone': {'level_dbfs': 0.1}}, '/tone/level_dbfs'),
    ({'kind': 'tone', 'tone': {'level_dbfs': -121}}, '/tone/level_dbfs'),
    ({'kind': 'tone', 'tone': {'frequency_hz': 0}}, '/tone/frequency_hz'),
    ({'kind': 'tone', 'tone': {'frequency_hz': 1e300}}, '/tone/frequency_hz'),
    ({'kind': 'tone', 'endpoint_uid': 'aaaaaa-aaaaaa-aaaaaa'}, '/endpoint_uid'),
    ({'kind': 'tone', 'file': {'name': 'a.wav'}}, '/file'), ({'kind': 'file'}, '/file'),
    ({'kind': 'file', 'file': {}}, '/file/name'),
    *[({'kind': 'file', 'file': {'name': name}}, '/file/name') for name in (
        '', '/etc/passwd', '../x.wav', 'a/../../x.wav', 'a/..', '.', '..', './x.wav', 'a//b.wav', 'a/', 'a\\b.wav', 'a\tb.wav',
        'x' * 252 + '.wav', 'a\u0000.wav', 7, None)],
    ({'kind': 'file', 'file': {'name': 'a.wav', 'format': 'exe'}}, '/file/format'),
    ({'kind': 'file', 'file': {'name': 'a.wav', 'mode': 'both'}}, '/file/mode'),
]


@pytest.mark.parametrize('body, pointer', WRONG_ENDPOINTS, ids=[f'{i}{p}' for i, (_, p) in enumerate(WRONG_ENDPOINTS)])
def test_wrong_endpoints(shared, body, pointer):
    problem = shared.api.problem(400, 'POST', ENDPOINTS, body)
    assert pointer in [e['pointer'] for e in problem['errors']], problem


def uris(**given):
    return {'source': NOWHERE, 'destination': {'connection_type': 'external', **given}}


RS8M = {'media_uri': 'rtp+rs8m://127.0.0.1:1', 'repair_uri': 'rs8m://127.0.0.1:2'}
WRONG_STREAMS = [
    ({'source': NOWHERE}, '/destination'), ({**SPEC, 'spoon': 1}, '/spoon'),
    ({**SPEC, 'source': {}}, '/source/connection_type'), ({**SPEC, 'source': {'connection_type': 'spoon'}}, '/source/connection_type'),
    ({**SPEC, 'source': 'x'}, '/source'), ({**SPEC, 'source': {'connection_type': 'endpoint'}}, '/source/endpoint_uri'),
    ({**SPEC, 'source': {**NOWHERE, 'media_uri': 'rtp://127.0.0.1:1'}}, '/source/media_uri'),
    *[({**SPEC, 'source': {'connection_type': 'endpoint', 'endpoint_uri': uri}}, '/source/endpoint_uri') for uri in (
        '', '/', 'zzzzzz-zzzzzz-zzzzzz', '/endpoints/zzzzzz-zzzzzz-zzzzzz', ENDPOINTS, ENDPOINTS + '/x',
        ENDPOINTS + '/ZZZZZZ-zzzzzz-zzzzzz', '/peers/x/endpoints/zzzzzz-zzzzzz-zzzzzz', 'http://127.0.0.1' + ENDPOINTS,
        ENDPOINTS + '/zzzzzz-zzzzzz-zzzzzz/x', 'x' * 321)],
    *[(uris(media_uri=uri), '/destination/media_uri') for uri in (
        '', 'rtp', 'rtp:', 'rtp://', 'rtp://127.0.0.1', 'rtp://127.0.0.1:', 'rtp://:1', 'rtp://127.0.0.1:0', 'rtp://127.0.0.1:65536',
        'rtp://127.0.0.1:-1', 'rtp://127.0.0.1:1x', 'rtp://127.0.0.1:1/', 'rtp://127.0.0.1:1/path', 'rtp://127.0.0.1:1?q=1',
        'rtp://user@127.0.0.1:1', 'rtsp://127.0.0.1:1', 'http://127.0.0.1:1', 'file:///etc/passwd', 'RS8M://127.0.0.1:1',
        'rtp://[::1:1', 'rtp://::1:1', 'rtp://[127.0.0.1]:1', 'rtp://a b:1', 'rtp+xyz://127.0.0.1:1', 'rtp://127.0.0.1:1 ',
        'rtp://%31:1')],
    (uris(media_uri='rtp+rs8m://127.0.0.1:1'), '/destination/repair_uri'),
    (uris(media_uri='rtp+rs8m://127.0.0.1:1', repair_uri='ldpc://127.0.0.1:2'), '/destination/repair_uri'),
    (uris(media_uri='rtp+ldpc://127.0.0.1:1', repair_uri='rs8m://127.0.0.1:2'), '/destination/repair_uri'),
    (uris(media_uri='rtp://127.0.0.1:1', repair_uri='rs8m://127.0.0.1:2'), '/destination/repair_uri'),
    (uris(**RS8M, control_uri='rs8m://127.0.0.1:3'), '/destination/control_uri'),
    (uris(**RS8M, control_uri='rtcp://127.0.0.1'), '/destination/control_uri'),
    ({'source': {**EXTERNAL, 'allowed_sources': ['localhost']}, 'destination': NOWHERE}, '/source/allowed_sources/0'),
    ({'source': {**EXTERNAL, 'allowed_sources': ['127.0.0.1'] * 9}, 'destination': NOWHERE}, '/source/allowed_sources'),
    *[({**SPEC, 'settings': {name: value}}, '/settings/' + name) for name, value in (
        ('target_latency_ms', 4), ('target_latency_ms', 5001), ('target_latency_ms', 'low'), ('fec', 'xor'), ('gain_db', 12.1),
        ('gain_db', -61), ('packet_length_ms', 0.4), ('packet_length_ms', 101), ('encoding', ''), ('encoding', 'x' * 33),
        ('channel_map', [16]), ('channel_map', [-2]), ('channel_map', [0] * 17), ('channel_map', [0.5]), ('muted', 0),
        ('latency_profile', 'fast'), ('fec_block_source_packets', 0), ('spoon', 1))],
]


@pytest.mark.parametrize('body, pointer', WRONG_STREAMS, ids=[f'{i}{p}' for i, (_, p) in enumerate(WRONG_STREAMS)])
def test_wrong_streams(shared, body, pointer):
    problem = shared.api.problem(400, 'POST', '/streams', body)
    assert any(e['pointer'].startswith(pointer) for e in problem['errors']), problem


@pytest.mark.parametrize('setting, value', [('transport', 'p2p'), ('transport', 'relay'), ('encoding', 'opus/48000/2'),
                                            ('encoding', 'l24/48000/2'), ('encryption', 'required')])
def test_what_is_not_built_yet_is_refused_by_name(shared, setting, value):
    problem = shared.api.problem(400, 'POST', '/streams', {**SPEC, 'settings': {'fec': 'none', setting: value}})
    assert any(setting in e['pointer'] for e in problem['errors']), problem


def test_all_mistakes_are_told_at_once(shared):
    problem = shared.api.problem(400, 'POST', ENDPOINTS, {'kind': 'tone', 'rate_hz': 1, 'channels': 99, 'spoon': {}})
    assert {'/rate_hz', '/channels', '/spoon'} <= {e['pointer'] for e in problem['errors']}


@pytest.mark.parametrize('uid', ['x', 'AAAAAA-aaaaaa-aaaaaa', 'aaaaaa-aaaaaa-aaaaa', 'aaaaaa_aaaaaa_aaaaaa', 'aaaaaa-aaaaaa-aaaaaaa',
                                 'self', '%00', '..', '%2e%2e', '%2fetc', 'aaaaaa-aaaaaa-aaaaa%0a', '%', '%zz', 'ö'])
def test_bad_uids(shared, uid):
    quoted = uid.encode().replace('ö'.encode(), b'%c3%b6').decode()
    for path in (f'/streams/{quoted}', f'{ENDPOINTS}/{quoted}'):
        reply = shared.api.call('GET', path)
        assert reply.status in (400, 404), reply
    if uid != 'self':
        assert shared.api.call('GET', f'/peers/{quoted}').status in (400, 404)


def test_files_outside_the_media_directory(daemon, workdir):
    secret = workdir / 'secret.wav'
    wav.write(secret, wav.telltale(44100, 1), 44100)
    os.symlink(secret, daemon.media_dir / 'link.wav')
    os.symlink(workdir, daemon.media_dir / 'dir')
    api = daemon.api
    sink = api.sink()
    for name in ('link.wav', 'dir/secret.wav'):
        reply = api.call('POST', ENDPOINTS, {'kind': 'file', 'file': {'name': name}})
        if reply.status == 201:  # the link may have come later: then it is found when it is opened
            stream = api.stream(reply.json, sink)
            wait_until(lambda s=stream: api.stream_is(s, 'pending', 'failed'), 'the stream to be refused')
            assert api.get(stream['stream_uri'])['status']['packets']['received'] == 0
        else:
            assert reply.status == 400, reply
    before = secret.read_bytes()
    recorder = api.call('POST', ENDPOINTS, {'kind': 'file', 'file': {'name': 'link.wav', 'mode': 'record', 'on_existing': 'overwrite'}})
    if recorder.status == 201:
        stream = api.stream(api.tone(), recorder.json)
        wait_until(lambda: api.stream_is(stream, 'pending', 'failed'), 'the recording to be refused')
    assert secret.read_bytes() == before


def test_a_link_is_told_before_anything_uses_it(daemon, workdir):
    (workdir / 'secret').mkdir()
    os.symlink(workdir / 'secret', daemon.media_dir / 'dir')
    os.symlink(workdir / 'secret/x.wav', daemon.media_dir / 'link.wav')
    (daemon.media_dir / 'inside').mkdir()
    api = daemon.api
    for name in ('link.wav', 'dir/x.wav', 'dir/sub/x.wav'):
        for mode in ('play', 'record'):
            endpoint = api.post(ENDPOINTS, {'kind': 'file', 'file': {'name': name, 'mode': mode, 'on_existing': 'overwrite'}})
            uri = endpoint['endpoint_uri']
            status = wait_until(lambda u=uri: (s := api.get(u)['status'])['state'] == 'error' and s, f'{name} to be refused')
            assert name in status['message'] and 'symbolic link' in status['message']
    assert not list((workdir / 'secret').iterdir())
    kept = api.post(ENDPOINTS, {'kind': 'file', 'file': {'name': 'inside/x.wav', 'mode': 'record'}})
    stream = api.stream(api.tone(), kept)
    wait_until(lambda: api.stream_is(stream, 'running'), 'a recording inside to run')


def test_a_recording_waits_for_its_directory(daemon):
    api = daemon.api
    recorder = api.post(ENDPOINTS, {'kind': 'file', 'file': {'name': 'takes/today/x.wav', 'mode': 'record'}})
    stream = api.stream(api.tone(), recorder)
    waits = wait_until(lambda: (s := api.stream_is(stream, 'pending')) and s['status']['conditions'] and s, 'it to wait')
    assert "no directory 'takes/today'" in waits['status']['conditions'][0]['message'], waits['status']
    (daemon.media_dir / 'takes/today').mkdir(parents=True)
    wait_until(lambda: api.stream_is(stream, 'running'), 'the recording to start by itself')


def test_a_stream_waits_for_its_file_and_starts_by_itself(daemon):
    api = daemon.api
    stream = api.stream(api.player('song.wav', loop=True), api.sink())
    waits = wait_until(lambda: (s := api.stream_is(stream, 'pending')) and s['status']['conditions'] and s, 'it to wait')
    condition = waits['status']['conditions'][0]
    assert condition['reason'] == 'FileMissing' and condition['type'] == 'Source' and 'song.wav' in condition['message']
    aside = daemon.media_dir / 'song.part'
    wav.write(aside, wav.telltale(48000, 1), 48000)
    aside.rename(daemon.media_dir / 'song.wav')
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to start by itself')


def test_a_port_that_another_program_has(daemon):
    api = daemon.api
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind(('127.0.0.1', 0))
    port = other.getsockname()[1]
    try:
        spec = stream_spec({'media_uri': f'rtp://127.0.0.1:{port}'}, api.sink(), fec='none')
        stream = api.post('/streams', spec)
        waits = wait_until(lambda: (s := api.stream_is(stream, 'pending')) and s['status']['conditions'] and s, 'it to wait')
        condition = waits['status']['conditions'][0]
        assert condition['reason'] == 'PortInUse' and str(port) in condition['message'], condition
    finally:
        other.close()
    wait_until(lambda: not (s := api.get(stream['stream_uri'])['status'])['conditions'] or
               s['conditions'][0]['reason'] == 'NoMedia', 'the stream to listen once the port is free')


def test_a_file_that_is_no_sound(daemon):
    (daemon.media_dir / 'text.wav').write_text('this is not sound\n' * 100)
    (daemon.media_dir / 'empty.wav').write_bytes(b'')
    (daemon.media_dir / 'directory.wav').mkdir()
    os.mkfifo(daemon.media_dir / 'fifo.wav')
    api = daemon.api
    sink = api.sink()
    for name in ('text.wav', 'empty.wav', 'directory.wav', 'fifo.wav'):
        player = api.player(name)
        stream = api.stream(player, sink)
        now = wait_until(lambda s=stream: (n := api.stream_is(s, 'pending', 'failed')) and n['status']['conditions'] and n, name)
        assert now['status']['conditions'][0]['message'], now['status']
        api.delete(stream['stream_uri'])
    api.get('/healthz')


def test_a_file_that_shrinks_while_it_plays(daemon):
    path = daemon.media_dir / 'song.wav'
    wav.write(path, wav.telltale(48000, 60), 48000)
    api = daemon.api
    stream = api.stream(api.player('song.wav', loop=True), api.sink())
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    os.truncate(path, 100_000)
    os.truncate(path, 10)
    moved = api.get(stream['stream_uri'])['status']['packets']['received']
    wait_until(lambda: api.get(stream['stream_uri'])['status']['packets']['received'] > moved or
               api.stream_is(stream, 'pending', 'failed', 'stopped'), 'it to go on, or to say that it cannot')
    daemon.assert_alive()


def raw(address, data, deadline=30):
    """Whatever comes back for these bytes."""
    host, port = address.rsplit(':', 1)
    with socket.create_connection((host, int(port)), timeout=deadline) as s:
        s.sendall(data)
        with contextlib.suppress(OSError):  # it may have hung up already, and what it said is still to be read
            s.shutdown(socket.SHUT_WR)
        answer = b''
        try:
            while chunk := s.recv(65536):
                answer += chunk
        except ConnectionError:
            pass
        return answer


@pytest.mark.parametrize('headers', ['Host: evil.example', 'Host: 127.0.0.1.evil.example', 'Host: ', 'Host: localhost@evil.example'])
def test_a_foreign_host_is_refused(shared, headers):
    answer = raw(shared.address, f'GET /version HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n'.encode())
    assert answer.split(b' ')[1] in (b'421', b'400', b'403'), answer


@pytest.mark.parametrize('headers', [{'Origin': 'http://evil.example'}, {'Origin': 'null'}, {'Sec-Fetch-Site': 'cross-site'}])
def test_foreign_pages_write_nothing(shared, headers):
    n = len(shared.api.get(ENDPOINTS))
    shared.api.problem(403, 'POST', ENDPOINTS, {'kind': 'tone'}, headers=headers)
    assert len(shared.api.get(ENDPOINTS)) == n


@pytest.mark.parametrize('request_line', [
    b'GET', b'GET /', b'GET / HTTP/9.9', b'\x00\x01\x02', b'GET /' + b'a' * 20000 + b' HTTP/1.1', b'GET  /version HTTP/1.1',
    b'GET http://evil.example/version HTTP/1.1', b'CONNECT evil.example:80 HTTP/1.1'])
def test_broken_requests(shared, request_line):
    answer = raw(shared.address, request_line + b'\r\nHost: ' + shared.address.encode() + b'\r\nConnection: close\r\n\r\n')
    assert answer == b'' or answer.startswith(b'HTTP/1.'), answer[:100]
    assert not answer or int(answer.split(b' ')[1]) >= 400 or request_line.startswith(b'GET http'), answer[:200]
    shared.api.get('/healthz')


def test_problems_hold_no_markup_of_the_caller(shared):
    problem = shared.api.call('GET', '/<script>alert(1)</script>')
    assert problem.status == 404 and problem.headers['Content-Type'].startswith('application/problem+json')
    assert problem.headers.get('X-Content-Type-Options') == 'nosniff'

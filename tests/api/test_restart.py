# SPDX-License-Identifier: MPL-2.0
"""What was acknowledged is there again, whatever happened in between."""
import random
import resource
import signal
import threading

import pytest
import requests

from support.wait import wait_until

ENDPOINTS = '/peers/self/endpoints'
SPEC = ('generation', 'display_name', 'kind', 'enabled', 'source', 'destination', 'settings', 'tone', 'null', 'file', 'rate_hz',
        'channels', 'endpoint_uid', 'stream_uid')


def spec_of(thing):
    return {key: thing[key] for key in SPEC if key in thing}


def everything(api):
    return ([spec_of(e) for e in api.get(ENDPOINTS)], [spec_of(s) for s in api.get('/streams')],
            {k: api.get('/peers/self')[k] for k in ('peer_uid', 'name', 'generation')})


def furnish(api):
    tone, sink = api.tone(frequency_hz=333), api.sink()
    player = api.player('a/b.wav', loop=True)
    running = api.stream(tone, sink, gain_db=-3, channel_map=[1, 0], target_latency_ms=120, display_name='läuft')
    api.stream(player, sink, enabled=False)
    api.stream('/peers/self/endpoints/zzzzzz-zzzzzz-zzzzzz', {'media_uri': 'rtp://127.0.0.1:9'}, fec='none')
    api.patch(tone['endpoint_uri'], {'display_name': 'again'})
    api.patch('/peers/self', {'name': 'Bench'})
    gone = api.tone()
    api.delete(gone['endpoint_uri'])
    return running


@pytest.mark.parametrize('how', ['SIGTERM', 'kill -9'])
def test_everything_is_there_again(daemon, how):
    running = furnish(daemon.api)
    wait_until(lambda: daemon.api.stream_is(running, 'running'), 'the stream to run')
    before = everything(daemon.api)
    daemon.stop() if how == 'SIGTERM' else daemon.kill()
    daemon.start()
    assert everything(daemon.api) == before
    wait_until(lambda: daemon.api.stream_is(running, 'running'), 'the stream to come back by itself')


@pytest.mark.slow
def test_no_acknowledged_write_is_lost(daemon):
    """Writers write until the daemon is killed at a random moment. Each keeps what the last acknowledged value was, and
    the one it was sending."""
    rng = random.Random(20261125)
    uris = [daemon.api.tone()['endpoint_uri'] for _ in range(4)]
    acknowledged = dict.fromkeys(uris, 0)
    sending = dict.fromkeys(uris, 0)

    def write(uri, address):
        session = requests.Session()
        session.trust_env = False
        while True:
            value = sending[uri] = acknowledged[uri] + 1
            try:
                reply = session.patch(f'http://{address}{uri}', json={'display_name': str(value)}, timeout=30)
            except requests.RequestException:
                return
            assert reply.status_code == 200, reply.text
            acknowledged[uri] = value

    for _ in range(6):
        threads = [threading.Thread(target=write, args=(uri, daemon.address)) for uri in uris]
        for thread in threads:
            thread.start()
        at_start = sum(acknowledged.values())
        goal = at_start + rng.randrange(5, 150)
        wait_until(lambda: sum(acknowledged.values()) >= goal, 'some writes', pause=0.001)
        daemon.kill()
        for thread in threads:
            thread.join(60)
        daemon.start()
        for uri in uris:
            found = int(daemon.api.get(uri)['display_name'])
            assert acknowledged[uri] <= found <= sending[uri], f'{uri}: {found} is there, {acknowledged[uri]} was acknowledged'
            acknowledged[uri] = sending[uri] = found


def test_removals_survive(daemon):
    uris = [daemon.api.tone()['endpoint_uri'] for _ in range(5)]
    daemon.api.delete(uris[0])
    daemon.kill()
    daemon.start()
    assert {e['endpoint_uri'] for e in daemon.api.get(ENDPOINTS)} == set(uris[1:])


def _small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))


def test_a_full_disk_refuses_writes_and_loses_nothing(daemons):
    """A limit on the size of files stands for a full disk."""
    daemon = daemons(preexec=_small_files)
    api = daemon.api
    kept = {}
    for i in range(5000):
        reply = api.call('POST', ENDPOINTS, {'kind': 'tone', 'display_name': f'{i} ' + 'x' * 120})
        if reply.status != 201:
            break
        kept[reply.json['endpoint_uid']] = reply.json['display_name']
        if i % 64 == 63:  # keep below the limit of endpoints
            for uid in list(kept)[:60]:
                if api.call('DELETE', f'{ENDPOINTS}/{uid}').status == 204:
                    del kept[uid]
    else:
        pytest.skip('the store made room for it all')
    assert reply.status == 507, reply
    assert {e['endpoint_uid'] for e in api.get(ENDPOINTS)} == set(kept), 'what was refused is not there'
    daemon.preexec = None
    daemon.kill()
    daemon.start()
    assert {e['endpoint_uid']: e['display_name'] for e in daemon.api.get(ENDPOINTS)} == kept
    daemon.api.tone()


def test_limits_have_names(daemon):
    """Somebody who makes ever more is stopped by a limit that is told by its name."""
    for kind, make in (('endpoints', lambda: daemon.api.call('POST', ENDPOINTS, {'kind': 'tone', 'enabled': False})),):
        for _ in range(3000):
            reply = make()
            if reply.status != 201:
                break
        assert reply.status == 429 and reply.json['error_code'] == 'limit_reached', f'{kind}: {reply}'
        assert 'max' in reply.json['detail'].lower() or 'limit' in reply.json['detail'].lower()

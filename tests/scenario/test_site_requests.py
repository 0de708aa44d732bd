# SPDX-License-Identifier: MPL-2.0
"""One site, three daemons: each answers for all, passes on what it does not own, and says so when it cannot."""
import tempfile
from pathlib import Path

import pytest

from support.client import stream_spec
from support.site import Site
from support.wait import wait_until


@pytest.fixture(scope='module')
def site():
    with tempfile.TemporaryDirectory(prefix='rocd-') as directory:
        made = Site(Path(directory))
        try:
            yield made.start()
        finally:
            made.close()


@pytest.fixture
def two(workdir, request):
    """Of those who need a site of their own; parametrized indirectly with its roles."""
    made = Site(workdir, ('a', 'b'), roles=getattr(request, 'param', None))
    yield made
    made.close()


def endpoint(site, at, of, **spec):
    """Made at one peer through another, and seen by all."""
    made = site.api(at).post(f'/peers/{site.uids[of]}/endpoints', spec)
    assert made['peer_uid'] == site.uids[of]
    for name in site.names:
        wait_until(lambda name=name: made['endpoint_uid'] in uids(site.api(name), of, site), f'{name} to see it')
    return made['endpoint_uri']


def uids(api, of, site):
    return {e['endpoint_uid'] for e in api.get(f'/peers/{site.uids[of]}/endpoints')}


def sides(source, destination, **settings):
    return stream_spec(source, destination, **settings)


def test_two_peers_with_objects_of_one_uid(workdir):
    """Neither has heard of the other when it makes them. A third peer shows one stream, and the other as soon as that one goes."""
    uid, new = 'aaaaaa-bbbbbb-cccccc', {'If-None-Match': '*'}
    site = Site(workdir, ('a', 'b', 'c'))

    def make(name):
        site.start_one(name)
        api = site.api(name)
        sink = api.put(f'/peers/self/endpoints/{uid}', {'kind': 'null', 'display_name': name}, 201, headers=new)
        made = api.put(f'/streams/{uid}', sides(api.tone(), sink, display_name=f'of {name}'), 201, headers=new)
        return sink['endpoint_uri'], made['stream_uri']

    def shown():
        return [s['display_name'] for s in site.api('c').get('/streams')]

    try:
        site.start_one('c')
        make('a')
        wait_until(lambda: shown() == ['of a'], 'c to hear of it')
        site.daemons['a'].stop()
        make('b')
        wait_until(lambda: any(p['name'] == 'b' and p['state'] == 'online' for p in site.api('c').get('/peers')), 'c to meet b')
        site.start_one('a')
        wait_until(site.all_online, 'all peers to be online')
        c = site.api('c')
        for name in ('a', 'b'):
            uri = f'/peers/{site.uids[name]}/endpoints/{uid}'
            wait_until(lambda name=name: uid in uids(c, name, site), 'c to know both endpoints')
            assert c.get(uri)['display_name'] == name
        assert site.api('a').get(f'/streams/{uid}')['display_name'] == 'of a'
        assert site.api('b').get(f'/streams/{uid}')['display_name'] == 'of b'
        assert shown() == ['of a'] and c.get(f'/streams/{uid}')['display_name'] == 'of a'
        c.delete(f'/streams/{uid}')
        wait_until(lambda: shown() == ['of b'], 'the other to appear')
        assert c.get(f'/streams/{uid}')['display_name'] == 'of b'
        wait_until(lambda: site.api('a').get(f'/streams/{uid}')['display_name'] == 'of b', 'it to appear where the first was')
    finally:
        site.close()


def test_lists_show_figures_of_now(site):
    """A stream that runs elsewhere makes no events, and its figures in lists go on all the same."""
    source, sink = endpoint(site, 'a', 'a', kind='tone'), endpoint(site, 'b', 'b', kind='null')
    b, c = site.api('b'), site.api('c')
    made = b.stream(source, sink)
    wait_until(lambda: b.stream_is(made, 'running'), 'the sound')

    def of(objects, key):
        return next(o for o in objects if o[key] == made['stream_uri'])['status']

    for _ in range(3):
        now = b.get(made['stream_uri'])['status']['packets']['received']
        for what in ('/streams', '/state'):
            wait_until(lambda what=what, now=now: of(c.get(what) if what == '/streams' else c.get(what)['streams'],
                                                     'stream_uri')['packets']['received'] > now, f'{what} to show it')
        frames = b.get(sink)['status']['frames']
        wait_until(lambda frames=frames: any(e['endpoint_uri'] == sink and e['status']['frames'] > frames
                                             for e in c.get(f'/peers/{site.uids["b"]}/endpoints')), 'the sink to go on')
    b.delete(made['stream_uri'])


def test_everybody_is_shown_everywhere(site):
    for name in site.names:
        peers = {p['name']: p for p in site.api(name).get('/peers')}
        assert set(peers) == set(site.names)
        for other, peer in peers.items():
            assert peer['self'] == (other == name) and peer['state'] == 'online' and peer['node_id'] == site.ids[other]
            assert peer['role'] == (None if other == name else 'admin') and peer['last_seen'] is None
            assert site.api(name).get(f'/peers/{site.uids[other]}')['peer_uid'] == site.uids[other]
            assert {d['name'] for d in site.api(name).get(f'/peers/{site.uids[other]}/drivers')} >= {'file', 'tone', 'null'}
        assert site.api(name).get('/state?peer=self')['peers'][0]['name'] == name
        site.api(name).problem(404, 'GET', '/peers/zzzzzz-zzzzzz-zzzzzz/endpoints')


def test_all_of_a_stream_through_a_third(site):
    a, b, c = (site.api(name) for name in 'abc')
    tone = endpoint(site, 'c', 'a', kind='tone', display_name='Tone')
    sink = endpoint(site, 'c', 'b', kind='null', display_name='Sink')
    reply = c.expect(201, 'POST', '/streams', sides(tone, sink, display_name='Through'))
    uri = reply.headers['Location']
    assert reply.json['source']['endpoint_uri'] == tone and reply.json['destination']['endpoint_uri'] == sink
    for api in (a, b, c):
        wait_until(lambda api=api: uri in [s['stream_uri'] for s in api.get('/streams')], 'the stream to be seen')
        assert api.get(uri)['display_name'] == 'Through'
    wait_until(lambda: a.get(uri)['status']['state'] == 'running', 'sound', deadline=60)
    patched = a.expect(200, 'PATCH', uri, {'settings': {'gain_db': -6}}, headers={'If-Match': reply.etag})
    assert patched.json['settings']['gain_db'] == -6 and patched.etag != reply.etag
    a.problem(412, 'PATCH', uri, {}, headers={'If-Match': reply.etag})
    a.problem(400, 'PATCH', uri, {'settings': {'gain_db': 1000}})
    a.problem(404, 'DELETE', '/streams/zzzzzz-zzzzzz-zzzzzz')
    a.patch(tone, {'display_name': 'Beep'})
    c.patch(tone, {'display_name': 'Boop'})
    wait_until(lambda: 'Boop' in [e['display_name'] for e in b.get(f'/peers/{site.uids["a"]}/endpoints')], 'the name at b')
    a.delete(uri)
    for api in (a, b, c):
        wait_until(lambda api=api: uri not in [s['stream_uri'] for s in api.get('/streams')], 'the stream to be gone')
    for uri in (tone, sink):
        c.delete(uri)


def test_self_is_whoever_is_asked(site):
    api = site.api('c')
    tone, sink = api.tone()['endpoint_uid'], endpoint(site, 'c', 'a', kind='null')
    stream = api.post('/streams', sides(f'/peers/self/endpoints/{tone}', sink))
    assert stream['source']['endpoint_uri'] == f'/peers/{site.uids["c"]}/endpoints/{tone}'
    again = api.patch(stream['stream_uri'], {'source': {'endpoint_uri': f'/peers/self/endpoints/{tone}'}})
    assert again['source'] == stream['source']
    for uri in (stream['stream_uri'], sink, f'/peers/self/endpoints/{tone}'):
        api.delete(uri)


def test_news_levels_and_figures_of_others(site):
    a, c = site.api('a'), site.api('c')
    tone, sink = endpoint(site, 'a', 'a', kind='tone'), endpoint(site, 'a', 'a', kind='null')
    with c.events() as news, c.events('?types=meter') as meters:
        stream = a.post('/streams', sides(tone, sink))
        uid = stream['stream_uid']
        news.wait_for(lambda e: e.type == 'stream_added' and e.data['stream_uid'] == uid, 'the stream')
        news.wait_for(lambda e: e.type == 'stream_updated' and e.data['status']['state'] == 'running', 'sound')
        level = meters.wait_for(lambda e: e.data['uid'] == uid and max(e.data['level_dbfs']) > -60, 'its level')
        assert level.type == 'meter' and level.data['uri'] == stream['stream_uri']
        figures = c.call('GET', f'/metrics?peer={site.uids["a"]}').body.decode()
        assert f'rocd_stream_state{{stream="{uid}"' in figures and site.uids['a'] in figures
        assert uid not in c.call('GET', '/metrics').body.decode()
        c.delete(stream['stream_uri'])
        news.wait_for(lambda e: e.type == 'stream_removed' and e.data['uid'] == uid, 'its end')
    with c.events(f'?peer={site.uids["b"]}') as news:
        site.api('b').patch('/peers/self', {'name': 'b'})
        event = news.next()
        assert event.type == 'peer_updated' and event.data['peer_uid'] == site.uids['b'] and not event.data['self']
    for uri in (tone, sink):
        a.delete(uri)


def test_a_request_sent_again_is_done_once(site):
    c = site.api('c')
    tone, sink = endpoint(site, 'c', 'a', kind='tone'), endpoint(site, 'c', 'b', kind='null')
    key = {'Idempotency-Key': 'once'}
    replies = [c.expect(201, 'POST', '/streams', sides(tone, sink), headers=key) for _ in range(3)]
    assert len({r.headers['Location'] for r in replies}) == 1 and {r.etag for r in replies} == {'"1"'}
    problem = c.problem(422, 'POST', '/streams', sides(tone, sink, display_name='other'), headers=key)
    assert problem['error_code'] == 'idempotency_mismatch'
    for uri in (replies[0].headers['Location'], tone, sink):
        c.delete(uri)


@pytest.mark.parametrize('two', [{('a', 'b'): 'viewer'}], indirect=True)
def test_rights_are_those_that_the_owner_gives(two):
    two.start()
    a, b = two.api('a'), two.api('b')
    tone = endpoint(two, 'a', 'a', kind='tone')
    assert b.get(tone)['kind'] == 'tone'
    for refused in (b.problem(403, 'DELETE', tone), b.problem(403, 'POST', f'/peers/{two.uids["a"]}/endpoints', {'kind': 'null'})):
        assert 'has those of viewer' in refused['detail'] and two.uids['b'] in refused['detail']
    assert next(p for p in a.get('/peers') if not p['self'])['role'] == 'viewer'
    a.delete(tone)
    sink = endpoint(two, 'a', 'b', kind='null')  # the other way round all is allowed
    a.delete(sink)


@pytest.mark.parametrize('two', [{('b', 'a'): None}], indirect=True)
def test_who_is_not_listed_is_not_let_in(two):
    for name in two.names:
        two.start_one(name)
    a = two.api('a')
    peer = wait_until(lambda: next(p for p in a.get('/peers') if not p['self']), 'b in the list')
    assert peer['state'] == 'pending' and peer['message']
    wait_until(lambda: next(p for p in a.get('/peers') if not p['self'])['reason'] not in ('NotReached', None), 'the refusal')
    assert [p['self'] for p in two.api('b').get('/peers')] == [True]
    problem = a.problem(503, 'POST', f'/peers/{two.uids["b"]}/endpoints', {'kind': 'null'})
    assert problem['error_code'] == 'peer_unreachable' and two.uids['b'] in problem['detail']


def test_who_is_killed_is_remembered_and_comes_back(two):
    two.start()
    a, b = two.api('a'), two.api('b')
    sink = endpoint(two, 'b', 'a', kind='null', display_name='Kept')
    two.daemons['a'].kill()

    def shown():
        return next(p for p in b.get('/peers') if not p['self'])

    wait_until(lambda: shown()['state'] == 'offline', 'a to be missed', deadline=60)
    assert shown()['last_seen'] and shown()['reason'] and shown()['message'] and shown()['name'] == 'a'
    assert [e['display_name'] for e in b.get(f'/peers/{two.uids["a"]}/endpoints')] == ['Kept']
    for method, path, body in (('GET', sink, None), ('DELETE', sink, None),
                               ('POST', '/streams', sides({'media_uri': 'rtp://0.0.0.0:0'}, sink, fec='none'))):
        reply = b.expect(503, method, path, body)
        assert reply.json['error_code'] == 'peer_unreachable' and reply.headers['Retry-After']
        assert f"peer 'a' ({two.uids['a']})" in reply.json['detail'] and shown()['since'] in reply.json['detail']
    two.start_one('a')
    wait_until(lambda: shown()['state'] == 'online', 'a to be back', deadline=60)
    two.api('a').sink()
    wait_until(lambda: len(b.get(f'/peers/{two.uids["a"]}/endpoints')) == 2, 'b to see what is new')
    b.delete(sink)
    assert a is not two.api('a')

# SPDX-License-Identifier: MPL-2.0
"""The news: cursors, coming back, filters, many subscribers."""
import threading

import pytest

from support.sse import Closed
from support.wait import wait_until


def test_changes_are_told_in_order(daemon):
    api = daemon.api
    with api.events() as events:
        events.wait_greeting()
        sink = api.sink()
        tone = api.tone()
        stream = api.stream(tone, sink, enabled=False)
        api.patch(stream['stream_uri'], {'display_name': 'x'})
        api.delete(stream['stream_uri'])
        api.delete(tone['endpoint_uri'])
        api.patch('/peers/self', {'name': 'Renamed'})
        seen = []
        while not seen or seen[-1].type != 'peer_updated':
            seen.append(events.next())
    kinds = [e.type for e in seen]
    assert kinds.count('endpoint_added') == 2 and kinds.count('stream_added') == 1
    assert kinds.count('stream_removed') == kinds.count('endpoint_removed') == 1
    assert kinds.index('stream_added') < kinds.index('stream_updated') < kinds.index('stream_removed')
    added = next(e for e in seen if e.type == 'stream_added')
    assert added.data['stream_uid'] == stream['stream_uid'] and added.data['generation'] == 1
    removed = next(e for e in seen if e.type == 'stream_removed')
    assert removed.data == {'uri': stream['stream_uri'], 'uid': stream['stream_uid']}
    numbers = [int(e.id.rsplit('-', 1)[1]) for e in seen]
    assert numbers == sorted(set(numbers))


def test_state_and_events_leave_no_gap(daemon):
    api = daemon.api
    api.tone()
    state = api.get('/state')
    assert len(state['endpoints']) == 1 and len(state['peers']) == 1 and state['streams'] == []
    made = api.tone()
    with api.events(f"?since={state['cursor']}") as events:
        event = events.wait_for(lambda e: e.type == 'endpoint_added')
        assert event.data['endpoint_uid'] == made['endpoint_uid']


def test_coming_back(daemon):
    api = daemon.api
    with api.events() as events:
        cursor = events.wait_greeting()
    names = [f'n{i}' for i in range(20)]
    uri = api.tone()['endpoint_uri']
    for name in names:
        api.patch(uri, {'display_name': name})
    got = []
    last = None
    for part in range(4):  # again and again, a few each time
        with api.events(headers={'Last-Event-ID': last or cursor}) as events:
            for _ in range(5):
                event = events.wait_for(lambda e: e.type == 'endpoint_updated' and e.data['display_name'].startswith('n'))
                got.append(event.data['display_name'])
                last = event.id
    assert list(dict.fromkeys(got)) == names, 'none is lost, none comes out of order'


def test_the_header_wins_over_since(daemon):
    api = daemon.api
    old = api.get('/state')['cursor']
    api.tone()
    now = api.get('/state')['cursor']
    with api.events(f'?since={old}', headers={'Last-Event-ID': now}) as events:
        sink = api.sink()
        event = events.wait_for(lambda e: e.type == 'endpoint_added')
        assert event.data['endpoint_uid'] == sink['endpoint_uid']


@pytest.mark.parametrize('cursor', ['nonsense', '0-0', 'ffffffff-1', '-', '1'])
def test_a_cursor_from_elsewhere_resets(shared, cursor):
    with shared.api.events(f'?since={cursor}') as events:
        event = events.next()
        assert event.type == 'reset' and event.data['reason'] == 'unknown_cursor'
        assert event.id.split('-')[0] == shared.api.get('/state')['cursor'].split('-')[0]


def test_a_cursor_of_before_the_restart_resets(daemon):
    cursor = daemon.api.get('/state')['cursor']
    daemon.restart()
    with daemon.api.events(headers={'Last-Event-ID': cursor}) as events:
        assert events.next().type == 'reset'


@pytest.mark.slow
def test_a_cursor_that_is_too_old_resets(daemon):
    api = daemon.api
    cursor = api.get('/state')['cursor']
    uri = api.tone()['endpoint_uri']
    first = int(cursor.rsplit('-', 1)[1])
    i = 0
    while int(api.get('/state')['cursor'].rsplit('-', 1)[1]) <= first + 4200:
        for _ in range(200):
            i += 1
            api.patch(uri, {'display_name': str(i)})
    with api.events(f'?since={cursor}') as events:
        event = events.next()
        assert event.type == 'reset' and event.data['reason'] == 'too_old'


def test_filters(daemon):
    api = daemon.api
    tone, sink = api.tone(), api.sink()
    one, two = api.stream(tone, sink, enabled=False), api.stream(tone, sink, enabled=False)
    uid = api.get('/peers/self')['peer_uid']
    with api.events(f"?stream={two['stream_uid']}") as of_stream, \
            api.events('?types=endpoint_updated,stream_removed') as of_types, \
            api.events(f'?peer={uid}') as of_peer, api.events('?peer=zzzzzz-zzzzzz-zzzzzz') as of_nobody:
        for events in (of_stream, of_types, of_peer, of_nobody):
            events.wait_greeting()
        api.patch(one['stream_uri'], {'display_name': 'one'})
        api.patch(two['stream_uri'], {'display_name': 'two'})
        api.patch(tone['endpoint_uri'], {'display_name': 'tone'})
        api.delete(one['stream_uri'])
        api.delete(two['stream_uri'])
        got = []
        while not got or got[-1].type != 'stream_removed':
            got.append(of_stream.next())
        assert {e.data.get('stream_uid', e.data.get('uid')) for e in got} == {two['stream_uid']}
        assert of_types.wait_for(lambda e: e.type == 'endpoint_updated')
        assert of_types.wait_for(lambda e: e.type == 'stream_removed')
        assert of_peer.wait_for(lambda e: e.type == 'stream_removed')
        assert of_nobody._data == b'' and of_nobody._raw == b''


def test_meters_come_only_when_asked_for(daemon):
    api = daemon.api
    stream = api.stream(api.tone(), api.sink())
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    with api.events() as silent, api.events('?types=meter') as meters:
        for _ in range(10):
            event = meters.next()
            assert event.type == 'meter' and all(-120 <= v <= 0.5 for v in event.data['level_dbfs'])
        meters.wait_for(lambda e: e.data['uid'] == stream['stream_uid'] and max(e.data['level_dbfs'], default=-120) > -60)
        api.patch(stream['stream_uri'], {'display_name': 'end'})
        while (event := silent.next()).data.get('display_name') != 'end':
            assert event.type != 'meter'


@pytest.mark.parametrize('query', ['types=', 'types=spoon', 'types=meter,', 'stream=x', 'stream=self', 'peer=x', 'nonsense=1',
                                   'types=meter&types=log', 'since=' + 'a' * 65, 'types=%00'])
def test_what_it_does_not_understand_it_refuses(shared, query):
    problem = shared.api.problem(400, 'GET', '/events?' + query)
    assert query.split('=')[0] in problem['detail'] or 'escape' in problem['detail'], problem


@pytest.mark.slow
def test_heartbeat(shared):
    with shared.api.events() as events:
        events.wait_greeting()
        events.wait_comment(deadline=45)


@pytest.mark.slow
def test_many_subscribers_all_get_everything(daemon):
    api = daemon.api
    uri = api.tone()['endpoint_uri']
    n, m = 100, 50
    subscribers = [api.events('?types=endpoint_updated') for _ in range(n)]
    for events in subscribers:
        events.wait_greeting()
    names = [f'm{i}' for i in range(m)]
    errors = []

    def read(events):
        got = []
        try:
            while len(got) < m:
                name = events.next(60).data['display_name']
                if name.startswith('m') and (not got or got[-1] != name):
                    got.append(name)
            assert got == names
        except BaseException as e:  # noqa: BLE001: told by the test's own thread
            errors.append(repr(e))

    threads = [threading.Thread(target=read, args=(events,)) for events in subscribers]
    for thread in threads:
        thread.start()
    for name in names:
        api.patch(uri, {'display_name': name})
    for thread in threads:
        thread.join(90)
    for events in subscribers:
        events.close()
    assert not errors, errors[:3]


def test_a_subscriber_that_does_not_read_hurts_nobody(daemon):
    api = daemon.api
    uri = api.tone()['endpoint_uri']
    with api.events(read=False):
        with api.events() as good:
            good.wait_greeting()
            for i in range(300):
                api.patch(uri, {'display_name': f's{i}'})
            good.wait_for(lambda e: e.data.get('display_name') == 's299')


def test_the_end_of_the_daemon_ends_the_stream(daemons):
    daemon = daemons()
    with daemon.api.events() as events:
        events.wait_greeting()
        daemon.stop()
        with pytest.raises(Closed):
            while True:
                events.next()


def test_limit(daemon):
    """There is a limit of subscribers, it is told by name, and it opens again."""
    subscribers = []
    try:
        for _ in range(300):
            subscribers.append(daemon.api.events())
            subscribers[-1].wait_greeting()
    except (AssertionError, Closed, ConnectionError) as e:
        assert '429' in str(e) or '503' in str(e), e
    assert len(subscribers) >= 200
    for events in subscribers:
        events.close()
    wait_until(lambda: _can_subscribe(daemon), 'the places to be free again')


def _can_subscribe(daemon):
    try:
        with daemon.api.events() as events:
            events.wait_greeting()
        return True
    except (AssertionError, Closed):
        return False

# SPDX-License-Identifier: MPL-2.0
"""rocctl in a site: it asks a peer that has neither end of what it makes, and calls everything by its peer's name."""
import itertools
import json
import os
import subprocess

import pytest

from support.daemon import program
from support.site import Site
from support.wait import wait_until

OK, FAILED = 0, 1


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp('s'), ('kitchen', 'office', 'desk'), roles={('kitchen', 'office'): 'viewer'})
    try:
        yield site.start()
    finally:
        site.close()


def start(daemon, *args):
    env = {k: v for k, v in os.environ.items() if not k.startswith('ROCD_')} | {'NO_COLOR': '1'}
    return subprocess.Popen([str(program('rocctl')), '--addr', daemon.address, *map(str, args)], env=env, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def rocctl(daemon, *args, status=OK):
    process = start(daemon, *args)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, f'rocctl {args}: {process.returncode}\n{out}{err}'
    return err if status else out


def test_peers_are_listed(site):
    rows = {row.split()[0]: row.split() for row in rocctl(site.daemons['kitchen'], 'peers').splitlines()[1:]}
    assert set(rows) == set(site.names)
    for name, (_, uid, state, role, address, version, node_id, *_) in rows.items():
        assert (uid, state, node_id) == (site.uids[name], 'online', site.ids[name][:15] + '-…')
        assert version and (role == 'self' or address == site.addresses[name])
        assert role == {'kitchen': 'self', 'office': 'viewer', 'desk': 'admin'}[name]
    assert '3 peers: 3 online' in rocctl(site.daemons['desk'], 'status')


def test_a_stream_between_two_others(site):
    desk = site.daemons['desk']
    rocctl(desk, 'create', 'tone', 'Tone', '--peer', 'office')
    rocctl(desk, 'create', 'null', 'Sink', '--peer', 'kitchen')
    rocctl(desk, 'create', 'null', 'Sink')
    wait_until(lambda: {'office/Tone', 'kitchen/Sink', 'desk/Sink'} <= set(rocctl(desk, 'endpoints').split()),
               'the endpoints of all to be known')
    assert {'office/Tone', 'kitchen/Sink'} <= set(rocctl(desk, 'names', 'endpoints').split())
    told = rocctl(desk, 'connect', 'Tone', 'Sink', status=FAILED)
    assert 'kitchen/Sink' in told and 'desk/Sink' in told, 'nobody can know which one was meant'
    made = json.loads(rocctl(desk, 'connect', 'Tone', 'kitchen/Sink', '--latency', 100, '--name', 'Over there', '--json'))
    assert site.uids['office'] in made['source']['endpoint_uri'] and site.uids['kitchen'] in made['destination']['endpoint_uri']

    def row(at):
        rows = [line for line in rocctl(site.daemons[at], 'streams').splitlines() if 'Over there' in line]
        return rows and rows[0].split()
    for at in site.names:
        row_at = wait_until(lambda: (r := row(at)) and 'running' in r and r, f'the stream to run, seen from {at}')
        assert 'office/Tone' in row_at and 'kitchen/Sink' in row_at, row_at

    gains = itertools.cycle(range(-12, 0))
    with start(desk, 'watch', '--types', 'stream_updated', '--count', 1) as watch:
        def has_news():
            site.api('desk').patch(made['stream_uri'], {'settings': {'gain_db': next(gains)}})
            return watch.poll() is not None
        wait_until(has_news, 'news of the stream', pause=0.2)
        line = watch.stdout.read().split()
    assert line[1:4] == ['stream_updated', 'kitchen', made['stream_uid']], 'its owner is the peer of the destination'
    rocctl(desk, 'disconnect', 'Over there')
    for endpoint in ('office/Tone', 'kitchen/Sink', 'self/Sink'):
        assert endpoint.replace('self', 'desk') in rocctl(desk, 'delete', endpoint)


def test_roles_hold_and_via_changes_who_asks(site):
    office, kitchen = site.daemons['office'], site.daemons['kitchen']
    told = rocctl(office, 'create', 'null', 'Mine', '--peer', 'kitchen', status=FAILED)
    assert 'viewer' in told or 'not allowed' in told.lower() or 'may not' in told, told
    assert json.loads(rocctl(office, 'id', '--via', 'kitchen', '--json'))['node_id'] == site.ids['kitchen']
    rocctl(office, 'create', 'null', 'Mine', '--via', 'kitchen')
    assert [e['display_name'] for e in json.loads(rocctl(kitchen, 'endpoints', 'self', '--json'))] == ['Mine']
    rocctl(kitchen, 'delete', 'self/Mine')


def test_a_peer_that_is_gone(site):
    desk, office = site.daemons['desk'], site.daemons['office']
    office.stop()
    wait_until(lambda: '1 offline' in rocctl(desk, 'status'), 'the desk to miss the office')
    row = next(line for line in rocctl(desk, 'peers').splitlines() if line.startswith('office '))
    assert 'offline' in row and len(row) > 120, f'with the reason: {row}'
    told = rocctl(desk, 'create', 'null', 'Mine', '--peer', 'office', status=FAILED)
    assert 'office' in told or site.uids['office'] in told, told
    site.start_one('office')
    wait_until(site.all_online, 'the office to be back', deadline=60)

# SPDX-License-Identifier: MPL-2.0
"""The program: flags, configuration, one per state directory, signals, the unix socket."""
import ctypes
import os
import re
import resource
import signal
import socket
import sqlite3
import stat
from pathlib import Path

import pytest

from support.wait import wait_until


# of the key of RFC 8032, 7.1, test 1
ID = '25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g'
OTHER_ID = 'hvabpq7-iioevve-vxbktu2-g36xsoj-qlgpf3c-jndgazv-k7ckxum-ygaly5n'


def refused(daemon, *args, code=None):
    done = daemon.run(*args)
    assert done.returncode != 0 and (code is None or done.returncode == code), done
    assert len(done.stderr.strip()) > 10, done
    return done.stderr


@pytest.fixture
def idle(daemons):
    return daemons(start=False)


def test_version_and_help(idle):
    version = idle.run('--version')
    assert version.returncode == 0 and re.search(r'rocd \d+\.\d+\.\d+', version.stdout), version
    usage = idle.run('--help')
    assert usage.returncode == 0
    for option in ('--state-dir', '--media-dir', '--socket', '--signaling', '--media', '--check-config', '--version', '-a', '-c', '-d', '-v'):
        assert option in usage.stdout, option


@pytest.mark.parametrize('args', [['--nonsense'], ['extra'], ['-a'], ['-c', '/nonexistent/rocd.yaml'], ['-d', 'nonsense'],
                                  ['-a', 'nonsense'], ['-a', '127.0.0.1:99999'], ['-a', '127.0.0.1']])
def test_wrong_flags(idle, args):
    if args[0] in ('-d', '-a') and len(args) == 2:
        args = args + ['--state-dir', idle.state_dir]
    text = refused(idle, *args)
    assert 'Assertion' not in text and 'core' not in text


def without_realtime():
    """In the child: whoever it runs as, the system refuses it real-time scheduling."""
    PR_CAPBSET_DROP, CAP_SYS_NICE = 24, 23
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE, 0, 0, 0)


def test_refused_realtime_is_told_with_what_to_do(daemons):
    ready = daemons('low', args=['-d', 'tone'], preexec=without_realtime).api.get('/readyz')
    assert ready['ready'] and [r['reason'] for r in ready['reasons']] == ['NotRealtime'], ready
    assert 'LimitRTPRIO' in ready['reasons'][0]['message']
    unwilling = daemons('unwilling', args=['-d', 'tone'], config='audio: {realtime: false}', preexec=without_realtime)
    assert unwilling.api.get('/readyz') == {'ready': True, 'reasons': []}


def may_become_realtime():
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
        os.sched_setscheduler(0, *before)
    except PermissionError:
        return False
    return True


def test_media_threads_come_first_where_they_may(daemons):
    if not may_become_realtime():
        pytest.skip('this user may not ask for real-time scheduling')

    def scheduler_of_media(daemon):
        api = daemon.api
        stream = api.stream(api.tone(), api.sink())
        wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
        tasks = Path(f'/proc/{daemon.process.pid}/task')
        return {os.sched_getscheduler(int(task.name)) for task in tasks.iterdir()
                if re.fullmatch(r'media-\d+', (task / 'comm').read_text().strip())}
    eager = daemons('eager', args=['-d', 'tone,null'])
    assert scheduler_of_media(eager) == {os.SCHED_FIFO} and eager.api.get('/readyz')['reasons'] == []
    modest = daemons('modest', args=['-d', 'tone,null'], config='audio: {realtime: false}')
    assert scheduler_of_media(modest) == {os.SCHED_OTHER}


def test_another_address_is_refused_with_the_reason(idle):
    for address in ('0.0.0.0:0', '192.0.2.1:4040', '[::]:0'):
        text = refused(idle, '--state-dir', idle.state_dir, '--socket', idle.socket, '-a', address)
        assert 'loopback' in text.lower(), text


def test_check_config(idle, workdir):
    good = workdir / 'good.yaml'
    good.write_text(f'name: Bench\nlog:\n  level: debug\nsite:\n  peers:\n    - id: {ID}\n')
    done = idle.run('-c', good, '--state-dir', idle.state_dir, '-a', '127.0.0.1:0', '--check-config')
    assert done.returncode == 0 and 'Bench' in done.stdout, done
    assert re.search(rf'^site\.peers\[0\]\.id +{ID} +\S+good.yaml:6$', done.stdout, re.M), done
    assert re.search(r'^site\.peers\[0\]\.role +operator +default$', done.stdout, re.M), done
    assert re.search(r'^signaling\.address +0\.0\.0\.0:4041 +default$', done.stdout, re.M), done
    assert not idle.state_dir.exists() or not list(idle.state_dir.iterdir()), 'it only looks'


def test_the_node_id_is_known_before_the_first_start(daemons):
    daemon = daemons(start=False)
    printed = daemon.run('--state-dir', daemon.state_dir, '--print-id')
    node_id = printed.stdout.strip()
    assert printed.returncode == 0 and re.fullmatch(r'([a-z2-7]{7}-){7}[a-z2-7]{7}', node_id), printed
    assert stat.S_IMODE((daemon.state_dir / 'peer.key').stat().st_mode) == 0o600
    daemon.start()
    assert daemon.api.get('/peers/self')['node_id'] == node_id
    assert daemon.run('--state-dir', daemon.state_dir, '--print-id').stdout == printed.stdout, 'while it runs'
    daemon.stop()
    (daemon.state_dir / 'peer.key').write_bytes(b'short')
    assert 'not a peer key' in refused(daemon, '--state-dir', daemon.state_dir, '--print-id')


def test_a_peer_is_not_its_own(daemons, workdir):
    daemon = daemons(start=False)
    own = daemon.run('--state-dir', daemon.state_dir, '--print-id').stdout.strip()
    path = workdir / 'own.yaml'
    path.write_text(f'site:\n  peers:\n    - id: {ID}\n    - id: {own}\n')
    text = refused(daemon, '-c', path, '--state-dir', daemon.state_dir, '-a', '127.0.0.1:0')
    assert f'{path}:4:11: site.peers[1].id: this is the node id of this peer itself' in text, text


@pytest.mark.parametrize('text, words', [
    ('nonsense: 1\n', ['nonsense', '1']),
    ('name: a\nhttp:\n  prot: 1\n', ['prot', '3']),
    ('name: a\nname: b\n', ['name', '2']),
    ('audio:\n  threads: many\n', ['threads', '2']),
    ('audio:\n  realtime: 7\n', ['realtime', '2']),
    ('roc:\n  port_min: 70000\n', ['port_min', '2']),
    ('signaling:\n  address: kitchen:4041\n', ['signaling.address', ':2:12:']),
    ('media:\n  address: ""\n', ['media.address', ':2:12:']),
    ('site:\n  peers:\n    - id: kitchen\n', ['site.peers[0].id', ':3:11:', '56']),
    (f'site:\n  peers:\n    - id: {ID}\n      role: boss\n', ['site.peers[0].role', ':4:13:', 'operator']),
    (f'site:\n  peers:\n    - id: {ID}\n      address: kitchen\n', ['site.peers[0].address', ':4:16:', 'host:port']),
    (f'site:\n  peers:\n    - id: {ID}\n    - id: {ID.upper()}\n', ['site.peers[1].id', ':4:11:', 'twice']),
    (f'site:\n  peers:\n    - id: {ID}\n      address: 192.0.2.1:4041\n    - id: {OTHER_ID}\n      address: 192.0.2.1:4041\n',
     ['site.peers[1].address', ':6:16:', ID, 'its own address']),
    ('name: [a\n', ['1']),
    ('name: "a\tb\n', []),
    ('- a\n- b\n', []),
])
def test_wrong_configuration(idle, workdir, text, words):
    path = workdir / 'wrong.yaml'
    path.write_text(text)
    for check in (['--check-config'], []):
        said = refused(idle, '-c', path, '--state-dir', idle.state_dir, '-a', '127.0.0.1:0', *check)
        assert str(path) in said or path.name in said, said
        for word in words:
            assert word in said, (word, said)


def test_configuration_is_used_and_flags_win(daemons, workdir):
    daemon = daemons(config=f'name: From the file\nhttp:\n  address: 192.0.2.1:1\nmedia_dir: {workdir}/elsewhere\n')
    assert daemon.api.get('/peers/self')['name'] == 'From the file'
    daemon.api.patch('/peers/self', {'name': 'From REST'})
    daemon.restart()
    assert daemon.api.get('/peers/self')['name'] == 'From REST', 'the store wins over the file'


def test_one_per_state_directory(daemon):
    text = refused(daemon, '--state-dir', daemon.state_dir, '--socket', daemon.directory / 'other', '-a', '127.0.0.1:0')
    assert str(daemon.state_dir) in text and ('another' in text.lower() or 'in use' in text.lower() or 'already' in text.lower()), text
    daemon.api.get('/healthz')


def test_a_port_in_use(daemon, daemons):
    second = daemons('second', start=False, address=daemon.address)
    text = refused(second, *second.command()[1:])
    assert daemon.address.split(':')[1] in text and 'use' in text, text


def test_a_socket_left_behind_is_taken_over(daemon):
    daemon.kill()
    assert daemon.socket.exists()
    daemon.start()


def unix_get(path, target):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(30)
        s.connect(str(path))
        s.sendall(f'GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode())
        answer = b''
        while chunk := s.recv(65536):
            answer += chunk
        return answer


def test_unix_socket(daemon):
    answer = unix_get(daemon.socket, '/version')
    assert answer.startswith(b'HTTP/1.1 200 ') and b'"rocd"' in answer
    mode = stat.S_IMODE(os.stat(daemon.socket).st_mode)
    assert mode & 0o007 == 0, f'others may not use it: {mode:o}'


def test_secrets_are_private(daemon):
    key = daemon.state_dir / 'peer.key'
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.state_dir.stat().st_mode) & 0o077 == 0


def test_state_directory_that_cannot_be_used(idle, workdir):
    a_file = workdir / 'file'
    a_file.write_text('x')
    for path in (a_file, a_file / 'below', '/proc/nonexistent'):
        text = refused(idle, '--state-dir', path, '--socket', idle.socket, '-a', '127.0.0.1:0')
        assert str(path) in text, text


def test_state_from_a_newer_version(daemon):
    daemon.stop()
    database = next(daemon.state_dir.glob('*.db'))
    with sqlite3.connect(database) as db:
        version = db.execute('PRAGMA user_version').fetchone()[0]
        db.execute(f'PRAGMA user_version = {version + 1000}')
    text = refused(daemon, *daemon.command()[1:])
    assert 'newer' in text, text
    with sqlite3.connect(database) as db:
        db.execute(f'PRAGMA user_version = {version}')
    daemon.start()


def test_state_that_is_damaged(daemon):
    daemon.api.tone()
    daemon.stop()
    database = next(daemon.state_dir.glob('*.db'))
    for left in daemon.state_dir.glob('*.db-*'):
        left.unlink()
    database.write_bytes(b'this is no database' * 500)
    text = refused(daemon, *daemon.command()[1:])
    assert str(database) in text or str(daemon.state_dir) in text, text


def test_identity_stays(daemon):
    uid = daemon.api.get('/peers/self')['peer_uid']
    daemon.restart()
    assert daemon.api.get('/peers/self')['peer_uid'] == uid


def test_sighup_reads_the_configuration_again(daemons):
    daemon = daemons(config='name: Bench\nlog:\n  level: info\n')
    stream = daemon.api.stream(daemon.api.tone(), daemon.api.sink())
    wait_until(lambda: daemon.api.stream_is(stream, 'running'), 'the stream to run')
    daemon.config_path.write_text('name: Bench\nlog:\n  level: debug\n')
    daemon.process.send_signal(signal.SIGHUP)

    def debugging():
        daemon.api.get('/version')
        return re.search(r'\bdebug\b', daemon.log())
    wait_until(debugging, 'the new log level')
    daemon.config_path.write_text('nonsense: 1\n')
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'nonsense' in daemon.log(), 'the complaint')
    assert daemon.api.get(stream['stream_uri'])['status']['state'] == 'running'
    assert daemon.api.get(stream['stream_uri'])['status']['restarts'] == 0


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_with_all_at_work(daemons, signum):
    daemon = daemons()
    api = daemon.api
    sink = api.sink()
    streams = [api.stream(api.tone(), sink) for _ in range(3)]
    recorder = api.recorder('end.wav')
    streams.append(api.stream(api.tone(), recorder))
    for stream in streams:
        wait_until(lambda s=stream: api.stream_is(s, 'running'), 'all to run')
    subscribers = [api.events('?types=meter,stream_updated') for _ in range(20)]
    silent = [api.events(read=False) for _ in range(5)]
    half = socket.create_connection(tuple(daemon.address.rsplit(':', 1)))
    half.sendall(b'POST /streams HTTP/1.1\r\nHost: ' + daemon.address.encode() + b'\r\nContent-Length: 100\r\n\r\n{')
    if signum != signal.SIGTERM:
        daemon.process.send_signal(signum)
        assert daemon.process.wait(30) == 0
        daemon._gone()
    else:
        daemon.stop()
    for thing in subscribers + silent + [half]:
        thing.close()
    assert (daemon.media_dir / 'end.wav').stat().st_size > 44


def test_the_log_cannot_be_forged(daemon):
    daemon.api.call('POST', '/peers/self/endpoints', {'kind': 'tone', 'display_name': 'x" level=error msg="y'})
    daemon.api.call('GET', '/a%0a2026-01-01T00:00:00.000Z%20error%20forged')
    daemon.stop()
    for line in daemon.log(whole=True).splitlines():
        assert re.match(r'\d{4}-\d\d-\d\dT[\d:.]+Z +(error|warn|info|debug|trace) ', line) or line.startswith(' '), line
    daemon.start()

# SPDX-License-Identifier: MPL-2.0
"""rocctl against a real rocd."""
import contextlib
import fcntl
import http.server
import json
import os
import signal
import struct
import subprocess
import termios
import threading

import pytest

from support.daemon import program
from support.wait import DEADLINE_S, wait_until

OK, FAILED, USAGE, UNREACHABLE = 0, 1, 2, 3


class Rocctl:
    def __init__(self, *where):
        self.where = [str(w) for w in where]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith('ROCD_')} | {'NO_COLOR': '1'}

    def run(self, *args, status=OK, env=None):
        done = subprocess.run([str(program('rocctl')), *self.where, *map(str, args)], env=self.env | (env or {}),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, f'rocctl {args}: {done.returncode}\n{done.stdout}{done.stderr}'
        return done

    def json(self, *args):
        return json.loads(self.run(*args, '--json').stdout)


@pytest.fixture
def rocctl(daemon):
    return Rocctl('--socket', daemon.socket)


def test_status_and_version(daemon, rocctl):
    assert 'rocd ' in rocctl.run('status').stdout
    status = rocctl.json('status')
    assert status['streams'] == [] and status['peer']['peer_uid']
    assert status['version']['name'] == 'rocd'
    assert 'libroc' in rocctl.run('version').stdout
    assert rocctl.json('version')['name'] == 'rocd'


def test_over_tcp_and_by_environment(daemon, rocctl):
    address = daemon.address.replace('http://', '')
    by_addr = Rocctl('--addr', address).json('status')
    assert by_addr['peer']['peer_uid'] == rocctl.json('status')['peer']['peer_uid']
    nowhere = Rocctl()
    assert json.loads(nowhere.run('status', '--json', env={'ROCD_ADDR': address}).stdout)['peer']
    assert json.loads(nowhere.run('status', '--json', env={'ROCD_SOCKET': str(daemon.socket)}).stdout)['peer']


def test_the_node_id(daemon, rocctl):
    peer = daemon.api.get('/peers/self')
    assert rocctl.run('id').stdout == peer['node_id'] + '\n'
    assert rocctl.json('id') == {member: peer[member] for member in ('node_id', 'peer_uid', 'name')}
    daemon.stop()
    assert 'rocd --print-id' in rocctl.run('id', status=UNREACHABLE).stderr


def test_peers_and_their_endpoints(daemon, rocctl):
    peer, = rocctl.json('peers')
    listed, = daemon.api.get('/peers')
    assert peer == listed | {'uptime_s': peer['uptime_s']}
    heading, row = rocctl.run('peers').stdout.splitlines()
    assert heading.split()[:4] == ['NAME', 'UID', 'STATE', 'ROLE']
    assert peer['peer_uid'] in row and peer['node_id'][:15] + '-…' in row and peer['node_id'] not in row
    daemon.api.patch('/peers/self', {'name': 'My study'})
    tone = rocctl.json('create', 'tone', 'Tone', '--peer', 'My study')
    rocctl.run('create', 'null', 'Sink', '--peer', 'self')
    assert rocctl.json('endpoints', peer['peer_uid']) == rocctl.json('endpoints')
    assert 'Tone' in rocctl.run('endpoints', 'my study').stdout.split(), 'of one peer alone, names need no peer'
    made = rocctl.json('connect', f'self/{tone["system_name"]}', 'My study/Sink')
    assert made['source']['endpoint_uri'] == tone['endpoint_uri']
    assert 'at My study: did you mean' in rocctl.run('delete', 'self/Tome', status=FAILED).stderr
    assert 'is used by stream' in rocctl.run('delete', tone['endpoint_uri'], status=FAILED).stderr
    rocctl.run('delete', '--force', tone['endpoint_uri'])
    assert [e['display_name'] for e in rocctl.json('endpoints')] == ['Sink']
    assert "there is no peer 'attic'" in rocctl.run('endpoints', 'attic', status=FAILED).stderr


class SomePeers(http.server.BaseHTTPRequestHandler):
    """A rocd that knows peers, as far as `rocctl --via` asks."""
    peers = []

    def do_GET(self):
        body = json.dumps(self.peers if self.path == '/peers' else self.peers[0]).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_via_another_peer(daemons):
    office, kitchen = daemons('office'), daemons('kitchen')
    for daemon in (office, kitchen):
        daemon.api.patch('/peers/self', {'name': daemon.name})
    asked = Rocctl('--socket', office.socket)
    assert asked.json('id')['name'] == 'office'
    assert asked.json('id', '--via', kitchen.address)['name'] == 'kitchen'
    assert asked.json('--via', 'office', 'id')['name'] == 'office'
    assert "there is no peer 'kitchen'" in asked.run('id', '--via', 'kitchen', status=FAILED).stderr

    # both on this computer, so that the address of the one leads from the other to it
    self, other = office.api.get('/peers/self'), kitchen.api.get('/peers/self')
    stranger = other | {'peer_uid': 'aaaaaa-bbbbbb-cccccc', 'name': 'stranger'}
    nowhere = stranger | {'peer_uid': 'aaaaaa-bbbbbb-dddddd', 'name': 'nowhere', 'address': None}
    SomePeers.peers = [self | {'self': True}, other | {'self': False}, stranger | {'self': False}, nowhere | {'self': False}]
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), SomePeers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = Rocctl('--addr', f'127.0.0.1:{server.server_port}')
        assert asked.json('id', '--via', 'kitchen') == {m: other[m] for m in ('node_id', 'peer_uid', 'name')}
        assert asked.json('id', '--via', other['peer_uid'])['name'] == 'kitchen'
        assert asked.json('id', '--via', 'self')['name'] == 'office'
        told = asked.run('id', '--via', 'stranger', status=UNREACHABLE).stderr
        assert kitchen.address in told and 'ssh -L' in told, 'the one that answers there is not the one that was meant'
        assert 'HOST:PORT' in asked.run('id', '--via', 'nowhere', status=FAILED).stderr
        server.shutdown()


def test_completion_offers_names(daemon, rocctl, tmp_path):
    trap = tmp_path / 'trap'
    names = ['Living room', f'Lie $(touch {trap})', 'Tone']
    for name in names:
        rocctl.run('create', 'tone', name)
    rocctl.run('connect', 'Tone', 'rtp://127.0.0.1:10001', '--name', 'Show', '--disabled')

    def offered(*words):
        script = (rocctl.run('completion', 'bash').stdout + 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rocctl\n'
                  'for word in "${COMPREPLY[@]}"; do eval "word=$word"; printf "%s\\n" "$word"; done\n')
        done = subprocess.run(['bash', '-c', script, 'bash', 'rocctl', *map(str, words)], capture_output=True, text=True,
                              env=rocctl.env | {'PATH': f'{program("rocctl").parent}:{os.environ["PATH"]}'}, timeout=60)
        assert done.stderr == '', done
        return done.stdout.splitlines()

    at = ('--socket', daemon.socket)
    assert offered(*at, 'connect', 'Li') == sorted(names[:2], key=rocctl.run('names', 'endpoints').stdout.index)
    assert offered(*at, 'delete', 'Living\\ ') == ['Living room']
    assert offered(*at, 'disconnect', 'S') == ['Show'] == offered(*at, 'watch', '--stream', '')
    assert offered(*at, 'streams', '--via', '') == [daemon.api.get('/peers/self')['name']]
    assert not trap.exists(), 'a name is never run'
    assert 'peers' in offered(*at, 'pe') and offered(*at, 'nam') == []


def test_endpoints_live_and_die(rocctl):
    assert 'rocctl create' in rocctl.run('endpoints').stdout
    tone = rocctl.json('create', 'tone', 'Küche', '--frequency', 1000, '--level', -40)
    assert tone['tone']['frequency_hz'] == 1000 and tone['tone']['level_dbfs'] == -40
    rocctl.run('create', 'file', 'Recorder', '--file', 'session.wav', '--record', '--channels', 1)
    rocctl.run('create', 'null', 'Sink')
    listed = {e['display_name']: e for e in rocctl.json('endpoints')}
    assert set(listed) >= {'Küche', 'Recorder', 'Sink'}
    assert listed['Recorder']['file']['mode'] == 'record' and listed['Recorder']['channels'] == 1
    table = rocctl.run('endpoints').stdout
    assert 'UID' in table.splitlines()[0] and 'Küche' in table and '\033' not in table
    assert 'deleted endpoint' in rocctl.run('delete', 'Küche').stdout
    assert rocctl.json('delete', listed['Sink']['endpoint_uid'])['deleted'] is True
    assert 'there is no endpoint' in rocctl.run('delete', 'Küche', status=FAILED).stderr


def test_a_stream_from_beginning_to_end(rocctl):
    rocctl.run('create', 'tone', 'Tone')
    rocctl.run('create', 'null', 'Sink')
    made = rocctl.json('connect', 'Tone', 'Sink', '--latency', 100, '--name', 'Test')
    assert made['settings']['target_latency_ms'] == 100 and made['display_name'] == 'Test'

    def runs():
        return rocctl.json('streams')[0]['status']['state'] == 'running'
    wait_until(runs, 'the stream to run')
    table = rocctl.run('streams').stdout
    assert 'Tone' in table and 'Sink' in table and 'running' in table
    assert '1 stream: 1 running' in rocctl.run('status').stdout
    wait_until(lambda: 'jitter_buffer' in rocctl.run('latency', 'Test').stdout, 'the latency to be measured')
    latency, stages = rocctl.run('latency', 'Test').stdout, rocctl.json('latency', 'Test')['stages']
    assert 'target      100 ms\n' in latency and 'end to end  ' in latency and len(stages) == 7
    assert all(f'\n{stage} ' in latency for stage in stages)
    assert made['stream_uid'] in rocctl.run('disconnect', 'Test').stdout
    assert rocctl.json('streams') == []


def test_neighbour_ports_are_taken_and_told(rocctl):
    rocctl.run('create', 'tone', 'Tone')
    done = rocctl.run('connect', 'Tone', 'rtp+rs8m://127.0.0.1:20001', '--json')
    destination = json.loads(done.stdout)['destination']
    assert destination['repair_uri'] == 'rs8m://127.0.0.1:20002'
    assert destination['control_uri'] == 'rtcp://127.0.0.1:20003'
    assert 'rs8m://127.0.0.1:20002 for repair' in done.stderr
    plain = rocctl.json('connect', 'Tone', 'rtp://127.0.0.1:20011')
    assert plain['settings']['fec'] == 'none' and not plain['destination'].get('repair_uri')


def test_names_that_fit_several(rocctl):
    for _ in range(2):
        rocctl.run('create', 'tone', 'Twin')
    failed = rocctl.run('connect', 'Twin', 'rtp://127.0.0.1:20021', status=FAILED)
    uids = [e['endpoint_uid'] for e in rocctl.json('endpoints')]
    assert len(uids) == 2 and all(uid in failed.stderr for uid in uids)
    rocctl.run('connect', uids[0], 'rtp://127.0.0.1:20021')


def test_problems_of_the_server_are_shown(rocctl):
    failed = rocctl.run('create', 'file', 'X', '--file', '../../etc/passwd', status=FAILED)
    assert '/file/name' in failed.stderr or 'media directory' in failed.stderr
    failed = rocctl.run('create', 'tone', 'X', '--frequency', 1e9, status=FAILED)
    assert '/tone/frequency_hz' in failed.stderr


def test_watch_shows_what_happens(rocctl):
    watch = subprocess.Popen([str(program('rocctl')), *rocctl.where, 'watch', '--json', '--count', '1', '--types',
                              'endpoint_added'], env=rocctl.env, stdout=subprocess.PIPE, text=True)
    try:
        # the watcher may not be connected yet: go on making endpoints until it has seen one
        def seen():
            rocctl.run('create', 'tone', 'Seen')
            return watch.poll() is not None
        wait_until(seen, 'the watcher to see an endpoint')
        event = json.loads(watch.stdout.read())
        assert watch.returncode == OK
        assert event['event'] == 'endpoint_added' and event['data']['display_name'] == 'Seen' and event['id']
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_watch_goes_on_after_a_restart(daemon, rocctl):
    watch = subprocess.Popen([str(program('rocctl')), *rocctl.where, 'watch', '--json'], env=rocctl.env,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    os.set_blocking(watch.stdout.fileno(), False)
    seen = b''

    def sees(name):
        # the watcher may not be connected yet, so endpoints are made until it has seen one
        nonlocal seen
        rocctl.run('create', 'tone', name)
        seen += watch.stdout.read() or b''
        return name.encode() in seen
    try:
        wait_until(lambda: sees('Before'), 'the watcher to see an endpoint')
        daemon.restart()
        wait_until(lambda: sees('After'), 'the watcher to be back')
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()


def test_a_stream_is_watched_and_ended_by_the_names_of_its_sides(daemon, rocctl):
    for name in ('Attic', 'Shelf'):
        rocctl.run('create', 'tone', name)
    rocctl.run('create', 'null', 'Cellar')
    for name in ('Attic', 'Shelf'):
        rocctl.run('connect', name, 'Cellar')
    event = json.loads(rocctl.run('watch', '--stream', 'Attic', '--types', 'meter', '--json', '--count', 1).stdout)
    uids = {s['display_name']: s['stream_uid'] for s in rocctl.json('streams')}
    assert event['data']['uid'] == uids['Attic → Cellar']
    assert 'there is no stream' in rocctl.run('watch', '--stream', 'Nobody', status=FAILED).stderr
    assert 'may be any of these' in rocctl.run('disconnect', 'Cellar', status=FAILED).stderr
    assert 'Shelf → Cellar' in rocctl.run('disconnect', 'Shelf').stdout
    gone = rocctl.run('delete', 'Cellar', '--force')
    assert '1 stream named it' in gone.stderr and 'deleted' in gone.stdout


def test_the_port_that_rocd_chose_is_shown(rocctl):
    rocctl.run('create', 'null', 'Sink')
    made = rocctl.json('connect', 'rtp://127.0.0.1:0', 'Sink')

    def listens():
        return rocctl.json('streams')[0]['status']['local_uris']['media']
    uri = wait_until(listens, 'the stream to listen')
    assert not uri.endswith(':0') and uri in rocctl.run('streams').stdout
    rocctl.run('disconnect', made['stream_uid'])


def test_ctrl_c_ends_watching(rocctl):
    watch = subprocess.Popen([str(program('rocctl')), *rocctl.where, 'watch', '--types', 'endpoint_added'], env=rocctl.env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.set_blocking(watch.stdout.fileno(), False)
    try:
        def sees():
            rocctl.run('create', 'tone', 'Seen')
            return watch.stdout.read()
        wait_until(sees, 'the watcher to see an endpoint')
        watch.send_signal(signal.SIGINT)
        assert watch.wait(DEADLINE_S) == -signal.SIGINT  # as the shell wants it of a program that was interrupted
        assert watch.stderr.read() == b''
    finally:
        watch.kill()
        watch.wait()
        watch.stdout.close()
        watch.stderr.close()


@pytest.mark.parametrize('args', [('streams',), ('streams', '--json'), ('help',), ('status',)])
def test_nobody_reads(rocctl, args):
    """A closed pipe ends it without a word; a full disk is told."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([str(program('rocctl')), *rocctl.where, *args], env=rocctl.env, stdout=write_end,
                          stderr=subprocess.PIPE, text=True, timeout=60, restore_signals=True)
    os.close(write_end)
    assert done.returncode == -signal.SIGPIPE and done.stderr == ''
    with open('/dev/full', 'w') as full:
        done = subprocess.run([str(program('rocctl')), *rocctl.where, *args], env=rocctl.env, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == FAILED and 'could not be written' in done.stderr


@pytest.mark.parametrize('columns, has_heading', [(300, True), (40, False)])
def test_narrow_terminals(rocctl, columns, has_heading):
    rocctl.run('create', 'file', 'A file that is not there', '--file', 'nowhere.wav')
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    text = b''
    try:
        watch = subprocess.Popen([str(program('rocctl')), *rocctl.where, 'endpoints'], env=rocctl.env | {'TERM': 'xterm'},
                                 stdin=subprocess.DEVNULL, stdout=child, stderr=child)
        os.close(child)
        with contextlib.suppress(OSError):  # how the other end of a terminal says that it is closed
            while chunk := os.read(parent, 4096):
                text += chunk
        assert watch.wait(DEADLINE_S) == OK
    finally:
        os.close(parent)
    lines = text.decode().splitlines()
    assert lines[0].startswith('UID') == has_heading
    assert 'nowhere.wav' in text.decode()
    if not has_heading:
        assert any(line.split()[:2] == ['NAME', 'A'] for line in lines), lines


@pytest.mark.parametrize('address', ['https://127.0.0.1:1', '', 'http://', '/tmp', '127.0.0.1:99999', '127.0.0.1:1/x'])
def test_addresses_that_are_none(address):
    failed = subprocess.run([str(program('rocctl')), '--addr', address, 'status'], capture_output=True, text=True, timeout=60)
    assert failed.returncode in (FAILED, USAGE) and 'give host:port' in failed.stderr


def test_an_address_may_be_a_url(daemon):
    assert Rocctl('--addr', f'http://{daemon.address}/').json('status')['peer']


def test_what_is_said_once_is_enough(rocctl):
    failed = rocctl.run('create', 'tone', 'X', '--frequency', 99999, status=FAILED)
    assert failed.stderr.count('/tone/frequency_hz') == 1
    assert 'SRC DST' in rocctl.run('connect', status=USAGE).stderr
    assert "'extra'" in rocctl.run('status', 'extra', status=USAGE).stderr


def test_nobody_there(tmp_path):
    failed = Rocctl('--socket', tmp_path / 'none').run('status', status=UNREACHABLE)
    assert 'start it with `rocd`' in failed.stderr
    Rocctl('--addr', '127.0.0.1:1').run('streams', status=UNREACHABLE)


def test_usage():
    rocctl = Rocctl()
    assert "did you mean 'status'" in rocctl.run('staus', status=USAGE).stderr
    assert 'did you mean --json' in rocctl.run('status', '--jsno', status=USAGE).stderr
    for shell in ('bash', 'zsh', 'fish'):
        assert 'rocctl' in rocctl.run('completion', shell).stdout
    script = rocctl.run('completion', 'bash').stdout
    assert subprocess.run(['bash', '-n'], input=script, text=True).returncode == 0
    assert 'usage: rocctl connect' in rocctl.run('connect', '--help').stdout

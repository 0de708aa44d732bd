# SPDX-License-Identifier: MPL-2.0
"""The HTTP server against clients that are broken, slow, greedy or hostile, with plain sockets.

`server` is http-test-server: the server alone over a fake api, where answers come late and events on demand. The probes run
against it and against a real rocd."""
import concurrent.futures
import contextlib
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import time

import pytest

from support.daemon import BUILD
from support.process import cpu_s, limit_files, n_files
from support.wait import DEADLINE_S, wait_until

HOST = b'Host: localhost\r\n'
JSON = b'Content-Type: application/json\r\n'


class Server:
    """http-test-server as a process of its own; options are those of its command line."""

    def __init__(self, directory, *options):
        self.log_path = directory / 'http-test-server.log'
        self.socket_path = directory / 'http.sock'
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen([BUILD / 'src/http/http-test-server', '-s', self.socket_path, *options],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().split()
        assert line[:1] == [b'ready'], self.log_path.read_text()
        self.port = int(line[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = 'nothing: it hung'
        self.process.stdin.close()
        self.process.stdout.close()
        assert code == 0, f'ended with {code}\n{self.log_path.read_text()[-4000:]}'

    def stats(self):
        return json.loads(ask(self.port, get('/stats')).body)

    def emit(self, n=1, size=8):
        assert ask(self.port, get(f'/emit?n={n}&size={size}')).status == 204

    def memory_kb(self):
        with open(f'/proc/{self.process.pid}/status') as f:
            return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1))


@pytest.fixture
def servers(tmp_path):
    made = []

    def make(*options):
        made.append(Server(tmp_path, *options))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp('http'), '-r', '2000')
    yield server
    server.stop()


@pytest.fixture(params=['server', 'rocd'])
def port(request):
    """Of the server alone, and of a whole rocd."""
    if request.param == 'server':
        return request.getfixturevalue('server').port
    return int(request.getfixturevalue('shared').address.rsplit(':', 1)[1])


def get(path, *headers):
    return b'GET ' + path.encode() + b' HTTP/1.1\r\n' + HOST + b''.join(headers) + b'\r\n'


def dial(port, address='127.0.0.1'):
    return socket.create_connection((address, port), timeout=DEADLINE_S)


class Reply:
    def __init__(self, head, body):
        lines = head.decode('latin-1').split('\r\n')
        self.version, status, _ = lines[0].split(' ', 2)
        self.status = int(status)
        self.headers = {name.lower(): value for name, value in (line.split(': ', 1) for line in lines[1:])}
        self.body = body

    def __repr__(self):
        return f'{self.status} {self.headers} {self.body[:300]!r}'


class Reader:
    """Takes replies off a socket."""

    def __init__(self, sock, data=b''):
        self.socket, self.data, self.ended = sock, data, False

    def fill(self):
        try:
            more = self.socket.recv(65536)
        except ConnectionError:
            more = b''
        self.ended = not more
        self.data += more
        return not self.ended

    def until(self, mark):
        while mark not in self.data:
            if not self.fill():
                return None
        text, self.data = self.data.split(mark, 1)
        return text

    def reply(self, head_only=False):
        """The next reply, None at the end. HTTP/1.1 100 is passed over."""
        head = self.until(b'\r\n\r\n')
        if head is None:
            return None
        reply = Reply(head, b'')
        if reply.status == 100:
            return self.reply(head_only)
        if head_only or reply.headers.get('transfer-encoding') == 'chunked':
            return reply
        length = int(reply.headers.get('content-length', 0))
        while len(self.data) < length and self.fill():
            pass
        reply.body, self.data = self.data[:length], self.data[length:]
        assert len(reply.body) == length, f'cut short: {reply}'
        return reply


def ask(port, request):
    with dial(port) as s:
        s.sendall(request)
        return Reader(s).reply()


def converse(port, data, half_close=True):
    """Everything that comes back until the server closes, as replies; whether the end came by itself."""
    replies = []
    with dial(port) as s:
        try:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has heard enough
        reader = Reader(s)
        while (reply := reader.reply(head_only=data[:4] == b'HEAD')) is not None:
            replies.append(reply)
        assert not reader.data, reader.data
    return replies


def is_alive(port):
    reply = ask(port, get('/version'))
    return reply is not None and reply.status == 200


def head(*lines, body=b''):
    return b'\r\n'.join(line if isinstance(line, bytes) else line.encode() for line in lines) + b'\r\n\r\n' + body


def post(*headers, body=b''):
    return head('POST /streams HTTP/1.1', 'Host: localhost', 'Content-Type: application/json', *headers, body=body)


def chunked(body):
    return post('Transfer-Encoding: chunked', body=body)


# request → what may come back first; 0 = closed without a word
REFUSED = {
    'length and chunked': (post('Content-Length: 5', 'Transfer-Encoding: chunked', body=b'0\r\n\r\n'), {400}),
    'two lengths': (post('Content-Length: 5', 'Content-Length: 6', body=b'hello!'), {400}),
    'two equal lengths': (post('Content-Length: 5', 'Content-Length: 5', body=b'hello'), {400}),
    'list of lengths': (post('Content-Length: 5, 5', body=b'hello'), {400}),
    'negative length': (post('Content-Length: -5', body=b'hello'), {400}),
    'length with a plus': (post('Content-Length: +5', body=b'hello'), {400}),
    'length in hex': (post('Content-Length: 0x5', body=b'hello'), {400}),
    'endless length': (post('Content-Length: 99999999999999999999999', body=b'hello'), {400, 413}),
    'huge length': (post('Content-Length: 9999999999', body=b'hello'), {413}),
    'bare line feeds': (b'GET /version HTTP/1.1\nHost: localhost\n\n', {400, 0}),
    'bare line feed in a header': (b'GET /version HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n', {400, 0}),
    'bare carriage return': (b'GET /version HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n', {400, 421}),
    'folded header': (head('GET /version HTTP/1.1', 'Host: localhost', 'X: a', ' b'), {400}),
    'folded first header': (head('GET /version HTTP/1.1', ' X: y', 'Host: localhost'), {400}),
    'two hosts': (head('GET /version HTTP/1.1', 'Host: localhost', 'Host: localhost'), {400}),
    'no host': (head('GET /version HTTP/1.1'), {400}),
    'foreign host': (head('GET /version HTTP/1.1', 'Host: evil.example'), {421}),
    'foreign origin': (get('/version', b'Origin: http://evil.example\r\n'), {403}),
    'foreign site': (get('/events', b'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n'), {403}),
    'foreign form': (head('POST /streams HTTP/1.1', 'Host: localhost', 'Origin: null', 'Content-Length: 2',
                          'Content-Type: text/plain', body=b'{}'), {403}),
    'HTTP/0.9': (b'GET /version\r\n\r\n', {400, 0, 505}),
    'HTTP/2': (head('GET /version HTTP/2.0', 'Host: localhost'), {505, 400, 0}),
    'HTTP/2 preface': (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', {505, 400, 0}),
    'coding gzip': (post('Transfer-Encoding: gzip', body=b'hello'), {400, 501}),
    'chunked twice': (post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked', body=b'0\r\n\r\n'), {400}),
    'coding xchunked': (post('Transfer-Encoding: xchunked', body=b'0\r\n\r\n'), {400, 501}),
    'chunk size no number': (chunked(b'zz\r\n\r\n'), {400}),
    'chunk size too large': (chunked(b'ffffffffffffffffff\r\n\r\n'), {400, 413}),
    'chunk size negative': (chunked(b'-1\r\n\r\n'), {400}),
    'chunk without an end': (chunked(b'5\r\nhelloX0\r\n\r\n'), {400}),
    'NUL in the target': (b'GET /ver\0sion HTTP/1.1\r\nHost: localhost\r\n\r\n', {400, 0}),
    'NUL in a header': (b'GET /version HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n', {400, 0}),
    'NUL in percents': (get('/version%00'), {400}),
    'control in percents': (get('/ver%0d%0asion'), {400}),
    'broken percent': (get('/version%4'), {400}),
    'overlong UTF-8': (get('/%c0%af'), {400}),
    'space before the colon': (head('GET /version HTTP/1.1', 'Host: localhost', 'X : y'), {400}),
    'no colon': (head('GET /version HTTP/1.1', 'Host: localhost', 'nonsense'), {400}),
    'no header name': (head('GET /version HTTP/1.1', 'Host: localhost', ': y'), {400}),
    'space in the target': (head('GET /ver sion HTTP/1.1', 'Host: localhost'), {400}),
    'huge header': (get('/version', b'X: ' + b'a' * 40000 + b'\r\n'), {431, 400, 0}),
    'many headers': (get('/version', *(b'X%d: y\r\n' % i for i in range(3000))), {431, 400, 0}),
    'long method': (b'A' * 30000 + b' / HTTP/1.1\r\nHost: localhost\r\n\r\n', {400, 431, 414, 501, 0}),
    'long path': (get('/' + 'a' * 5000), {400, 414}),
    'huge path': (get('/' + 'a' * 50000), {400, 414, 431, 0}),
    'long query': (get('/version?' + 'a' * 3000), {400, 414}),
    'absolute target elsewhere': (head('GET http://evil.example/version HTTP/1.1', 'Host: localhost'), {400, 421}),
    'connect': (head('CONNECT evil.example:80 HTTP/1.1', 'Host: localhost'), {400, 405, 501}),
    'star': (head('OPTIONS * HTTP/1.1', 'Host: localhost'), {400, 405}),
    'bytes': (bytes(range(256)) * 20, {400, 0, 431}),
    'TLS': (bytes.fromhex('16030100c8010000c403030000') + bytes(100), {400, 0}),
    'half a head': (b'GET /version HTTP/1.1\r\nHost: local', {0}),
    'half a body': (post('Content-Length: 50', body=b'hello'), {0, 400}),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused(port, name):
    request, wanted = REFUSED[name]
    replies = converse(port, request)
    status = replies[0].status if replies else 0
    assert status in wanted, replies
    if replies and replies[0].headers.get('content-type') == 'application/problem+json':
        assert len(json.loads(replies[0].body)['detail']) > 10
    assert is_alive(port)


# ---- what must work ----


def test_pipelined_requests_are_answered_in_order(port):
    with dial(port) as s:
        s.sendall(get('/version') + head('HEAD /version HTTP/1.1', 'Host: localhost') + get('/%ff') + get('/version'))
        reader = Reader(s)
        first, second, third, fourth = (reader.reply(head_only=i == 1) for i in range(4))
    assert [first.status, second.status, third.status, fourth.status] == [200, 200, 400, 200]
    assert second.headers['content-length'] == str(len(first.body)) and fourth.body == first.body


def test_a_connection_serves_many_requests(port):
    with dial(port) as s:
        reader = Reader(s)
        for _ in range(200):
            s.sendall(get('/version'))
            assert reader.reply().status == 200


def test_old_clients_are_answered_and_closed(port):
    replies = converse(port, b'GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n', half_close=False)
    assert [r.status for r in replies] == [200]


def test_common_headers(port):
    for path in ('/version', '/%ff', '/nothing-here'):
        reply = ask(port, get(path))
        assert reply.headers['x-content-type-options'] == 'nosniff' and reply.headers['cache-control'] == 'no-store', reply
        assert not any(name.startswith('access-control') for name in reply.headers), reply


def test_a_link_from_elsewhere_may_be_followed(port):
    navigation = b'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n'
    assert ask(port, get('/version', navigation)).status == 200
    assert ask(port, get('/version', navigation.replace(b'document', b'iframe'))).status == 403


def test_bodies_come_whole_in_pieces_and_in_chunks(server):
    assert json.loads(ask(server.port, post('Content-Length: 65536', body=b'x' * 65536)).body)['body'] == 65536
    pieces = b''.join(b'%x\r\n%s\r\n' % (n, b'x' * n) for n in range(1, 300)) + b'0\r\nTrailer: y\r\n\r\n'
    assert json.loads(ask(server.port, chunked(pieces)).body)['body'] == sum(range(1, 300))
    with dial(server.port) as s:
        for byte in post('Content-Length: 5', body=b'hello'):
            s.send(bytes([byte]))
        assert json.loads(Reader(s).reply().body)['body'] == 5


def test_chunk_extensions_are_refused(port):
    """libmicrohttpd is strict here, and we let it: nobody needs them, and parsers that differ on them get fooled."""
    assert ask(port, chunked(b'5;ext=1\r\nhello\r\n0\r\n\r\n')).status == 400
    assert is_alive(port)


def test_expect_continue(server):
    with dial(server.port) as s:
        s.sendall(post('Content-Length: 5', 'Expect: 100-continue'))
        reader = Reader(s)
        assert reader.until(b'\r\n\r\n').startswith(b'HTTP/1.1 100 ')
        s.sendall(b'hello')
        assert json.loads(reader.reply().body)['body'] == 5
    reply = ask(server.port, post('Content-Length: 100000', 'Expect: 100-continue'))
    assert reply.status == 413


@pytest.mark.parametrize('size', [65537, 200_000, 1_000_000])
def test_a_body_that_is_too_large_is_read_so_that_the_answer_is(port, size):
    body = b'x' * size
    for request in (post(f'Content-Length: {size}', body=body), chunked(b'%x\r\n%s\r\n0\r\n\r\n' % (size, body))):
        with dial(port) as s:
            s.sendall(request)
            assert Reader(s).reply().status == 413


def test_an_endless_body_is_cut(server):
    with dial(server.port) as s:
        s.sendall(chunked(b''))
        with pytest.raises(OSError):
            for _ in range(10_000):
                s.sendall(b'10000\r\n' + b'x' * 65536 + b'\r\n')
    assert is_alive(server.port)


def test_writes_need_json_and_deletes_do_not(shared):
    port = int(shared.address.rsplit(':', 1)[1])

    def status(method, *headers, body=b''):
        return ask(port, head(f'{method} /streams/zzzzzz-zzzzzz-zzzzzz HTTP/1.1', 'Host: localhost', *headers, body=body)).status

    assert status('DELETE') == 404
    assert status('PATCH', 'Content-Type: text/plain', 'Content-Length: 2', body=b'{}') == 415
    assert status('PATCH', 'Content-Length: 2', body=b'{}') == 415
    assert status('PATCH', 'Content-Type: application/merge-patch+json;charset=utf-8', 'Content-Length: 2', body=b'{}') == 404


# ---- slow, silent and greedy clients ----


def cut_after(s):
    """Seconds until the server closes."""
    begin = time.monotonic()
    try:
        while s.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begin


def test_silent_and_dripping_clients_are_cut(servers):
    server = servers('-r', '600')
    with dial(server.port) as silent, dial(server.port) as asked:
        asked.sendall(get('/version'))
        assert Reader(asked).reply().status == 200
        assert cut_after(silent) < 10
        asked.sendall(get('/version'))  # between two requests there is more time
        assert Reader(asked).reply().status == 200
    for prefix in (b'GET /version HTTP/1.1\r\nX: ', post('Content-Length: 60000')):
        begin = time.monotonic()
        with dial(server.port) as s:
            s.settimeout(0.05)
            s.sendall(prefix)
            while time.monotonic() - begin < DEADLINE_S:
                try:
                    s.sendall(b'a')  # a byte now and then, which no time-out of silence would trip
                    if not s.recv(65536):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                raise AssertionError('a dripping client is not cut')


def test_idle_connections_are_closed(servers):
    server = servers('-i', '300')
    with dial(server.port) as s:
        s.sendall(get('/version'))
        reader = Reader(s)
        assert reader.reply().status == 200
        assert reader.reply() is None


def test_a_client_that_does_not_take_its_answer_is_cut(servers):
    server = servers('-i', '600')
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(DEADLINE_S)
        s.connect(('127.0.0.1', server.port))
        s.sendall(get(f'/big?bytes={50_000_000}'))
        wait_until(lambda: len(sockets_of(server)) > 0, 'the request to be taken')
        wait_until(lambda: len(sockets_of(server)) == 0, 'the server to let go')


def sockets_of(server):
    """Established connections on the server's port, as the server's side has them."""
    with open('/proc/net/tcp') as f:
        mine = f':{server.port:04X} '
        fds = set()
        for fd in os.listdir(f'/proc/{server.process.pid}/fd'):
            with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                fds.add(os.readlink(f'/proc/{server.process.pid}/fd/{fd}'))
        return [line for line in f if mine in line.split(' ', 6)[4] + ' ' + line.split()[1] + ' '
                and f'socket:[{line.split()[9]}]' in fds and line.split()[3] != '0A']


def test_half_closed_clients_get_their_answer(server):
    for path in ('/version', '/later?ms=50', '/big?bytes=3000000'):
        replies = converse(server.port, get(path))
        assert [r.status for r in replies] == [200], path


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_connections(servers, many_files):
    server = servers()
    with dial(server.port) as old:
        old.sendall(get('/version'))
        assert Reader(old).reply().status == 200
        crowd = [dial(server.port) for _ in range(1000)]
        old.sendall(get('/version'))  # who is in is served
        assert Reader(old).reply().status == 200
        assert is_alive(server.port)  # who comes has their turn: the silent make room
        for s in crowd:
            s.close()
        assert is_alive(server.port)
    wait_until(lambda: len(sockets_of(server)) <= 1, 'the crowd to be gone')


def test_a_full_house_goes_on_at_once_when_one_leaves(servers):
    server = servers('-c', '4', '-r', '60000')
    inside = [dial(server.port) for _ in range(4)]
    for s in inside:
        s.sendall(get('/later?ms=60000'))  # a wait that gives no reason to be put out
    wait_until(lambda: len(sockets_of(server)) == 4, 'four connections')
    with dial(server.port) as waits:
        waits.sendall(get('/version'))
        waits.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waits.recv(1)
        assert json.loads(ask_unix(server, get('/stats')).body)['later'] == 4  # the unix socket has places of its own
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(DEADLINE_S)


def test_few_open_files_mean_few_connections(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        server = Server(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    crowd = [dial(server.port) for _ in range(400)]
    assert is_alive(server.port)
    assert 'ulimit' in server.log_path.read_text()
    for s in crowd:
        s.close()
    server.stop()


@pytest.mark.parametrize('inside', ['nobody', 'a client', 'an event stream'])
def test_without_descriptors_it_rests_and_recovers(servers, inside):
    """accept() has none to give: nothing spins, who is in is served, and the others have their turn when there are some."""
    server = servers('-i', '60000')
    with contextlib.ExitStack() as stack:
        old = None
        if inside != 'nobody':
            old = stack.enter_context(dial(server.port))
            old.sendall(get('/events' if inside == 'an event stream' else '/version'))
            assert Reader(old).reply(head_only=inside == 'an event stream').status == 200
        limit_files(server.process.pid, n_files(server.process.pid))
        crowd = [stack.enter_context(dial(server.port)) for _ in range(20)]
        for s in crowd:
            s.sendall(get('/version'))
        begin, used = time.monotonic(), cpu_s(server.process.pid)
        while time.monotonic() - begin < 2:
            if inside == 'a client':
                old.sendall(get('/version'))
                assert Reader(old).reply().status == 200
            with pytest.raises(TimeoutError):
                crowd[0].settimeout(0.1)
                crowd[0].recv(1)
        used = cpu_s(server.process.pid) - used
        assert used < (time.monotonic() - begin) / 3
        limit_files(server.process.pid, 1024)
        for s in crowd:
            s.settimeout(DEADLINE_S)
            assert Reader(s).reply().status == 200


def test_five_hundred_requests_at_once(port):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: ask(port, get('/version')), range(500)))
    assert {r.status for r in replies} == {200}


# ---- answers that come late ----


def test_late_answers(server):
    sockets = []
    for i in range(100):
        sockets.append(dial(server.port))
        sockets[-1].sendall(get(f'/later?ms={i % 7 * 20}') + get('/version'))
    for s in sockets:
        reader = Reader(s)
        assert reader.reply().body == b'"late"'
        assert reader.reply().status == 200
        s.close()


def test_clients_that_leave_before_their_answer(server):
    for i in range(200):
        s = dial(server.port)
        s.sendall(get('/later?ms=30'))
        if i % 2:  # a reset instead of an end
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()
    wait_until(lambda: server.stats()['later'] == 0, 'the answers to be given')
    assert is_alive(server.port)


# ---- event streams ----


class Stream:
    def __init__(self, port, *headers, rcvbuf=None):
        self.socket = socket.socket()
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(('127.0.0.1', port))
        self.socket.sendall(get('/events', *headers))
        self.reader = Reader(self.socket)
        self.data = b''

    def opened(self):
        reply = self.reader.reply()
        assert reply.status == 200 and reply.headers['content-type'] == 'text/event-stream', reply
        return self

    def chunk(self):
        size = self.reader.until(b'\r\n')
        if not size or int(size, 16) == 0:
            return b''
        while len(self.reader.data) < int(size, 16) + 2:
            assert self.reader.fill()
        data, self.reader.data = self.reader.data[:int(size, 16)], self.reader.data[int(size, 16) + 2:]
        return data

    def until(self, text):
        while text not in self.data:
            more = self.chunk()
            assert more, f'ended before {text}: {self.data[-200:]}'
            self.data += more
        return self.data

    def ids(self):
        return [int(i) for i in re.findall(rb'^id: (\d+)$', self.data, re.M)]

    def close(self):
        self.socket.close()


def test_events_resume(servers):
    server = servers()
    stream = Stream(server.port).opened()
    server.emit(10)
    stream.until(b'id: 10\n')
    assert stream.ids() == list(range(1, 11))
    stream.close()
    server.emit(10)
    stream = Stream(server.port, b'Last-Event-ID: 10\r\n').opened()
    stream.until(b'id: 20\n')
    assert stream.ids() == list(range(11, 21))
    server.emit(1000)  # more than the ring holds, in one go
    stream.until(b'id: 1020\n')
    assert b'event: reset' in stream.data
    stream.close()


def test_many_subscribers_miss_nothing(servers):
    server = servers()
    streams = [Stream(server.port) for _ in range(300)]
    for stream in streams:
        stream.opened()
    for _ in range(20):
        server.emit(5, 200)
    for stream in streams:
        stream.until(b'id: 100\n')
        assert stream.ids() == list(range(1, 101))
        stream.close()
    wait_until(lambda: server.stats()['subscribers'] == 0, 'the subscribers to be gone')


def test_subscribers_leave_room_for_requests(servers):
    server = servers('-c', '16')
    streams = [Stream(server.port).opened() for _ in range(12)]
    assert ask(server.port, get('/events')).status == 429
    assert is_alive(server.port)
    for stream in streams:
        stream.close()


def test_heartbeats(servers):
    server = servers('-h', '100')
    stream = Stream(server.port).opened()
    stream.until(b': still here\n\n: still here\n\n')
    stream.close()


def test_subscribers_that_leave_are_noticed(servers):
    server = servers('-h', '300')
    streams = [Stream(server.port).opened() for _ in range(20)]
    assert server.stats()['subscribers'] == 20
    for i, stream in enumerate(streams):
        if i % 2:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        stream.close()
    wait_until(lambda: server.stats()['subscribers'] == 0, 'the heartbeat to notice')


def test_a_reset_is_noticed_without_a_heartbeat(servers):
    server = servers('-h', '600000')
    stream = Stream(server.port).opened()
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    stream.close()
    wait_until(lambda: server.stats()['subscribers'] == 0, 'the reset to be noticed')


def test_a_half_closed_subscriber_is_still_served(servers):
    server = servers('-h', '100')
    stream = Stream(server.port).opened()
    stream.socket.shutdown(socket.SHUT_WR)
    stream.until(b': still here\n\n: still here\n\n')
    server.emit(1)
    stream.until(b'id: 1\n')
    stream.close()


def test_a_subscriber_that_never_reads_costs_little_and_is_cut(servers):
    server = servers('-i', '1500')
    deaf = [Stream(server.port, rcvbuf=4096) for _ in range(20)]
    good = Stream(server.port).opened()
    wait_until(lambda: server.stats()['subscribers'] == 21, 'the subscribers')
    server.emit(100, 1000)
    good.until(b'id: 100\n')
    before = server.memory_kb()
    for i in range(2, 60):
        server.emit(100, 10_000)
        good.until(b'id: %d00\n' % i)
        good.data = b''
    assert server.memory_kb() - before < 20_000  # 58 MB have been published to each
    wait_until(lambda: server.stats()['subscribers'] == 1, 'those that do not read to be cut')
    for stream in deaf:
        stream.close()
    good.close()


# ---- the unix socket, and addresses ----


def ask_unix(server, request):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        s.connect(str(server.socket_path))
        s.sendall(request)
        return Reader(s).reply()


def test_the_unix_socket(servers):
    server = servers()
    assert os.stat(server.socket_path).st_mode & 0o777 == 0o600
    who = json.loads(ask_unix(server, get('/who')).body)
    assert who['name'] == f'unix:{os.getuid()}' and who['admin'] == 1
    assert ask_unix(server, head('GET /version HTTP/1.1', 'Host: anything')).status == 200
    with socket.socket(socket.AF_UNIX) as s:  # the end of a subscriber is seen at once
        s.connect(str(server.socket_path))
        s.sendall(get('/events'))
        assert Reader(s).reply().status == 200
    wait_until(lambda: server.stats()['subscribers'] == 0, 'the subscriber to be gone')
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(DEADLINE_S)
    assert not server.socket_path.exists()


def refused(tmp_path, *options):
    done = subprocess.run([BUILD / 'src/http/http-test-server', *options], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=DEADLINE_S)
    assert done.returncode == 1 and done.stdout == '', done
    return done.stderr


def test_socket_files_of_the_dead_are_replaced_and_of_the_living_not(tmp_path, servers):
    server = servers()
    assert 'refused: busy' in refused(tmp_path, '-s', server.socket_path)
    assert ask_unix(server, get('/version')).status == 200
    server.process.kill()
    server.process.wait(DEADLINE_S)
    assert server.socket_path.exists()
    again = Server(tmp_path)
    assert ask_unix(again, get('/version')).status == 200
    again.stop()
    server.stop = lambda: (server.process.stdin.close(), server.process.stdout.close())
    file = tmp_path / 'file'
    file.write_text('precious')
    assert 'is not a socket' in refused(tmp_path, '-s', file)
    assert file.read_text() == 'precious'
    assert 'longer than' in refused(tmp_path, '-s', tmp_path / ('x' * 120))


def test_only_loopback_is_served(tmp_path, server):
    for address in ('0.0.0.0:0', '[::]:0', '192.0.2.1:4040'):
        assert 'TLS and tokens, which are not built yet' in refused(tmp_path, '-a', address)
    assert 'refused: busy' in refused(tmp_path, '-a', f'127.0.0.1:{server.port}')


# ---- the end ----


@pytest.mark.parametrize('round', range(3))
def test_it_ends_cleanly_under_load(servers, round):
    server = servers('-h', '100')
    streams = [Stream(server.port).opened() for _ in range(50)]
    deaf = [Stream(server.port, rcvbuf=4096) for _ in range(5)]
    waiting = [dial(server.port) for _ in range(50)]
    for i, s in enumerate(waiting):
        s.sendall(get('/never' if i % 2 else '/later?ms=1'))
    half = [dial(server.port) for _ in range(20)]
    for s in half:
        s.sendall(b'POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhello')
    for _ in range(10):
        server.emit(100, 5000)
    streams[0].until(b'id: 900\n')
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(DEADLINE_S) == 0, server.log_path.read_text()[-4000:]
    for s in waiting + half:
        s.close()
    for stream in streams + deaf:
        stream.close()

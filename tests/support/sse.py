# SPDX-License-Identifier: MPL-2.0
"""A small reader of Server-Sent Events with deadlines. What it gets is held against the contract."""
import json
import socket
import time
from dataclasses import dataclass

from support.contract import contract
from support.wait import DEADLINE_S


@dataclass
class Event:
    id: str
    type: str
    data: dict


class Closed(Exception):
    """The daemon has ended the stream."""


class Events:
    def __init__(self, address, query='', headers=None, read=True):
        host, port = address.rsplit(':', 1)
        self.address = address
        self.socket = socket.create_connection((host.strip('[]'), int(port)), timeout=DEADLINE_S)
        self.last_id = None
        self.comments = []
        self._data = b''
        self._chunked = False
        self._raw = b''
        lines = [f'GET /events{query} HTTP/1.1', f'Host: {address}', 'Accept: text/event-stream']
        lines += [f'{name}: {value}' for name, value in (headers or {}).items()]
        self.socket.sendall('\r\n'.join(lines + ['', '']).encode())
        if read:
            self._read_head()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def _read_head(self):
        end = time.monotonic() + DEADLINE_S
        while b'\r\n\r\n' not in self._raw:
            self._raw += self._receive(end)
        head, self._raw = self._raw.split(b'\r\n\r\n', 1)
        lines = head.decode().split('\r\n')
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(': ', 1) for line in lines[1:])}
        self._chunked = self.headers.get('transfer-encoding') == 'chunked'
        assert self.status == 200, f'GET /events: {head!r} {self._raw!r}'
        assert self.headers['content-type'].split(';')[0] == 'text/event-stream', self.headers
        contract.seen.add(('get_events', 200))
        self._decode()

    def _receive(self, end):
        self.socket.settimeout(max(end - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, BlockingIOError) as e:
            raise TimeoutError from e
        except ConnectionError as e:
            raise Closed from e
        if not data:
            raise Closed
        return data

    def _decode(self):
        """Moves whole chunks from _raw to _data."""
        if not self._chunked:
            self._data, self._raw = self._data + self._raw, b''
            return
        while b'\r\n' in self._raw:
            size, rest = self._raw.split(b'\r\n', 1)
            n = int(size.split(b';')[0], 16)
            if n == 0:
                raise Closed
            if len(rest) < n + 2:
                return
            self._data += rest[:n]
            self._raw = rest[n + 2:]

    def _block(self, end):
        while b'\n\n' not in self._data:
            self._raw += self._receive(end)
            self._decode()
        block, self._data = self._data.split(b'\n\n', 1)
        return block.decode('utf-8')

    def next(self, deadline=DEADLINE_S):
        """The next event; TimeoutError when none comes, Closed when the stream ends."""
        end = time.monotonic() + deadline
        while True:
            kind, data = 'message', []
            for line in self._block(end).split('\n'):
                name, _, value = line.partition(':')
                value = value.removeprefix(' ')
                if name == '':
                    self.comments.append(value)
                elif name == 'id':
                    self.last_id = value
                elif name == 'event':
                    kind = value
                elif name == 'data':
                    data.append(value)
                else:
                    assert name == 'retry', f'unknown field {line!r}'
            if data:
                event = Event(self.last_id, kind, json.loads('\n'.join(data)))
                contract.check_event(event.type, event.data)
                return event

    def wait_for(self, condition, what='an event', deadline=DEADLINE_S):
        """The first event that condition(event) accepts."""
        end = time.monotonic() + deadline
        seen = []
        while True:
            try:
                event = self.next(max(end - time.monotonic(), 0.001))
            except TimeoutError:
                raise AssertionError(f'waited {deadline:.0f} s for {what}; came: {seen[-20:]}') from None
            if condition(event):
                return event
            seen.append((event.type, event.data.get('status', {}).get('state')))

    def wait_greeting(self, deadline=DEADLINE_S):
        """Until the daemon has said where the stream stands: from then on nothing is missed."""
        end = time.monotonic() + deadline
        while self.last_id is None:
            if b'\n\n' not in self._data:
                self._raw += self._receive(end)
                self._decode()
                continue
            block, rest = self._data.split(b'\n\n', 1)
            if b'data:' in block:
                break
            self._data = rest
            for line in block.decode().split('\n'):
                if line.startswith('id: '):
                    self.last_id = line[4:]
                elif line.startswith(':'):
                    self.comments.append(line[1:].strip())
        return self.last_id

    def wait_comment(self, deadline=DEADLINE_S):
        """Until a comment comes (events before it are lost)."""
        end = time.monotonic() + deadline
        n = len(self.comments)
        while len(self.comments) == n:
            for line in self._block(end).split('\n'):
                if line.startswith(':'):
                    self.comments.append(line[1:].strip())

# SPDX-License-Identifier: MPL-2.0
"""The REST API of one daemon. Every exchange goes past the contract."""
import http.client
import json
import socket

import requests
import urllib3
from requests.adapters import HTTPAdapter

from support.contract import contract
from support.sse import Events


class Reply:
    def __init__(self, response):
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.content

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def etag(self):
        return self.headers['ETag']

    def __repr__(self):
        return f'{self.status} {self.body[:600]!r}'


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class UnixPool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, path):
        super().__init__('localhost')
        self.path = path

    def _new_conn(self):
        return UnixConnection(self.path)


class UnixAdapter(HTTPAdapter):
    """Requests through a unix socket, whatever the URL says."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def get_connection(self, url, proxies=None):
        return UnixPool(self.path)


class Client:
    def __init__(self, address, socket_path=None):
        """`address`: host:port. With `socket_path` requests go through that unix socket instead."""
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False
        if socket_path:
            self.session.mount('http://', UnixAdapter(str(socket_path)))

    def call(self, method, path, body=None, *, data=None, headers=None, timeout=30):
        """body: to be sent as JSON; data: bytes to be sent as they are."""
        headers = dict(headers or {})
        if body is not None:
            data = json.dumps(body).encode()
        if data is not None and not any(h.lower() == 'content-type' for h in headers):
            headers['Content-Type'] = 'application/json'
        headers = {name: value for name, value in headers.items() if value is not None}
        request = requests.Request(method, f'http://{self.address}/', headers=headers, data=data)
        prepared = self.session.prepare_request(request)
        prepared.url = f'http://{self.address}{path}'  # as it is: requests would tidy it up
        response = self.session.send(prepared, timeout=timeout, allow_redirects=False)
        try:
            parsed = json.loads(data) if data else None
        except (ValueError, UnicodeDecodeError, RecursionError):
            parsed = None
        contract.check_exchange(method, path, parsed, response.status_code, response.headers, response.content)
        return Reply(response)

    def expect(self, status, method, path, *args, **options):
        reply = self.call(method, path, *args, **options)
        assert reply.status == status, f'{method} {path}: want {status}, got {reply}'
        return reply

    def get(self, path, status=200, **options):
        return self.expect(status, 'GET', path, **options).json

    def post(self, path, body=None, status=201, **options):
        return self.expect(status, 'POST', path, body, **options).json

    def put(self, path, body=None, status=200, **options):
        return self.expect(status, 'PUT', path, body, **options).json

    def patch(self, path, body=None, status=200, **options):
        return self.expect(status, 'PATCH', path, body, **options).json

    def delete(self, path, status=204, **options):
        return self.expect(status, 'DELETE', path, **options)

    def problem(self, status, method, path, *args, **options):
        """Expects a refusal; gives its body. A refusal says something a person can read."""
        problem = self.expect(status, method, path, *args, **options).json
        assert problem['status'] == status and problem['detail'] == problem['error_text']
        assert len(problem['detail']) > 10, problem
        return problem

    def events(self, query='', **options):
        return Events(self.address, query, **options)

    # ---- objects ----

    def endpoint(self, **spec):
        return self.post('/peers/self/endpoints', spec)

    def tone(self, **tone):
        return self.endpoint(kind='tone', display_name='tone', tone=tone)

    def sink(self, **spec):
        return self.endpoint(kind='null', display_name='sink', **{'null': {'direction': 'output'}}, **spec)

    def player(self, name, loop=False, **spec):
        return self.endpoint(kind='file', file={'name': name, 'mode': 'play', 'loop': loop}, **spec)

    def recorder(self, name, on_existing='number', **spec):
        return self.endpoint(kind='file', file={'name': name, 'mode': 'record', 'on_existing': on_existing}, **spec)

    def stream(self, source, destination, enabled=True, display_name='', **settings):
        return self.post('/streams', stream_spec(source, destination, enabled, display_name, **settings))

    def stream_is(self, stream, *states):
        """The stream as it is now if it is in one of these states, else None."""
        now = self.get(stream['stream_uri'])
        return now if now['status']['state'] in states else None


def connection(side):
    """An endpoint as the API showed it, the URI of one, or {media_uri, …}."""
    if isinstance(side, str):
        return {'connection_type': 'endpoint', 'endpoint_uri': side}
    if 'endpoint_uri' in side:
        return {'connection_type': 'endpoint', 'endpoint_uri': side['endpoint_uri']}
    return {'connection_type': 'external', **side}


def stream_spec(source, destination, enabled=True, display_name='', **settings):
    return {'display_name': display_name, 'enabled': enabled, 'source': connection(source),
            'destination': connection(destination), 'settings': settings}

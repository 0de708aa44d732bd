# SPDX-License-Identifier: MPL-2.0
"""curl is all one needs: every operation of the contract, over TCP and over the unix socket, each answer as promised."""
import json
import re
import subprocess
import time

import pytest
from requests.structures import CaseInsensitiveDict

from support.client import stream_spec
from support.contract import contract
from support.wait import DEADLINE_S


class Curl:
    def __init__(self, *where):
        self.where = where  # arguments that lead to the daemon
        self.succeeded = set()  # operations

    def __call__(self, method, path, body=None, *headers):
        args = ['curl', '-sS', '-i', '--max-time', str(DEADLINE_S), '-X', method, *self.where]
        for header in headers:
            args += ['-H', header]
        if body is not None:
            args += ['-H', 'Content-Type: application/json', '-d', json.dumps(body)]
        out = subprocess.run([*args, f'http://localhost{path}'], capture_output=True, check=True).stdout
        status, headers, content = split(out)
        contract.check_exchange(method, path, body, status, headers, content)
        assert status < 400, (method, path, out)
        self.succeeded.add(contract.find(method, path)[0])
        return json.loads(content) if 'json' in headers.get('Content-Type', '') else content.decode()

    def events(self, *headers):
        """The head and the first event."""
        args = ['curl', '-sS', '-i', '-N', '--max-time', str(DEADLINE_S), *self.where]
        for header in headers:
            args += ['-H', header]
        with subprocess.Popen([*args, 'http://localhost/events'], stdout=subprocess.PIPE) as curl:
            out, deadline = b'', time.monotonic() + DEADLINE_S
            while b'\ndata: ' not in out or not out.endswith(b'\n\n'):
                assert time.monotonic() < deadline, out
                out += curl.stdout.read1()
            curl.kill()
        status, headers, content = split(out)
        assert status == 200 and headers['Content-Type'].startswith('text/event-stream')
        self.succeeded.add('get_events')
        first = next(block for block in content.decode().split('\n\n') if '\ndata: ' in block)
        fields = dict(re.findall(r'^(id|event|data): (.*)$', first, re.M))
        contract.check_event(fields['event'], json.loads(fields['data']))
        return fields


def split(out):
    head, _, content = out.partition(b'\r\n\r\n')
    first, *lines = head.decode().split('\r\n')
    return int(first.split()[1]), CaseInsensitiveDict(line.split(': ', 1) for line in lines), content


@pytest.mark.parametrize('way', ['tcp', 'socket'])
def test_every_operation(daemon, way):
    where = ['--unix-socket', daemon.socket] if way == 'socket' else ['--connect-to', f'::{daemon.address}']
    curl = Curl(*map(str, where))
    before = curl('GET', '/state')['cursor']
    assert curl('GET', '/version')['version'] and curl('GET', '/healthz') and curl('GET', '/readyz')
    assert {d['name'] for d in curl('GET', '/peers/self/drivers')} >= {'file', 'tone', 'null'}
    curl('PATCH', '/peers/self', {'name': 'curled'})
    assert [p['name'] for p in curl('GET', '/peers')] == ['curled'] and curl('GET', '/peers/self')['name'] == 'curled'

    tone = curl('POST', '/peers/self/endpoints', {'kind': 'tone', 'display_name': 'Beep'})
    sink = curl('POST', '/peers/self/endpoints', {'kind': 'null', 'display_name': 'Void'})
    curl('PATCH', tone['endpoint_uri'], {'display_name': 'Boop'})
    curl('PUT', sink['endpoint_uri'], {'kind': 'null', 'display_name': 'Nothing'})
    assert curl('GET', tone['endpoint_uri'])['display_name'] == 'Boop'
    assert {e['display_name'] for e in curl('GET', '/peers/self/endpoints')} == {'Boop', 'Nothing'}

    spec = stream_spec(tone, sink)
    stream = curl('POST', '/streams', spec)
    curl('PATCH', stream['stream_uri'], {'display_name': 'Curled'})
    curl('PUT', stream['stream_uri'], spec, f'If-Match: "{curl("GET", stream["stream_uri"])["generation"]}"')
    assert [s['stream_uid'] for s in curl('GET', '/streams')] == [stream['stream_uid']]
    assert curl('GET', f"{stream['stream_uri']}/glitches") == []
    assert curl.events(f'Last-Event-ID: {before}')['event'] in ('peer_updated', 'endpoint_added')
    assert 'rocd_' in curl('GET', '/metrics')
    assert '<html' in curl('GET', '/openapi') and curl('GET', '/openapi/openapi.json')['openapi'].startswith('3.1')
    assert 'openapi: 3.1' in curl('GET', '/openapi/openapi.yaml')
    curl('DELETE', stream['stream_uri'])
    curl('DELETE', tone['endpoint_uri'])
    of_users = {name for name, (*_, operation) in contract.operations.items() if 'x-peers-only' not in operation}
    assert curl.succeeded == of_users, of_users ^ curl.succeeded

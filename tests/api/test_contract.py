# SPDX-License-Identifier: MPL-2.0
"""What is documented happens, and nothing else happens, whatever is sent."""
import json

import pytest
from hypothesis import HealthCheck, given, settings

from support.bodies import bodies
from support.client import stream_spec
from support.contract import contract

FULL = settings(max_examples=200, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(HealthCheck))
NOWHERE = 'zzzzzz-zzzzzz-zzzzzz'
EXTERNAL = {'media_uri': 'rtp://127.0.0.1:9'}


def test_the_served_contract_is_the_one_of_the_tree(shared):
    yaml = shared.api.expect(200, 'GET', '/openapi/openapi.yaml').body
    from support.contract import ROOT
    assert yaml == (ROOT / 'api/openapi.yaml').read_bytes()
    assert shared.api.get('/openapi/openapi.json') == contract.document
    page = shared.api.expect(200, 'GET', '/openapi').body.decode()
    assert '<html' in page.lower() or '<!doctype' in page.lower()
    for elsewhere in ('src="http', "src='http", 'href="http://cdn', 'unpkg.com', 'jsdelivr'):
        assert elsewhere not in page, 'the page takes something from elsewhere'


def test_version_is_that_of_the_contract(shared):
    version = shared.api.get('/version')
    assert version['api'] == contract.document['info']['version']
    assert version['name'] == 'rocd' and version['libroc'].startswith('0.')


def _reads(api, endpoint, stream):
    yield 'GET', '/streams', None, {}
    yield 'GET', stream, None, {}
    yield 'GET', f'{stream}/glitches', None, {}
    for path in ('/peers', '/peers/self', '/peers/self/drivers', '/peers/self/endpoints', endpoint, '/state', '/version',
                 '/healthz', '/readyz', '/metrics', '/openapi', '/openapi/openapi.json', '/openapi/openapi.yaml'):
        yield 'GET', path, None, {}


# Statuses that cannot be had from outside at will; test_limits.py and test_restart.py have some of them.
ELSEWHERE = {429, 503, 507}


def test_every_documented_status_is_reached(daemon):
    api = daemon.api
    reached = set()

    def call(status, method, path, body=None, **options):
        reply = api.expect(status, method, path, body, **options)
        reached.add((contract.find(method, path)[0], status))
        return reply

    tone = {'kind': 'tone'}
    endpoints = '/peers/self/endpoints'
    endpoint = call(201, 'POST', endpoints, tone).json
    spec = stream_spec(endpoint, EXTERNAL, fec='none')
    stream = call(201, 'POST', '/streams', spec).json
    uri, stream_uri = endpoint['endpoint_uri'], stream['stream_uri']
    for method, path, body, headers in _reads(api, uri, stream_uri):
        call(200, method, path, body, headers=headers)
        call(400, method, path + '?nonsense=1')
    with api.events():
        reached.add(('get_events', 200))
    call(400, 'GET', '/events?nonsense=1')

    missing = {'/streams': spec, endpoints: tone}
    for collection, body in missing.items():
        gone = f'{collection}/{NOWHERE}'
        call(404, 'GET', gone)
        call(404, 'PUT', gone, body)
        call(404, 'PATCH', gone, {})
        call(404, 'DELETE', gone)
        call(201, 'PUT', gone, body, headers={'If-None-Match': '*'})
        call(412, 'PUT', gone, body, headers={'If-None-Match': '*'})
        call(200, 'PUT', gone, body)
        call(200, 'PATCH', gone, {'display_name': 'x'})
        call(412, 'PATCH', gone, {}, headers={'If-Match': '"99"'})
        call(412, 'DELETE', gone, headers={'If-Match': '"99"'})
        call(400, 'DELETE', gone + '?x=1')
        call(403, 'DELETE', gone, headers={'Origin': 'http://evil.example'})
        call(204, 'DELETE', gone)
    for path in ('/peers/' + NOWHERE, f'/peers/{NOWHERE}/drivers', f'/peers/{NOWHERE}/endpoints',
                 f'/streams/{NOWHERE}/glitches'):
        call(404, 'GET', path)
    call(404, 'POST', f'/peers/{NOWHERE}/endpoints', tone)
    call(404, 'PATCH', '/peers/' + NOWHERE, {})
    call(200, 'PATCH', '/peers/self', {'name': 'Tester'})
    call(412, 'PATCH', '/peers/self', {}, headers={'If-Match': '"99"'})

    for method, path, body in (('POST', '/streams', spec), ('PUT', stream_uri, spec), ('PATCH', stream_uri, {}),
                               ('POST', endpoints, tone), ('PUT', uri, tone), ('PATCH', uri, {}),
                               ('PATCH', '/peers/self', {})):
        call(400, method, path, data=b'{')
        call(413, method, path, data=b'{' + b' ' * 65536 + b'}')
        call(415, method, path, data=json.dumps(body).encode(), headers={'Content-Type': 'text/plain'})
        call(403, method, path, body, headers={'Origin': 'http://evil.example'})

    key = {'Idempotency-Key': 'once'}
    made = call(201, 'POST', '/streams', spec, headers=key).json
    assert call(201, 'POST', '/streams', spec, headers=key).json['stream_uid'] == made['stream_uid']
    other = spec | {'display_name': 'another'}
    call(422, 'POST', '/streams', other, headers=key)
    call(422, 'PUT', made['stream_uri'], other, headers=key | {'If-None-Match': '*'})
    call(204, 'DELETE', made['stream_uri'])
    api.problem(409, 'POST', '/streams', spec, headers=key)  # late, and the stream is gone

    attachment = f'/peers/self/attachments/{NOWHERE}'
    assert 'peers' in call(403, 'PUT', attachment, {}).json['detail']
    call(403, 'DELETE', attachment)

    # What only peers may call has no other answer over HTTP; api_attachments_test.c asks as one.
    documented = {(name, int(status)) for name, (*_, operation) in contract.operations.items()
                  for status in operation['responses']
                  if status != 'default' and (status == '403' or 'x-peers-only' not in operation)}
    # Conflicts have tests of their own, where there are any.
    left = sorted((n, s) for n, s in documented - reached if s not in ELSEWHERE and s != 409)
    assert not left, f'documented, and never seen: {left}'


def test_methods_and_paths(shared):
    api = shared.api
    for path in ('//streams', '/streams/', '///peers/self/', '/peers/self/endpoints//'):
        assert api.call('GET', path).status == 200, path
    uid = api.get('/peers/self')['peer_uid']
    assert api.get(f'/peers/{uid}') ['peer_uid'] == uid
    assert api.get('/peers/self')['peer_uri'] == f'/peers/{uid}'
    for path in ('/', '/nothing', '/streams/x/y', '/peers//self', '/openapi/nothing'):
        api.problem(404, 'GET', path)
    for method, path, allowed in (('DELETE', '/streams', {'GET', 'HEAD', 'POST'}),
                                  ('POST', '/version', {'GET', 'HEAD'}),
                                  ('POST', f'/streams/{NOWHERE}', {'GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'})):
        reply = api.expect(405, method, path, {} if method == 'POST' else None)
        assert set(reply.headers['Allow'].split(', ')) == allowed
    head = api.call('HEAD', '/version')
    assert head.status == 200 and not head.body
    assert int(head.headers['Content-Length']) == len(api.call('GET', '/version').body)


@pytest.mark.slow
def test_no_stream_body_breaks_it(shared):
    @FULL
    @given(bodies('StreamSpec'))
    def run(body):
        reply = shared.api.call('POST', '/streams', body)
        assert reply.status in (201, 400, 409, 429), reply
        if reply.status == 201:
            assert not contract.errors(contract.schema('StreamSpec'), body)
            shared.api.delete(reply.json['stream_uri'])
    run()
    shared.assert_alive()


@pytest.mark.slow
def test_no_endpoint_body_breaks_it(shared):
    @FULL
    @given(bodies('EndpointSpec'))
    def run(body):
        reply = shared.api.call('POST', '/peers/self/endpoints', body)
        assert reply.status in (201, 400, 409, 429), reply
        if reply.status == 201:
            assert not contract.errors(contract.schema('EndpointSpec'), body)
            shared.api.delete(reply.json['endpoint_uri'])
    run()
    shared.assert_alive()

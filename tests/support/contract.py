# SPDX-License-Identifier: MPL-2.0
"""Holds every exchange against api/openapi.yaml: operation, status, media type, headers, body."""
import datetime
import ipaddress
import json
import re
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]

formats = jsonschema.FormatChecker(formats=())


@formats.checks('uid')
def _uid(value):
    return not isinstance(value, str) or re.fullmatch(r'[a-z0-9]{6}-[a-z0-9]{6}-[a-z0-9]{6}', value) is not None


@formats.checks('name')
def _name(value):
    return not isinstance(value, str) or not re.search(r'[\x00-\x1f\x7f]', value)


@formats.checks('file-name')
def _file_name(value):
    return not isinstance(value, str) or (not re.search(r'[\x00-\x1f\x7f\\]', value) and
                                          all(part not in ('', '.', '..') for part in value.split('/')))


@formats.checks('ip', raises=ValueError)
def _ip(value):
    return not isinstance(value, str) or bool(ipaddress.ip_address(value))


@formats.checks('date-time', raises=ValueError)
def _date_time(value):
    if not isinstance(value, str):
        return True
    return bool(datetime.datetime.strptime(value, '%Y-%m-%dT%H:%M:%S.%fZ')) and len(value) == 24


def _max_length(validator, limit, value, schema):
    """The contract counts bytes."""
    if isinstance(value, str) and len(value.encode('utf-8', 'surrogatepass')) > limit:
        yield jsonschema.ValidationError(f'{value!r} has more than {limit} bytes')


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {'maxLength': _max_length})

# What the data of each event is.
EVENTS = {'peer_added': 'Peer', 'peer_updated': 'Peer', 'endpoint_added': 'Endpoint', 'endpoint_updated': 'Endpoint',
          'stream_added': 'Stream', 'stream_updated': 'Stream', 'peer_removed': 'Removed', 'endpoint_removed': 'Removed',
          'stream_removed': 'Removed', 'meter': 'Meter', 'log': 'LogRecord', 'reset': 'Reset'}


class Broken(AssertionError):
    """The daemon and its contract differ."""


class Contract:
    def __init__(self, path=ROOT / 'api/openapi.yaml'):
        self.document = yaml.safe_load(path.read_text(encoding='utf-8'))
        self.resolver = jsonschema.RefResolver.from_schema(self.document)
        self.seen = set()  # (operationId, status)
        self.operations = {}
        for template, item in self.document['paths'].items():
            pattern = re.compile(re.sub(r'\{\w+\}', '[^/]+', template))
            for method, operation in item.items():
                if method != 'parameters':
                    self.operations[operation['operationId']] = (method.upper(), template, pattern, operation)

    def resolve(self, node):
        while '$ref' in node:
            node = self.resolver.resolve(node['$ref'])[1]
        return node

    def find(self, method, path):
        path = re.sub('^/+', '/', path.split('?')[0]).rstrip('/') or '/'
        for name, (verb, _, pattern, operation) in self.operations.items():
            if verb == ('GET' if method == 'HEAD' else method) and pattern.fullmatch(path):
                return name, operation
        return None, None

    def schema(self, name):
        return {'$ref': f'#/components/schemas/{name}'}

    def errors(self, schema, value):
        validator = Validator(schema, resolver=self.resolver, format_checker=formats)
        return [f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(value)]

    def check(self, schema, value, what):
        errors = self.errors(schema, value)
        if errors:
            raise Broken(f'{what} is not as the contract says:\n' + '\n'.join(errors) + f'\n{json.dumps(value)[:2000]}')

    def check_event(self, kind, data):
        if kind not in EVENTS:
            raise Broken(f'event {kind!r} is not in the contract')
        self.check(self.schema(EVENTS[kind]), data, f'event {kind}')

    def check_exchange(self, method, path, request_body, status, headers, body):
        """headers: case-insensitive; request_body: parsed, or None where it was not JSON."""
        name, operation = self.find(method, path)
        what = f'{method} {path} -> {status}'
        if name is None:
            if status not in (404, 405, 400, 403, 413, 414, 421, 431):
                raise Broken(f'{what}: there is no such operation')
            self.check_body(self.document['components']['responses']['Problem'], method, headers, body, what)
            if status == 405 and not headers.get('Allow'):
                raise Broken(f'{what} has no Allow header')
            return
        self.seen.add((name, status))
        response = operation['responses'].get(str(status))
        if response is None:
            if status < 400:
                raise Broken(f'{what}: {name} does not know this status')
            response = operation['responses']['default']
        response = self.resolve(response)
        for header, spec in response.get('headers', {}).items():
            if header not in headers:
                raise Broken(f'{what} has no {header} header')
            if header == 'ETag' and not re.fullmatch(r'"\d+"', headers[header]):
                raise Broken(f'{what}: {headers[header]!r} is no ETag of ours')
        self.check_body(response, method, headers, body, what)
        if 200 <= status < 300 and 'requestBody' in operation and method != 'PATCH':
            content = operation['requestBody']['content']['application/json']
            self.check(content['schema'], request_body, f'{what}: the body that was accepted')

    def check_body(self, response, method, headers, body, what):
        content = response.get('content')
        if not content:
            if body:
                raise Broken(f'{what} has a body: {body[:200]!r}')
            return
        kind = headers.get('Content-Type', '').split(';')[0].strip()
        if kind not in content:
            raise Broken(f'{what} is {kind!r}, and the contract knows {list(content)}: {body[:200]!r}')
        if method == 'HEAD':
            if body:
                raise Broken(f'{what} has a body')
        elif kind.endswith('json'):
            try:
                value = json.loads(body)
            except ValueError as e:
                raise Broken(f'{what} is not JSON: {e}: {body[:200]!r}') from e
            self.check(content[kind]['schema'], value, what)


contract = Contract()

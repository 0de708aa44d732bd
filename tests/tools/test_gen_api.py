# SPDX-License-Identifier: MPL-2.0
"""tools/gen-api: the same contract gives the same bytes, and a contract outside of its subset is refused with place and
reason, never with a traceback. tools/embed as well."""
import copy
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PYTHON = '/usr/bin/python3'  # the one that the build takes
OUTPUTS = {'--model-h': 'model_gen.h', '--model-c': 'model_gen.c', '--routes-h': 'routes_gen.h',
           '--routes-c': 'routes_gen.c', '--json': 'openapi.json'}


def generate(contract, to, **env):
    to.mkdir(exist_ok=True)
    command = [PYTHON, ROOT / 'tools/gen-api', contract]
    for option, name in OUTPUTS.items():
        command += [option, to / name]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, encoding='utf-8', timeout=120,
                          check=False)


# A whole contract, as small as it can be.
SMALL = yaml.safe_load('''
openapi: 3.1.0
info: {title: small, version: 1.0.0}
paths:
  /things/{uid}:
    parameters:
      - {$ref: '#/components/parameters/Uid'}
    get: {operationId: get_thing, summary: A thing., x-privilege: viewer, responses: {}}
    put:
      operationId: put_thing
      summary: Makes one.
      x-privilege: admin
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
      responses: {}
components:
  parameters:
    Uid: {name: uid, in: path, required: true, schema: {$ref: '#/components/schemas/Uid'}}
  schemas:
    Uid: {type: string, format: uid, maxLength: 20}
    Thing:
      type: object
      additionalProperties: false
      required: [size]
      properties:
        size: {type: integer, format: int32, minimum: 1}
        colour: {type: string, enum: [red, blue], default: red}
        part: {$ref: '#/components/schemas/Part'}
    Part:
      type: object
      additionalProperties: false
      properties:
        label: {type: string, maxLength: 8}
''')


@pytest.fixture
def small():
    return copy.deepcopy(SMALL)


def test_the_same_contract_gives_the_same_bytes(tmp_path):
    for n, seed in enumerate(('1', '2')):
        done = generate(ROOT / 'api/openapi.yaml', tmp_path / str(n), PYTHONHASHSEED=seed, LC_ALL='C' if n else 'C.UTF-8')
        assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    for name in OUTPUTS.values():
        first = (tmp_path / '0' / name).read_bytes()
        assert first and first == (tmp_path / '1' / name).read_bytes(), name
        assert str(tmp_path).encode() not in first and str(ROOT).encode() not in first, f'{name} names a folder'


def test_what_is_made_is_what_the_build_has(tmp_path):
    """The contract decides alone: the build adds nothing."""
    build = Path(os.environ.get('ROCD_BUILD', ROOT / 'build-test'))
    assert generate(ROOT / 'api/openapi.yaml', tmp_path).returncode == 0
    for folder, names in (('model', ('model_gen.h', 'model_gen.c')), ('api', ('routes_gen.h', 'routes_gen.c', 'openapi.json'))):
        for name in names:
            assert (build / 'src' / folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_served_document_is_the_contract(tmp_path):
    assert generate(ROOT / 'api/openapi.yaml', tmp_path).returncode == 0
    contract = yaml.safe_load((ROOT / 'api/openapi.yaml').read_text(encoding='utf-8'))
    served = json.loads((tmp_path / 'openapi.json').read_text(encoding='utf-8'))
    assert json.dumps(served, sort_keys=True) == json.dumps(contract, sort_keys=True, default=str)


def test_a_small_contract(small, tmp_path):
    path = tmp_path / 'small.yaml'
    path.write_text(yaml.safe_dump(small, sort_keys=False))
    done = generate(path, tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    header = (tmp_path / 'out/model_gen.h').read_text()
    assert 'struct thing {\n    int32_t size;\n    enum thing_colour colour;\n    enum presence has_part;\n    struct part part;\n};' \
        in header.replace('\n\n', '\n')
    assert header.index('struct part {') < header.index('struct thing {'), 'what is held comes first'
    routes = (tmp_path / 'out/routes_gen.c').read_text()
    assert '.handler = api_put_thing}' in routes and '.privilege = API_ADMIN' in routes and '.max_body = 65536' in routes


def thing(d):
    return d['components']['schemas']['Thing']


def size(d):
    return thing(d)['properties']['size']


def path(d):
    return d['paths']['/things/{uid}']


THING = '#/components/schemas/Thing'
PLACE = '#/paths//things/{uid}'

BAD = {
    # name: (what is done, what the message must hold)
    'no paths': (lambda d: d.pop('paths'), ["#: 'paths' is missing"]),
    'no components': (lambda d: d.pop('components'), ["#: 'components' is missing"]),
    'no schemas': (lambda d: d['components'].pop('schemas'), ["#/components: 'schemas' is missing"]),
    'unknown keyword at the top': (lambda d: d.update(webhooks={}), ["#: 'webhooks' is not in the subset"]),
    # schemas
    'unknown type': (lambda d: size(d).update(type='complex'), [f"{THING}/properties/size: type 'complex' is not in the subset"]),
    'no type': (lambda d: size(d).pop('type'), [f'{THING}/properties/size: type None']),
    'list of types': (lambda d: size(d).update(type=['integer', 'string']), [f'{THING}/properties/size: a type is one word']),
    'unknown format': (lambda d: size(d).update(type='string', format='colour', minimum=None),
                       [f'{THING}/properties/size:']),
    'integer without a width': (lambda d: size(d).pop('format'), [f'{THING}/properties/size: an integer wants format int32']),
    'string without a length': (lambda d: d['components']['schemas']['Part']['properties']['label'].pop('maxLength'),
                                ["#/components/schemas/Part/properties/label: 'maxLength' is missing"]),
    'unknown keyword': (lambda d: size(d).update(multipleOf=2), [f"{THING}/properties/size: 'multipleOf' is not in the subset"]),
    'open object': (lambda d: thing(d).pop('additionalProperties'), [f'{THING}: an object wants additionalProperties: false']),
    'required, not there': (lambda d: thing(d)['required'].append('weight'), [f"{THING}/required: there is no property 'weight'"]),
    'a word of C': (lambda d: thing(d)['properties'].update(register={'type': 'boolean'}), ["'register' is a word of C"]),
    'a name with a hyphen': (lambda d: thing(d)['properties'].update({'a-b': {'type': 'boolean'}}), ["'a-b' is not a lower-case word"]),
    'a property that is no mapping': (lambda d: thing(d)['properties'].update(size='integer'), [f'{THING}/properties/size: want a mapping']),
    'a schema that is no mapping': (lambda d: d['components']['schemas'].update(Odd=[]), ['#/components/schemas/Odd: want a mapping']),
    'a schema in lower case': (lambda d: d['components']['schemas'].update(odd={}), ['#/components/schemas/odd: names of schemas']),
    'reference to nothing': (lambda d: thing(d)['properties']['part'].update({'$ref': '#/components/schemas/Pert'}),
                             [f'{THING}/properties/part: there is no #/components/schemas/Pert']),
    'holds itself': (lambda d: d['components']['schemas']['Part']['properties'].update(up={'$ref': THING}),
                     ['Thing holds itself']),
    'enum twice': (lambda d: thing(d)['properties']['colour']['enum'].append('red'), ['an enum wants distinct values']),
    'enum of a boolean': (lambda d: thing(d)['properties']['colour'].update(enum=[True, 'red']), ['True is not a lower-case word']),
    'default of another type': (lambda d: thing(d)['properties']['colour'].update(default='green'),
                                [f"{THING}/properties/colour: default 'green' is not of the type"]),
    'default of what is required': (lambda d: size(d).update(default=3), [f'{THING}/properties/size: what is required has no default']),
    'array without a length': (lambda d: thing(d)['properties'].update(all={'type': 'array', 'items': {'type': 'boolean'}}),
                               [f"{THING}/properties/all: 'maxItems' is missing"]),
    'too many members': (lambda d: thing(d)['properties'].update({f'm{i}': {'type': 'boolean'} for i in range(61)}),
                         [f'{THING}: 64 properties, and at most 63 are taken']),
    # routes
    'no operationId': (lambda d: path(d)['get'].pop('operationId'), [f"{PLACE}/get: 'operationId' is missing"]),
    'operationId twice': (lambda d: path(d)['put'].update(operationId='get_thing'),
                          [f'{PLACE}/put: operationId get_thing is given twice']),
    'operationId that is no name in C': (lambda d: path(d)['get'].update(operationId='getThing'), [f'{PLACE}/get/operationId:']),
    'no privilege': (lambda d: path(d)['put'].pop('x-privilege'), [f"{PLACE}/put: 'x-privilege' is missing"]),
    'unknown privilege': (lambda d: path(d)['put'].update({'x-privilege': 'root'}),
                          [f'{PLACE}/put: x-privilege is one of viewer, operator, admin']),
    'no summary': (lambda d: path(d)['get'].pop('summary'), [f"{PLACE}/get: 'summary' is missing"]),
    'unknown method': (lambda d: path(d).update(trace={}), [f"{PLACE}: 'trace' is not in the subset"]),
    'path without its parameter': (lambda d: path(d).pop('parameters'),
                                   [f'{PLACE}/get: the parameters of the path and those declared differ']),
    'parameter that is not there': (lambda d: path(d)['parameters'][0].update({'$ref': '#/components/parameters/Id'}),
                                    [f'{PLACE}/get: there is no #/components/parameters/Id']),
    'body of another kind': (lambda d: path(d)['put']['requestBody'].update(content={'text/plain': {}}),
                             ['text/plain is not in the subset']),
    'body without a schema': (lambda d: path(d)['put']['requestBody'].update(content={'application/json': {}}),
                              [f"{PLACE}/put/requestBody/content/application/json/schema: 'schema' is missing"]),
    'optional body': (lambda d: path(d)['put']['requestBody'].update(required=False), ['a body must be required: true']),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_contract_is_refused(small, tmp_path, name):
    do, wanted = BAD[name]
    do(small)
    contract = tmp_path / 'bad.yaml'
    contract.write_text(yaml.safe_dump(small, sort_keys=False))
    done = generate(contract, tmp_path / 'out')
    assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stderr
    assert done.stderr.startswith(f'{contract}: ') and done.stderr.count('\n') == 1
    for part in wanted:
        assert part in done.stderr
    assert not list((tmp_path / 'out').iterdir()), 'half of a generated file is worse than none'


@pytest.mark.parametrize('text, wanted', [
    ('openapi: 3.1.0\nopenapi: 3.1.0\n', "line 2: 'openapi' is given twice"),
    ('openapi: 3.1.0\n200: x\n', 'line 2: the key 200 is not a string: quote it'),
    ('openapi: [\n', 'line 2'),
    ('- a\n', '#: want a mapping'),
    ('', '#: want a mapping'),
])
def test_text_that_is_no_contract_is_refused(tmp_path, text, wanted):
    contract = tmp_path / 'bad.yaml'
    contract.write_text(text)
    done = generate(contract, tmp_path / 'out')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert wanted in done.stderr


def test_the_real_contract_names_what_is_broken(tmp_path):
    text = (ROOT / 'api/openapi.yaml').read_text(encoding='utf-8')
    contract = tmp_path / 'openapi.yaml'
    contract.write_text(text.replace('operationId: get_version\n', 'operationId: get_state\n'), encoding='utf-8')
    done = generate(contract, tmp_path / 'out')
    assert done.returncode == 1
    assert '#/paths//version/get: operationId get_state is given twice' in done.stderr or \
        '#/paths//state/get: operationId get_state is given twice' in done.stderr


def test_embed_keeps_every_byte(tmp_path):
    data = bytes(range(256)) * 3 + b'"\\\n'
    (tmp_path / 'in').write_bytes(data)
    (tmp_path / 'empty').write_bytes(b'')
    subprocess.run([PYTHON, ROOT / 'tools/embed', tmp_path / 'e.c', tmp_path / 'e.h', f'one={tmp_path}/in', f'two={tmp_path}/empty'],
                   check=True, timeout=60)
    (tmp_path / 'main.c').write_text('#include "e.h"\n#include <stdio.h>\nint main(void) {\n'
                                     '    fwrite(one, 1, one_len, stdout);\n    return one[one_len] || two_len || two[0];\n}\n')
    subprocess.run(['gcc-14', tmp_path / 'main.c', tmp_path / 'e.c', '-o', tmp_path / 'main'], check=True, timeout=120)
    assert subprocess.run([tmp_path / 'main'], check=True, stdout=subprocess.PIPE, timeout=60).stdout == data

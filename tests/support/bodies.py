# SPDX-License-Identifier: MPL-2.0
"""Request bodies made from the contract, for hypothesis: right ones, and ones with something wrong in them."""
from hypothesis import strategies as st

from support.contract import contract

TEXT = st.text(alphabet=st.characters(blacklist_categories=('Cs', 'Cc')), max_size=20)
ANYTHING = st.recursive(st.none() | st.booleans() | st.integers(-10**12, 10**12) |
                        st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
                        max_leaves=6)
URIS = st.sampled_from([
    'rtp://127.0.0.1:0', 'rtp+rs8m://127.0.0.1:0', 'rs8m://127.0.0.1:0', 'rtp+ldpc://[::1]:0', 'ldpc://[::1]:0',
    'rtcp://127.0.0.1:0', 'rtp://127.0.0.1', 'rtp://:1', 'rtp://127.0.0.1:99999', 'rtp://127.0.0.1:1/x', 'http://x:1', '',
    '/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa', '/peers/self', '/streams/aaaaaa-aaaaaa-aaaaaa', '/', '//'])


def value_of(schema, place=''):
    schema_here = {**contract.resolve(schema), **{k: v for k, v in schema.items() if k != '$ref'}}
    if 'oneOf' in schema_here:
        return st.one_of(*[value_of(choice) for choice in schema_here['oneOf']])
    if 'const' in schema_here:
        return st.just(schema_here['const'])
    if 'enum' in schema_here:
        return st.sampled_from(schema_here['enum'])
    kinds = schema_here.get('type')
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return st.one_of(*[_of_kind(kind, schema_here, place) for kind in kinds])


def _of_kind(kind, schema, place):
    if kind == 'null':
        return st.none()
    if kind == 'boolean':
        return st.booleans()
    if kind == 'integer':
        return st.integers(schema.get('minimum', -2**31), schema.get('maximum', 2**31 - 1))
    if kind == 'number':
        return st.floats(schema.get('minimum', -1e6), schema.get('maximum', 1e6), allow_nan=False)
    if kind == 'array':
        return st.lists(value_of(schema['items']), max_size=min(schema.get('maxItems', 3), 4))
    if kind == 'string':
        if place.endswith('_uri'):
            return URIS
        if schema.get('format') == 'ip':
            return st.sampled_from(['127.0.0.1', '::1', '192.0.2.1'])
        return TEXT.filter(lambda s: len(s) >= schema.get('minLength', 0))
    required = {name: value_of(schema['properties'][name], name) for name in schema.get('required', [])}
    optional = {name: value_of(prop, name) for name, prop in schema['properties'].items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def bodies(draw, name):
    """A body of this schema; every second time something in it is spoiled."""
    body = draw(value_of(contract.schema(name)))
    for _ in range(draw(st.integers(0, 2))):
        place = body
        while isinstance(place, dict) and place and draw(st.booleans()):
            inner = [v for v in place.values() if isinstance(v, dict) and v]
            if not inner:
                break
            place = draw(st.sampled_from(inner))
        if place and draw(st.booleans()):
            key = draw(st.sampled_from(sorted(place)))
            if draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(ANYTHING)
        else:
            place[draw(st.text(max_size=8))] = draw(ANYTHING)
    return body

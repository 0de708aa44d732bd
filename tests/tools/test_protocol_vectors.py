# SPDX-License-Identifier: MPL-2.0
"""The test vectors of docs/protocol.md are what its text says, and the ones that the unit tests check."""
import base64
import hashlib
import re
import string

from support.contract import ROOT

TEXT = (ROOT / 'docs/protocol.md').read_text()
VECTORS = TEXT[TEXT.index('## Test vectors'):]
NODE_ID = r'(?:[a-z2-7]{7}-){7}[a-z2-7]{7}'


def groups(text, n):
    return '-'.join(text[i:i + n] for i in range(0, len(text), n))


def node_id(key):
    def base32(raw):
        return base64.b32encode(raw).decode().lower().rstrip('=')
    return groups(base32(key) + base32(hashlib.sha256(b'rocd node id' + key).digest())[:4], 7)


def uid(key):
    letters = string.ascii_lowercase + string.digits
    return groups(''.join(letters[b % 36] for b in hashlib.sha256(b'\x01' + key).digest()[:18]), 6)


def test_ids_follow_from_keys():
    found = re.findall(rf'public key  ([0-9a-f]{{64}})\n +node id +({NODE_ID})\n +uid +(\S+)', VECTORS)
    assert len(found) == 3
    for key, listed_id, listed_uid in found:
        key = bytes.fromhex(key)
        assert (node_id(key), uid(key)) == (listed_id, listed_uid)
        assert listed_uid in VECTORS[VECTORS.index('rocd-grant-1'):], 'each has its part in the grant'


def test_the_refused_ones_are_refused_for_their_keys_alone():
    for listed in re.findall(rf'^    ({NODE_ID})$', VECTORS, re.M):
        key = base64.b32decode(listed.replace('-', '')[:52].upper() + '====')
        assert node_id(key) == listed


def test_the_unit_tests_check_the_same():
    checked = ''.join(path.read_text() for path in sorted((ROOT / 'src').rglob('*_test.c')))
    checked = re.sub(r'"[\s\\]*"', '', checked)  # texts in parts
    told = re.sub(r'shared secret.*', '', VECTORS)  # on the way to the keys, which are checked
    vectors = re.findall(rf'{NODE_ID}|[0-9a-f]{{58,}}', told)
    assert len(vectors) > 15
    for vector in vectors:
        assert vector in checked, vector

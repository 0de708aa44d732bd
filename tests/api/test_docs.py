# SPDX-License-Identifier: MPL-2.0
"""The page at /openapi is whole by itself, and what it shows of the contract is there to be shown."""
import re
from html.parser import HTMLParser

from support.contract import contract

METHODS = ('get', 'post', 'put', 'patch', 'delete')
VOID = {'meta', 'input', 'br', 'img', 'link', 'hr'}


class Page(HTMLParser):
    """Notes what the page would load, and whether its tags close as they opened."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.scripts, self.open, self.wrong = [], [], [], [], []
        self.ids = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get('id'))
        self.loads += [attributes[name] for name in ('src', 'srcset', 'action', 'data', 'background') if name in attributes]
        if 'href' in attributes:
            (self.loads if tag in ('link', 'base') else self.links).append(attributes['href'])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == 'script':
            self.scripts.append(data)


def test_the_page_is_whole_by_itself(shared):
    for path in ('/openapi', '/openapi/', '//openapi'):
        reply = shared.api.expect(200, 'GET', path)
        assert reply.headers['Content-Type'] == 'text/html; charset=utf-8'
    text = reply.body.decode('utf-8')
    assert len(reply.body) < 25 * 1024
    page = Page(text)
    assert not page.wrong and not page.open, (page.wrong, page.open)
    assert not page.loads, f'the page loads {page.loads}'
    assert not re.findall(r'https?:|@import|\burl\(|\bimport\(|<iframe', text), 'the page names something elsewhere'
    assert not re.findall(r'innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function', text)
    for link in page.links:
        assert link.startswith('#') or shared.api.call('GET', link).status == 200, link
    for wanted in re.findall(r"fetch\('([^']+)'", ''.join(page.scripts)):
        assert shared.api.get(wanted) == contract.document
    for name in re.findall(r"\$\('([a-z]+)'\)", ''.join(page.scripts)):
        assert name in page.ids, f'the script looks for #{name}'
    assert 'prefers-color-scheme: dark' in text and ':focus-visible' in text


def test_the_policy_lets_nothing_in_from_elsewhere(shared):
    reply = shared.api.expect(200, 'GET', '/openapi')
    rules = dict(rule.strip().split(' ', 1) for rule in reply.headers['Content-Security-Policy'].split(';'))
    assert rules['default-src'] in ("'self'", "'none'") and rules['frame-ancestors'] == "'none'"
    for name, sources in rules.items():
        assert set(sources.split()) <= {"'self'", "'none'", "'unsafe-inline'"}, name
    for name in ('script-src', 'style-src'):
        assert "'unsafe-inline'" in rules[name], f'the page has no {name} of its own'
    assert reply.headers['X-Content-Type-Options'] == 'nosniff'


def test_all_that_the_page_lists_is_in_the_contract(shared):
    document = shared.api.get('/openapi/openapi.json')
    tags = {tag['name'] for tag in document['tags']}
    names = []
    for path, item in document['paths'].items():
        for method in METHODS:
            operation = item.get(method)
            if not operation:
                continue
            names.append(operation['operationId'])
            # The page lists an operation under its first tag, and one without a tag not at all.
            assert operation['tags'][0] in tags, (method, path)
            assert operation['summary'] and 'default' in operation['responses'], (method, path)
            for media in operation.get('requestBody', {}).get('content', {}).values():
                assert '$ref' in media['schema'], f'{method} {path}: the page finds an example by the name of the schema'
    assert len(names) == len(set(names)) == len(contract.operations)

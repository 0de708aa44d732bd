# SPDX-License-Identifier: MPL-2.0
"""The exposition format, read as strictly as it is written down."""
import re
import resource

from support.net import roc_uris
from support.wait import wait_until

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse(text):
    """{name: (type, {labels: value})}; refuses what is not exactly right."""
    assert text.endswith('\n') and '\r' not in text
    families, family = {}, None
    for line in text[:-1].split('\n'):
        if line.startswith('# HELP '):
            name, help_text = line[7:].split(' ', 1)
            assert name not in families, f'{name} begins twice'
            assert help_text.strip()
            family = families[name] = [None, {}]
        elif line.startswith('# TYPE '):
            name, kind = line[7:].split(' ')
            assert families.get(name) is family and family[0] is None and not family[1], line
            assert kind in ('counter', 'gauge')
            family[0] = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            name, labels, value = match.groups()
            assert families.get(name) is family and family[0], f'{line} stands outside its family'
            pairs = LABEL.findall(labels or '')
            assert ','.join(f'{k}="{v}"' for k, v in pairs) == (labels or ''), line
            assert len({k for k, _ in pairs}) == len(pairs)
            key = tuple(sorted((k, v.replace('\\n', '\n').replace('\\"', '"').replace('\\\\', '\\')) for k, v in pairs))
            assert key not in family[1], f'{line} comes twice'
            family[1][key] = float(value)
            if family[0] == 'counter':
                assert float(value) >= 0 and name.endswith('_total'), line
    return families


def read(api):
    reply = api.expect(200, 'GET', '/metrics')
    assert reply.headers['Content-Type'].startswith('text/plain; version=0.0.4')
    return parse(reply.body.decode())


def value(families, name, /, **labels):
    found = [v for key, v in families[name][1].items() if set(labels.items()) <= set(key)]
    assert len(found) == 1, (name, labels, families[name][1])
    return found[0]


def test_it_is_well_formed_with_whatever_names(daemon):
    api = daemon.api
    source = api.endpoint(kind='tone', display_name='a "quoted" \\ name {x="y"} ö')
    stream = api.stream(source, api.sink(), display_name='}\\"', enabled=False)
    families = read(api)
    assert value(families, 'rocd_endpoint_state', endpoint=source['endpoint_uid'], state='available',
                 name='a "quoted" \\ name {x="y"} ö') == 1
    assert value(families, 'rocd_stream_state', stream=stream['stream_uid'], state='stopped', name='}\\"') == 1
    assert value(families, 'rocd_stream_state', stream=stream['stream_uid'], state='running', name='}\\"') == 0
    for name, family in families.items():
        assert family[0], name


def test_it_says_what_the_api_says(daemon):
    api = daemon.api
    sink = api.sink()
    stream = api.stream(api.tone(level_dbfs=-10), sink)
    uid = stream['stream_uid']
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    wait_until(lambda: value(read(api), 'rocd_stream_packets_received_total', stream=uid) > 50, 'packets')
    first = read(api)
    wait_until(lambda: value(read(api), 'rocd_stream_bytes_total', stream=uid) > value(first, 'rocd_stream_bytes_total', stream=uid),
               'the counters to grow')
    assert value(first, 'rocd_stream_state', stream=uid, state='running') == 1
    assert value(first, 'rocd_stream_latency_seconds', stream=uid, stage='target') * 1000 == \
        api.get(stream['stream_uri'])['status']['latency_ms']['target']
    levels = [v for key, v in first['rocd_stream_level_dbfs'][1].items() if ('stream', uid) in key]
    assert len(levels) == 2 and all(-120 <= v <= 0 for v in levels)
    assert value(first, 'rocd_endpoint_active_streams', endpoint=sink['endpoint_uid']) == 1
    api.delete(stream['stream_uri'])
    assert not [k for k in read(api)['rocd_stream_state'][1] if ('stream', uid) in k]


def test_process_and_requests(daemon):
    api = daemon.api
    before = read(api)
    for _ in range(7):
        api.get('/version')
        api.problem(404, 'GET', '/nothing')
    after = read(api)
    assert value(after, 'rocd_api_replies_total', operation='get_version', code='200') == 7
    assert value(after, 'rocd_api_replies_total', operation='none', code='404') == 7
    assert after['process_cpu_seconds_total'][1][()] >= before['process_cpu_seconds_total'][1][()]
    assert 1e6 < after['process_resident_memory_bytes'][1][()] < after['process_virtual_memory_bytes'][1][()]
    assert 3 < after['process_open_fds'][1][()] < after['process_max_fds'][1][()]
    with api.events() as events:
        events.wait_greeting()
        assert read(api)['rocd_event_subscribers'][1][()] == 1
    assert value(after, 'rocd_build_info', peer=api.get('/peers/self')['peer_uid']) == 1


def test_the_limit_of_open_files_is_raised_as_far_as_it_may(daemons):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    api = daemons(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))).api
    assert read(api)['process_max_fds'][1][()] == min(8192, hard)


def test_external_streams_are_there_too(daemon):
    api = daemon.api
    stream = api.stream(roc_uris([0, 0, 0]), api.sink())
    wait_until(lambda: api.stream_is(stream, 'connecting'), 'it to listen')
    assert value(read(api), 'rocd_stream_packets_received_total', stream=stream['stream_uid']) == 0

# SPDX-License-Identifier: MPL-2.0
"""Between peers latency is measured by pings: with clocks of their own, over real sockets."""
import pytest

from support.client import stream_spec
from support.site import Site
from support.wait import wait_until


@pytest.fixture
def site(workdir):
    made = Site(workdir, ('a', 'b'))
    yield made
    made.close()


def test_latency_between_peers_is_measured_and_told_anywhere(site):
    site.start()
    a, b = site.api('a'), site.api('b')
    stream = b.post('/streams', stream_spec(a.tone(), b.sink(), target_latency_ms=100))

    def measured(api):
        latency = api.get(stream['stream_uri'])['status']['latency_ms']
        return latency.get('method') == 'measured' and latency

    for api in (b, a):
        latency = wait_until(lambda api=api: measured(api), 'the latency to be measured', deadline=60)
        assert abs(sum(s['ms'] for s in latency['stages'].values()) - latency['end_to_end']) < 0.01
        assert latency['end_to_end'] > 50 and 0 <= latency['network'] < 100
        assert latency['stages']['fec_block']['ms'] == 85  # 17 packets of 5 ms
    b.delete(stream['stream_uri'])

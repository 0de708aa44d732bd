# SPDX-License-Identifier: MPL-2.0
"""What is left of a peer of a site when its file descriptors are used up."""
import contextlib
import socket
import time

import pytest

from support.process import cpu_s, limit_files, n_files
from support.site import Site
from support.wait import wait_until


@pytest.fixture
def site(workdir):
    site = Site(workdir)
    with contextlib.closing(site):
        yield site


def knock(address):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(address)
    return s


def host_port(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def test_without_descriptors_sound_goes_on_and_nothing_spins(site):
    """Strangers knock wherever the sink's peer listens, and a listed peer comes back: it gets in when there is room again."""
    site.start()
    a, b = site.api('a'), site.api('b')
    stream = a.stream(a.tone(), b.sink(), target_latency_ms=200)
    received = lambda: a.get(stream['stream_uri'])['status']['packets']['received']  # noqa: E731
    wait_until(lambda: a.stream_is(stream, 'running'), 'sound', deadline=60)
    pid = site.daemons['b'].process.pid
    site.daemons['c'].stop()
    wait_until(lambda: any(p['state'] != 'online' for p in b.get('/peers')), 'c to be gone')
    begin, used = time.monotonic(), cpu_s(pid)
    wait_until(lambda: time.monotonic() - begin > 2, 'two seconds as they should be', pause=0.25)
    usual = (cpu_s(pid) - used) / (time.monotonic() - begin)

    limit_files(pid, n_files(pid))
    with contextlib.ExitStack() as stack:
        for address in (site.addresses['b'], site.daemons['b'].address):
            for _ in range(20):
                stack.enter_context(knock(host_port(address)))
        site.start_one('c')
        begin, used, before = time.monotonic(), cpu_s(pid), received()
        while time.monotonic() - begin < 3:
            assert received() >= before  # asked by the link it has
            time.sleep(0.2)  # for three seconds is looked at what it does: no event ends them
        used = (cpu_s(pid) - used) / (time.monotonic() - begin)
        assert used < 2 * usual + 0.3
        assert received() > before and a.stream_is(stream, 'running', 'degraded')
    limit_files(pid, 1024)
    wait_until(site.all_online, 'c to be let in', deadline=60)
    assert b.get('/streams')

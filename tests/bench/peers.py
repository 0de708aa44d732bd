# SPDX-License-Identifier: MPL-2.0
"""What peers of a site cost each other, and how soon sound is back after one of them was killed."""
import os
import statistics
import time

from bench.figures import Figure
from bench.processes import cpu_s, run_json
from support.site import Site
from support.wait import wait_until

TARGET_MS = 100


def descriptors(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def private_kb(pid):
    with open(f'/proc/{pid}/smaps_rollup') as f:
        return sum(int(line.split()[1]) for line in f if line.startswith(('Private_Dirty', 'Private_Clean')))


def site_of(bench, n):
    site = Site(bench.new_directory('site'), [f'p{i}' for i in range(n)])
    bench.stack.callback(site.close)
    return site


def requests(bench, site):
    """The same GET where its object is and through another peer."""
    sink = site.api('p1').sink()
    found = {'p1': [], 'p0': []}
    for i in range(1 if bench.short else 6):
        if i:
            time.sleep(1)  # a peer may look at 250 objects a second, 500 at once
        for where, times in found.items():
            api = site.api(where)
            for _ in range(150):
                begin = time.perf_counter()
                api.get(sink['endpoint_uri'])
                times.append((time.perf_counter() - begin) * 1000)
    found = {where: sorted(times) for where, times in found.items()}
    for p in (50, 99):
        here, there = (found[w][len(found[w]) * p // 100] for w in ('p1', 'p0'))
        yield Figure(f'peers.request.p{p}', f'request between peers, p{p}', there - here, 'ms', 0.5 if p == 50 else None,
                     f'{there:.2f} ms through another peer less {here:.2f} ms where it is, over HTTP')


def bare_links(bench, sizes):
    """Links alone, without daemons around them."""
    for n in sizes:
        bench.say(f'peers: links alone, {n}')
        found, = run_json([bench.build / 'src/signaling/zmq/link-load', n])
        for p in (50, 99):
            yield Figure(f'peers.link.p{p}.{n}', f'request over a link alone, p{p}, {n} peers', found[f'request_p{p}_ms'], 'ms',
                         0.5 if p == 50 else None, f'median of {found["requests"]}' if p == 50 else '', found)
        yield Figure(f'peers.link.memory.{n}', f'memory of a link end alone, {n} peers', found['kb_per_link'] / 1024, 'MB', 1.0)
        yield Figure(f'peers.link.descriptors.{n}', f'descriptors of a link end alone, {n} peers', found['descriptors_per_link'])


def links(bench, sizes):
    for n in sizes:
        bench.say(f'peers: {n} daemons')
        site = site_of(bench, n).start()
        alone = site_of(bench, 1).start()
        pid, lone = site.daemons['p0'].process.pid, alone.daemons['p0'].process.pid
        yield Figure(f'peers.memory.{n}', f'memory of a link end, {n} peers', (private_kb(pid) - private_kb(lone)) / 1024 / (n - 1),
                     'MB', 1.0, 'what a daemon has more than one without peers, by its links')
        yield Figure(f'peers.descriptors.{n}', f'descriptors of a link end, {n} peers',
                     (descriptors(pid) - descriptors(lone)) / (n - 1))
        yield from fan_out(bench, site, n)
        site.close()
        alone.close()


def fan_out(bench, site, n):
    """Events of one peer, followed at all others, which answer lists from what they keep."""
    api, pids = site.api('p0'), [d.process.pid for d in site.daemons.values()]
    sink = api.sink()
    n_events = 100
    begin = [cpu_s(pid) for pid in pids]
    for i in range(n_events):
        api.patch(sink['endpoint_uri'], {'display_name': f'name {i}'})
    wait_until(lambda: all(site.api(name).get(f"/peers/{site.uids['p0']}/endpoints")[0]['display_name'] == f'name {n_events - 1}'
                           for name in site.names), 'the last name to be known everywhere')
    used = [cpu_s(pid) - b for pid, b in zip(pids, begin)]
    yield Figure(f'peers.event.{n}', f'CPU to follow an event, {n} peers', 1e6 * statistics.mean(used[1:]) / n_events, 'us', None,
                 'per event and peer that follows')


def back_again(bench):
    """From the start of the killed daemon to sound, less what the target latency takes."""
    site = site_of(bench, 3).start()
    source = site.api('p0').tone()
    stream = site.api('p2').stream(source, site.api('p1').sink(), target_latency_ms=TARGET_MS)
    received = lambda: site.api('p1').get(stream['stream_uri'])['status']['packets']['received']  # noqa: E731
    for who, text in (('p0', 'source'), ('p1', 'destination'), ('p2', 'commander')):
        times = []
        for _ in range(1 if bench.short else 5):
            wait_until(lambda: site.api('p1').stream_is(stream, 'running'), 'sound', deadline=60)
            site.daemons[who].kill()
            begin = time.monotonic()
            site.daemons[who].start()
            up = time.monotonic()
            before = received()
            wait_until(lambda: site.api('p1').stream_is(stream, 'running') and received() > before, 'sound again',
                       deadline=90, pause=0.005)
            times.append(time.monotonic() - up)
        yield Figure(f'peers.back.{text}', f'sound after the {text} was killed and is up again', statistics.median(times), 's',
                     1 + TARGET_MS / 1000, f'{up - begin:.2f} s more to start it')
    yield Figure('peers.reconnect', 'link after the source was killed and is up again', reconnect(site), 's')
    site.close()


def reconnect(site):
    site.daemons['p0'].kill()
    wait_until(lambda: any(p['state'] != 'online' for p in site.api('p1').get('/peers')), 'p1 to notice')
    site.daemons['p0'].start()
    begin = time.monotonic()
    wait_until(site.all_online, 'all to be online', deadline=60, pause=0.005)
    return time.monotonic() - begin


def measure(bench):
    site = site_of(bench, 2).start()
    yield from requests(bench, site)
    site.close()
    yield from links(bench, (2, 4) if bench.short else (2, 10, 50))
    yield from bare_links(bench, (2, 10) if bench.short else (2, 10, 50))
    yield from back_again(bench)

# SPDX-License-Identifier: MPL-2.0
"""How fast the API answers while 20 streams run."""
import time

from bench.figures import Figure
from bench.pairs import Daemons
from bench.processes import cpu_percent, cpu_s, run_json

N_STREAMS = 20
CONNECTIONS = 4


def measure(bench):
    seconds = 2 if bench.short else 5
    pair = Daemons(bench)
    pair.connect(N_STREAMS)
    pid = pair.receiver.process.pid
    time.sleep(1)
    without, = cpu_percent([pid], seconds)
    lost = sum(s['samples']['lost'] for s in pair.statuses())
    for path, text in ((pair.heard[0]['stream_uri'], 'GET of one stream'), ('/streams', f'GET /streams, all {N_STREAMS}')):
        bench.say(f'api: {text}, {seconds} s')
        begin, begin_cpu = time.monotonic(), cpu_s(pid)
        found, = run_json([bench.build / 'src/media/http-load', pair.receiver.address.rsplit(':', 1)[1], path, CONNECTIONS, seconds])
        used = cpu_s(pid) - begin_cpu - without / 100 * (time.monotonic() - begin)
        name = 'one' if path != '/streams' else 'list'
        yield Figure(f'api.{name}.rate', f'{text}: requests a second', found['requests'] / found['seconds'], '', None,
                     f'{CONNECTIONS} connections kept, {N_STREAMS} streams running', found)
        yield Figure(f'api.{name}.p99', f'{text}: p99', found['p99_ms'], 'ms', None, f"median {found['p50_ms']:.2f} ms")
        yield Figure(f'api.{name}.cpu', f'{text}: CPU of the daemon', 1e6 * used / found['requests'], 'us', None, 'per request')
    statuses = pair.statuses()
    lost = sum(s['samples']['lost'] for s in statuses) - lost
    yield Figure('api.lost', 'samples lost meanwhile', lost, '', None,
                 f"stalls of this machine up to {max(s['ledger']['worst_late_ms'] for s in statuses):.0f} ms" if lost else '')

# SPDX-License-Identifier: MPL-2.0
"""What more streams out of one endpoint cost its peer: one encoder for all of them, beside an encoder for each. Their packets go to
sockets that nobody reads, so that only sending is measured."""
from statistics import median

from bench.figures import Figure, ratio
from bench.processes import run_json

COUNTS = (1, 5, 20)


def measure_round(bench, n, seconds, swapped):
    program = bench.build / 'src/media/engine-cpu'
    ways = ['fan', 'fan-own'] if swapped else ['fan-own', 'fan']
    found = dict(zip(ways, run_json(*([program, n, seconds, way] for way in ways))))
    return {'shared': found['fan']['cpu_percent_per_stream'] * n, 'own': found['fan-own']['cpu_percent_per_stream'] * n}


def measure(bench):
    n_rounds, seconds = (1, 3) if bench.short else (6, 5)
    for n in COUNTS:
        rounds = []
        for i in range(n_rounds):
            bench.say(f'share: {n} streams, round {i + 1} of {n_rounds}')
            rounds.append(measure_round(bench, n, seconds, i % 2 == 1))
        text = f"{n} stream{'s' if n > 1 else ''} out of one endpoint"
        yield Figure(f'share.shared.{n}', f'CPU of sending, {text}, one encoder', median(r['shared'] for r in rounds), '%')
        yield Figure(f'share.own.{n}', f'CPU of sending, {text}, an encoder each', median(r['own'] for r in rounds), '%')
        part, note = ratio(rounds, 'shared', 'own')
        yield Figure(f'share.shared_to_own.{n}', '  shared to own', part, 'x', None, note)

# SPDX-License-Identifier: MPL-2.0
"""What it costs to seal the sound: the engine with streams over sealed paths and over plain UDP, beside each other, so that both
see the same machine. Two figures of it: closing and opening the seals alone, which is what cannot be saved, and everything, with the
hand-over from the one socket to the streams, which takes the place of three sockets a stream."""
from statistics import median

from bench.figures import Figure, ratio
from bench.processes import run_json

MB = 1024


def measure_round(bench, n, seconds, swapped):
    program = bench.build / 'src/media/engine-cpu'
    ways = ['sealed', 'udp'] if swapped else ['udp', 'sealed']
    found = dict(zip(ways, run_json(*([program, n, seconds, way] for way in ways))))
    return {'udp': found['udp']['cpu_percent_per_stream'], 'sealed': found['sealed']['cpu_percent_per_stream'],
            'seal': found['sealed']['seal_percent_per_stream'], 'udp_kb': found['udp']['kb_per_stream'],
            'sealed_kb': found['sealed']['kb_per_stream'], 'lost': found['sealed']['lost_frames']}


def measure(bench):
    n, n_rounds, seconds = (20, 1, 3) if bench.short else (20, 6, 5)
    rounds = []
    for i in range(n_rounds):
        bench.say(f'sealed: {n} streams, round {i + 1} of {n_rounds}')
        rounds.append(measure_round(bench, n, seconds, i % 2 == 1))

    def mid(key):
        return median(r[key] for r in rounds)

    yield Figure(f'sealed.udp.{n}', f'CPU per stream, {n} streams over plain UDP, in one process', mid('udp'), '%')
    yield Figure(f'sealed.sealed.{n}', f'CPU per stream, {n} sealed streams, in one process', mid('sealed'), '%')
    share, note = ratio(rounds, 'seal', 'sealed')
    yield Figure(f'sealed.share.{n}', '  of it for closing and opening seals', share, '', 0.05, note)
    more, note = ratio(rounds, 'sealed', 'udp')
    yield Figure(f'sealed.sealed_to_udp.{n}', '  sealed to plain UDP, with the hand-over', more, 'x', None, note)
    yield Figure(f'sealed.memory.{n}', f'memory per sealed stream, {n}, both ends', mid('sealed_kb') / MB, 'MB', 0.8,
                 f"plain UDP {mid('udp_kb') / MB:.2f} MB")
    lost = sum(r['lost'] for r in rounds)
    yield Figure(f'sealed.lost.{n}', f'frames lost meanwhile, {n}', lost, '', None, '', {'rounds': rounds})

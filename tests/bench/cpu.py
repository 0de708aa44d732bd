# SPDX-License-Identifier: MPL-2.0
"""CPU and memory per stream: two daemons, against pairs of roc-send and roc-recv, against libroc alone; and the engine
alone, in one process, against libroc alone. What is compared runs in turn, in every round."""
from statistics import median

from bench.figures import Figure, ratio
from bench.pairs import measure_daemons, measure_tools
from bench.processes import run_json

MB = 1024


def in_process(bench, n, seconds, path, engine_first=False):
    commands = {'bare-roc': [n, seconds, 100, path], 'engine-cpu': [n, seconds, *(['memory'] if path == 'memory' else [])]}
    found = {}
    for name in sorted(commands, reverse=engine_first):
        found[name], = run_json([bench.build / 'src/media' / name, *commands[name]])
    libroc, engine = found['bare-roc'], found['engine-cpu']
    return {f'bare_{path}': libroc['cpu_percent_per_stream'], f'engine_{path}': engine['cpu_percent_per_stream'],
            f'bare_{path}_kb': libroc['kb_per_stream'], f'engine_{path}_kb': engine['kb_per_stream'],
            f'engine_{path}_lost': engine['lost_frames'], f'bare_{path}_lost': libroc['lost_frames']}


def measure_round(bench, n, seconds):
    """libroc alone and the engine before and after the others, the second time the other way round, so that what changes
    slowly in the machine meets all of them."""
    found = in_process(bench, n, seconds, 'udp')
    found |= measure_daemons(bench, n, seconds)
    found |= measure_tools(bench, n, seconds)
    if not bench.short and n > 1:
        again = in_process(bench, n, seconds, 'udp', engine_first=True)
        found |= {key: (found[key] + again[key]) / 2 for key in again}
        found |= in_process(bench, n, seconds, 'memory')
    return found


def figures_of(n, rounds):
    def mid(key):
        return median(r[key] for r in rounds)

    def cost(key, text):
        return Figure(f'cpu.{key}.{n}', f'CPU per stream, {n} {text}', mid(key), '%')

    def compared(ours, theirs, text, goal=None):
        value, note = ratio(rounds, ours, theirs)
        return Figure(f'cpu.{ours}_to_{theirs}.{n}', f'  {text}', value, 'x', goal, note)

    many = n > 1
    yield cost('daemons', f"stream{'s' if many else ''}: sending rocd + receiving rocd")
    yield Figure(f'cpu.daemons_sender.{n}', '  the sender', mid('daemons_sender'), '%')
    yield Figure(f'cpu.daemons_receiver.{n}', '  the receiver', mid('daemons_receiver'), '%')
    yield cost('tools', f"pair{'s' if many else ''} of roc-send + roc-recv")
    yield cost('bare_udp', 'libroc alone, plain UDP')
    yield cost('engine_udp', "rocd's engine in one process, UDP")
    yield compared('daemons', 'tools', 'rocd to roc-send + roc-recv', 0.6 if many else None)
    yield compared('engine_udp', 'bare_udp', 'engine to libroc alone, both UDP', 1.15 if many else None)
    yield compared('daemons', 'bare_udp', 'two daemons to libroc alone, UDP', 1.15 if many else None)
    if 'bare_memory' in rounds[0]:
        yield compared('engine_memory', 'bare_memory', 'engine to libroc alone, both by hand')
        yield compared('engine_udp', 'bare_memory', 'engine over UDP to libroc alone by hand')
    goal = 0.8 if many else None
    for i, side in enumerate(('sender', 'receiver')):
        yield Figure(f'memory.{side}.{n}', f'memory per stream, {n}: {side} grows by',
                     median(r['daemons_uss_kb'][i] for r in rounds) / MB, 'MB', goal, 'private')
    yield Figure(f'memory.both.{n}', f'memory per stream, {n}: both together', median(sum(r['daemons_uss_kb']) for r in rounds) / MB,
                 'MB', goal, f"PSS {number_of(sum(r['daemons_pss_kb']) for r in rounds)} MB")
    yield Figure(f'memory.tools.{n}', f'memory per pair, {n}: roc-send + roc-recv', mid('tools_pss_kb') / MB, 'MB', None, 'PSS')
    lost = sum(r['daemons_lost']['lost'] for r in rounds)
    yield Figure(f'cpu.lost.{n}', f'frames lost meanwhile, {n}', lost, '', None,
                 f"this machine is to blame for {sum(r['daemons_lost']['lost_machine'] for r in rounds)}" if lost else '',
                 {'rounds': rounds})


def number_of(kb):
    return f'{median(kb) / MB:.2f}'


def measure(bench):
    for n, n_rounds, seconds in ((20, 1, 2), (1, 1, 2)) if bench.short else ((20, 4, 4), (1, 2, 4)):
        rounds = []
        for i in range(n_rounds):
            bench.say(f"cpu: {n} stream{'s' if n > 1 else ''}, round {i + 1} of {n_rounds}")
            rounds.append(measure_round(bench, n, seconds))
        yield from figures_of(n, rounds)

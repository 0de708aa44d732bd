# SPDX-License-Identifier: MPL-2.0
"""CPU and memory per stream: two daemons, against pairs of roc-send and roc-recv, against libroc alone; and the engine
alone, in one process, against libroc alone. What is compared with libroc runs beside it and is measured over the same seconds:
the speed of a machine that is shared with others changes from one second to the next, and so it changes for both. Forty
processes of roc-send and roc-recv would empty the caches of what runs beside them, so they run alone, right after the
daemons have."""
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from bench.figures import Figure, ratio
from bench.pairs import Daemons, Tools
from bench.processes import cpu_percent, run_json

MB = 1024
WARM_UP_S = 2  # as bare-roc and engine-cpu have it


def in_process(bench, n, seconds, path):
    programs = bench.build / 'src/media'
    libroc, engine = run_json([programs / 'bare-roc', n, seconds, 100, path],
                              [programs / 'engine-cpu', n, seconds, *(['memory'] if path == 'memory' else [])])
    return {f'bare_{path}': libroc['cpu_percent_per_stream'], f'engine_{path}': engine['cpu_percent_per_stream'],
            f'bare_{path}_kb': libroc['kb_per_stream'], f'engine_{path}_kb': engine['kb_per_stream'],
            f'engine_{path}_lost': engine['lost_frames'], f'bare_{path}_lost': libroc['lost_frames']}


def measure_beside(pids, n, seconds):
    time.sleep(WARM_UP_S)
    return sum(cpu_percent(pids, seconds)) / n


def measure_round(bench, n, seconds):
    with contextlib.ExitStack() as bench.stack, ThreadPoolExecutor(1) as pool:
        pair = Daemons(bench)
        pair.connect(n)
        beside = pool.submit(measure_beside, pair.pids, n, seconds)
        found = in_process(bench, n, seconds, 'udp')
        found['daemons'] = beside.result()
        found |= {'daemons_uss_kb': pair.grown_kb('uss'), 'daemons_pss_kb': pair.grown_kb('pss')}

        sender, receiver = cpu_percent(pair.pids, seconds)
        found |= {'daemons_alone': (sender + receiver) / n, 'daemons_sender': sender / n, 'daemons_receiver': receiver / n}
        found['daemons_lost'] = pair.check()
        pair.finish()

        tools = Tools(bench, n)
        time.sleep(WARM_UP_S)
        found |= {'tools': sum(cpu_percent(tools.pids, seconds)) / n,
                  'tools_pss_kb': tools.memory_kb('pss'), 'tools_uss_kb': tools.memory_kb('uss')}
    if not bench.short and n > 1:
        found |= in_process(bench, n, seconds, 'memory')
    return found


def figures_of(n, rounds):
    def mid(key):
        return median(r[key] for r in rounds)

    def cost(key, text):
        return Figure(f'cpu.{key}.{n}', f'CPU per stream, {n} {text}', mid(key), '%')

    def compared(ours, theirs, text, goal=None, ours_key=None):
        value, note = ratio(rounds, ours_key or ours, theirs)
        return Figure(f'cpu.{ours}_to_{theirs}.{n}', f'  {text}', value, 'x', goal, note)

    many = n > 1
    yield cost('daemons_alone', f"stream{'s' if many else ''}: sending rocd + receiving rocd")
    yield Figure(f'cpu.daemons_sender.{n}', '  the sender', mid('daemons_sender'), '%')
    yield Figure(f'cpu.daemons_receiver.{n}', '  the receiver', mid('daemons_receiver'), '%')
    yield cost('tools', f"pair{'s' if many else ''} of roc-send + roc-recv")
    yield cost('bare_udp', 'libroc alone, plain UDP')
    yield cost('engine_udp', "rocd's engine in one process, UDP")
    yield cost('daemons', 'two daemons beside these two')
    yield compared('daemons', 'tools', 'rocd to roc-send + roc-recv', 0.6 if many else None, ours_key='daemons_alone')
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
    for n, n_rounds, seconds in ((20, 1, 3), (1, 1, 2)) if bench.short else ((20, 4, 5), (1, 2, 5)):
        rounds = []
        for i in range(n_rounds):
            bench.say(f"cpu: {n} stream{'s' if n > 1 else ''}, round {i + 1} of {n_rounds}")
            rounds.append(measure_round(bench, n, seconds))
        yield from figures_of(n, rounds)

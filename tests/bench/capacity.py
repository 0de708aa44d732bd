# SPDX-License-Identifier: MPL-2.0
"""How many streams two cores bear until the first sample is lost, beside libroc alone in two processes of one thread each; and
what mixing costs. A sample is lost as well when the thread that makes it is later than the target latency. The two take turns,
so that they see the same machine; one that has much else to do bears less of both."""
from bench.figures import Figure, NotMeasured, ratio
from bench.processes import run_json

CORES = 2
SETTLE_S = 30  # with too many streams some never start


def engine(bench, n, seconds):
    return [[bench.build / 'src/media/engine-cpu', n, seconds, 'udp']]


def libroc(bench, n, seconds):
    return [[bench.build / 'src/media/bare-roc', n // CORES, seconds, 100, 'udp']] * CORES


def bears(bench, commands, n, seconds, n_tries):
    """Whether one of some tries loses nothing: a stall of the machine is not what is asked for."""
    for _ in range(n_tries):
        try:
            if not any(found['lost_frames'] for found in run_json(*commands(bench, n, seconds), deadline_s=SETTLE_S + seconds)):
                return True
        except NotMeasured:
            pass  # too slow to come to an end
    return False


def limits(bench, most, seconds, n_tries, step):
    """{name: most streams without a lost sample}, found by halving, turn by turn."""
    found = {'engine': (engine, [0, most]), 'libroc': (libroc, [0, most])}
    while any(high - low > max(4, step * low) for _, (low, high) in found.values()):
        for name, (commands, span) in found.items():
            if span[1] - span[0] <= max(4, step * span[0]):
                continue
            n = (span[0] + span[1]) // 2 // CORES * CORES
            held = bears(bench, commands, n, seconds, n_tries)
            bench.say(f"capacity: {name}, {n} streams: {'nothing' if held else 'something'} lost")
            span[0 if held else 1] = n
    return {name: span[0] for name, (_, span) in found.items()}


def mixing(bench, n, seconds, n_rounds):
    program = bench.build / 'src/media/engine-cpu'
    rounds = []
    for i in range(n_rounds):
        ways = ('mixed', 'memory') if i % 2 else ('memory', 'mixed')
        found = dict(zip(ways, run_json(*([program, n, seconds, way] for way in ways))))
        rounds.append({way: found[way]['cpu_percent_per_stream'] for way in ways})
    return ratio(rounds, 'mixed', 'memory')


def measure(bench):
    most, seconds, n_tries, step = (160, 1, 1, 0.4) if bench.short else (480, 4, 3, 0.04)
    found = limits(bench, most, seconds, n_tries, step)
    if not all(found.values()):
        raise NotMeasured(f'not even a few streams were heard whole on this machine: {found}')
    yield Figure('capacity.engine', "streams until the first lost sample: rocd's engine, UDP", found['engine'], '', None,
                 f'{CORES} cores, to {100 * step:.0f} %, {most} at most')
    yield Figure('capacity.libroc', '  libroc alone, UDP', found['libroc'])
    yield Figure('capacity.libroc_to_engine', '  libroc alone to the engine', found['libroc'] / found['engine'], 'x', 1.1)
    value, note = mixing(bench, 20, 2 if bench.short else 5, 1 if bench.short else 6)
    yield Figure('capacity.mixed', 'CPU per stream, 20 into one destination to 20 into one each', value, 'x', None, note)

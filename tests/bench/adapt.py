# SPDX-License-Identifier: MPL-2.0
"""Auto latency on a made-up wireless network (support/wifi_trace.h), beside fixed targets, on virtual time with seeds.

Who asks for a fixed target knows the network, and auto has to learn it: by the first gap that is longer than its target. So it
is compared with the fixed target that has the same mean latency on the same minutes, which could be chosen afterwards only.
Minutes are hardly more than the learning, so the short form has no goal."""
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Figure
from bench.processes import run_json

MORE_THAN_TARGET_MS = 10  # the mean latency of a fixed target here


def simulate(bench, seed, length_s, *options):
    found, = run_json([bench.build / 'src/media/loss-sim', 'wifi=1', f'seed={seed}', f'seconds={length_s}', *options])
    return found


def lost_of(runs):
    return sum(f['lost_frames'] + f['lost_at_start'] for f in runs)


def mean_of(runs):
    return sum(f['latency_ms']['mean'] for f in runs) / len(runs)


def figures_of(way, name, runs, at_most, note):
    heard = sum(f['heard_frames'] for f in runs)
    yield Figure(f'adapt.lost.{name}', f'samples lost on a wireless network, {way}', lost_of(runs), '', at_most,
                 f'{100 * lost_of(runs) / heard:.3g} % of {heard / 48000 / 60:.3g} min{note}', {'runs': runs})
    yield Figure(f'adapt.latency.{name}', f'mean latency there, {way}', mean_of(runs), 'ms', None,
                 f"{min(f['latency_ms']['least'] for f in runs):.0f} to {max(f['latency_ms']['most'] for f in runs):.0f} ms")


def measure(bench):
    seeds, length_s = (range(1, 3), 120) if bench.short else (range(1, 6), 1800)
    fixed_ms = (200,) if bench.short else (100, 200)
    bench.say(f'adapt: {(2 + len(fixed_ms)) * len(seeds) * length_s / 60:.0f} minutes of sound over a wireless network, on virtual time')
    with ThreadPoolExecutor(2) as pool:
        def run(*options_of_seeds):
            return list(pool.map(lambda seed, options: simulate(bench, seed, length_s, *options), seeds, options_of_seeds))
        auto = run(*[['auto=1']] * len(seeds))
        same = run(*[[f"target_ms={f['latency_ms']['mean'] - MORE_THAN_TARGET_MS:.0f}"] for f in auto])
        fixed = {ms: run(*[[f'target_ms={ms}']] * len(seeds)) for ms in fixed_ms}
    changes = sum(f['changes'] for f in auto) * 3600 / (len(seeds) * length_s)
    yield from figures_of('auto', 'auto', auto, None if bench.short else lost_of(same),
                          f"; {sum(f['lost_learning'] for f in auto)} of them before its first change; {changes:.0f} changes an hour")
    yield from figures_of('fixed at the mean of auto', 'same', same, None, '')
    for ms, runs in fixed.items():
        yield from figures_of(f'{ms} ms', ms, runs, None, '')

# SPDX-License-Identifier: MPL-2.0
"""Auto latency on a made-up wireless network (support/wifi_trace.h), beside fixed targets, on virtual time with seeds."""
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Figure
from bench.processes import run_json

FIXED_MS = (100, 200)


def simulate(bench, seed, length_s, *options):
    found, = run_json([bench.build / 'src/media/loss-sim', 'wifi=1', f'seed={seed}', f'seconds={length_s}', *options])
    return found


def measure(bench):
    seeds, length_s = (range(1, 3), 120) if bench.short else (range(1, 6), 1800)
    ways = {'auto': ['auto=1'], **{f'{ms} ms': [f'target_ms={ms}'] for ms in FIXED_MS}}
    bench.say(f'adapt: {len(ways) * len(seeds) * length_s / 60:.0f} minutes of sound over a wireless network, on virtual time')
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(ways, [list(found) for found in [
            pool.map(lambda seed, options=options: simulate(bench, seed, length_s, *options), seeds)
            for options in ways.values()]]))
    lost = {way: sum(f['lost_frames'] + f['lost_at_start'] for f in runs) for way, runs in found.items()}
    for way, runs in found.items():
        heard = sum(f['heard_frames'] for f in runs)
        latency = sum(f['latency_ms']['mean'] for f in runs) / len(runs)
        note = f'{100 * lost[way] / heard:.3g} % of {heard / 48000 / 60:.3g} min'
        if way == 'auto':
            hours = len(seeds) * length_s / 3600
            note += f"; {sum(f['changes'] for f in runs) / hours:.0f} changes an hour"
        name = way.replace(' ms', '')
        yield Figure(f'adapt.lost.{name}', f'samples lost on a wireless network, {way}', lost[way], '',
                     lost['200 ms'] if way == 'auto' else None, note, {'runs': runs})
        yield Figure(f'adapt.latency.{name}', f'mean latency there, {way}', latency, 'ms', None,
                     f"{min(f['latency_ms']['least'] for f in runs):.0f} to {max(f['latency_ms']['most'] for f in runs):.0f} ms")

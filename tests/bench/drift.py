# SPDX-License-Identifier: MPL-2.0
"""Devices whose clocks disagree, on virtual time: what is lost in an hour, and how far the latency wanders."""
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Figure
from bench.processes import run_json

PPM = 300  # more than any two sound cards are apart
CASES = ((100, 1024), (50, 256))  # target latency in ms, quantum of both devices in frames


def measure(bench):
    seconds = 300 if bench.short else 3600
    bench.say(f'drift: {len(CASES)} times {seconds / 60:g} minutes at {2 * PPM} ppm, on virtual time')
    with ThreadPoolExecutor(2) as pool:
        all_found = list(pool.map(lambda case: run_json([bench.build / 'src/media/drift-sim', case[0], seconds, PPM, -PPM, case[1]])[0],
                                  CASES))
    for (target, quantum), found in zip(CASES, all_found):
        name = f'drift.{target}'
        yield Figure(f'{name}.lost', f'frames lost in {seconds / 60:g} min, clocks {2 * PPM} ppm apart, target {target} ms',
                     found['silent_frames'] + found['xruns'], '', 0, f'devices of {quantum} frames', found)
        yield Figure(f'{name}.spread', '  latency from least to most', found['latency_most_ms'] - found['latency_least_ms'], 'ms', None,
                     f"{found['latency_least_ms']:.0f} to {found['latency_most_ms']:.0f} ms, with the quanta of both devices")

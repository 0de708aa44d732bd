# SPDX-License-Identifier: MPL-2.0
"""Lost samples by packet loss and target latency, on virtual time with a seed: blind to what else the machine does."""
from concurrent.futures import ThreadPoolExecutor

from bench.figures import Figure
from bench.processes import run_json

TARGETS_MS = (50, 100, 200)
LOSSES_PERCENT = (0, 1, 5, 10)
SEED = 1
N_STARTS = 20


def seconds(bench, loss):
    if bench.short:
        return 60 if loss == 5 else 15
    return 1200 if loss == 5 else 180


def simulate(bench, target, loss, length_s, seed=SEED):
    found, = run_json([bench.build / 'src/media/loss-sim', f'target_ms={target}', f'loss_percent={loss}', f'seed={seed}',
                       f'seconds={length_s}'])
    return found


def starts(bench, pool, loss=5):
    """libroc repairs nothing while its queue fills for the first time."""
    cells = [(target, seed) for target in TARGETS_MS for seed in range(N_STARTS // (5 if bench.short else 1))]
    found = list(pool.map(lambda cell: simulate(bench, cell[0], loss, 2, cell[1]), cells))
    lost = [f['lost_at_start'] for f in found]
    return Figure('loss.start', f'samples lost in the first second, {loss} % packet loss', sum(lost) / len(lost), '', None,
                  f'mean of {len(found)} sessions; {sum(n > 0 for n in lost)} of them lost any')


def measure(bench):
    cells = [(target, loss) for target in TARGETS_MS for loss in LOSSES_PERCENT]
    total = sum(seconds(bench, loss) for _, loss in cells) / 60
    bench.say(f'loss: {total:.0f} minutes of sound over lossy networks, on virtual time')
    with ThreadPoolExecutor(2) as pool:
        all_found = list(pool.map(lambda cell: simulate(bench, *cell, seconds(bench, cell[1])), cells))
        begun = starts(bench, pool)
    for (target, loss), found in zip(cells, all_found):
        share = 100 * found['lost_frames'] / found['heard_frames']
        yield Figure(f'loss.{target}.{loss}', f'samples lost, target {target} ms, {loss} % packet loss', found['lost_frames'], '',
                     0 if loss == 5 else None,
                     f"{share:.3g} % of {found['seconds'] / 60:.3g} min; {found['packets_lost']} packets lost; FEC "
                     f"{found['source']}+{found['repair']} of {found['packet_ms']:g} ms", found)
    yield begun
    for (target, loss), found in zip(cells, all_found):
        if loss == 0:
            latency = found['latency_ms']
            yield Figure(f'latency.virtual.{target}', f"latency over target of {target} ms after {found['seconds']:g} s, virtual time",
                         latency['last'] - target, 'ms', None,
                         f"by impulses; {latency['first'] - target:+.1f} ms at first, {latency['most'] - target:+.1f} ms at most")

#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""What rocd costs and how well it does, against its goals and against what people use otherwise.

Prints a table and writes the same as JSON. Costs are CPU time, counts and ratios within this run, so that a busy machine
changes them little; latencies are real time. A goal that is missed is a result; the exit code is 1 only if a figure could not
be measured."""
import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT / 'tests')  # in place of tests/bench, where this file would hide the package of its name
sys.dont_write_bytecode = True

from bench import adapt, api, capacity, cpu, devices, drift, idle, latency, loss, peers, sealed, share  # noqa: E402
from bench.figures import NotMeasured, document, say, table  # noqa: E402
from support import daemon  # noqa: E402
from support.contract import contract  # noqa: E402

GROUPS = {
    'cpu': (cpu.measure, 'CPU and memory per stream, against roc-send and roc-recv and against libroc alone'),
    'capacity': (capacity.measure, 'streams on two cores until the first lost sample, against libroc alone; what mixing costs'),
    'sealed': (sealed.measure, 'what sealing the sound between peers costs'),
    'share': (share.measure, 'what more streams out of one endpoint cost, with one encoder and with one each'),
    'loss': (loss.measure, 'samples lost by packet loss and target latency, on virtual time'),
    'drift': (drift.measure, 'an hour of devices whose clocks disagree, on virtual time'),
    'adapt': (adapt.measure, 'auto latency on a made-up wireless network, beside fixed targets, on virtual time'),
    'latency': (latency.measure, 'latency over the target, POST /streams to the first sample'),
    'devices': (devices.measure, 'hot-plug to event, CPU of a virtual loudspeaker beside PipeWire\'s roc modules'),
    'idle': (idle.measure, 'CPU and memory of a daemon that has nothing to do'),
    'api': (api.measure, 'requests a second and p99 with 20 streams running'),
    'peers': (peers.measure, 'requests, links and events between peers, sound after kill -9'),
}


class Bench:
    """What the groups are handed: where things are, how thorough to be, and what must be ended when they are left."""

    def __init__(self, build, short, directory):
        self.build, self.short, self.directory = build, short, directory
        self.stack = None
        self._n_directories = 0

    def new_directory(self, name):
        self._n_directories += 1
        path = self.directory / f'{name}-{self._n_directories}'
        path.mkdir()
        return path

    def say(self, text):
        say(text)


def run(bench, names):
    figures, failures = [], []
    for name in names:
        measure, _ = GROUPS[name]
        began = time.monotonic()
        try:
            with contextlib.ExitStack() as bench.stack:
                for figure in measure(bench):
                    figures.append(figure)
        except (NotMeasured, AssertionError, OSError) as e:
            say(f'{name} could not be measured: {e}')
            failures.append((name, str(e)))
        say(f'{name}: {time.monotonic() - began:.0f} s')
    return figures, failures


def interrupt(number, _):
    raise KeyboardInterrupt(number)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('build', nargs='?', type=Path, default=ROOT / 'build-bench', help='where rocd was built')
    parser.add_argument('--short', action='store_true', default=os.environ.get('BENCH') == 'short',
                        help='one quick round of everything (also: BENCH=short)')
    parser.add_argument('--only', action='append', choices=GROUPS, metavar='NAME', help='this group only; may be repeated')
    parser.add_argument('--list', action='store_true', help='the groups, and what they measure')
    parser.add_argument('--json', type=Path, default=os.environ.get('BENCH_JSON'),
                        help='where the JSON goes (also: BENCH_JSON; default: bench.json in the build directory)')
    return parser.parse_args()


def main(given):
    began = time.monotonic()
    if given.list:
        for name, (_, text) in GROUPS.items():
            print(f'{name:10}{text}')
        return 0
    build = daemon.BUILD = given.build.resolve()
    # Whether answers are as the contract says is for the tests; here it would only take time from what is measured.
    contract.check_exchange = contract.check_event = lambda *_: None
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    directory = Path(tempfile.mkdtemp(prefix='rocd-bench-'))
    try:
        figures, failures = run(Bench(build, given.short, directory), given.only or list(GROUPS))
    except KeyboardInterrupt:
        say('interrupted; everything it started has been ended')
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(table(figures))
    path = given.json or build / 'bench.json'
    path.write_text(document(figures, failures, ROOT, given.short, began))
    missed = sum(f.holds is False for f in figures)
    if os.getloadavg()[1] > 1.5 * os.cpu_count():
        print(f'\nThis machine has much else to do (load {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores): what sound costs is '
              'then mostly caches that others have emptied.')
    print(f'\n{sum(f.holds is True for f in figures)} goals hold, {missed} are missed, {len(failures)} groups could not be measured; '
          f'{time.monotonic() - began:.0f} s; {path}')
    results = os.environ.get('ROCD_RESULTS')
    if results:
        with open(results, 'a') as f:
            f.write(f'{len(figures)} {len(failures)}\n')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main(options()))

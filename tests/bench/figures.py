# SPDX-License-Identifier: MPL-2.0
"""What a benchmark gives: figures, each with its goal if it has one, and the table and the document made of them."""
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from statistics import median


class NotMeasured(Exception):
    """A figure could not be had; the message says why. A goal that is missed is no such thing."""


@dataclass
class Figure:
    name: str    # for programs: 'cpu.engine_to_bare.20'
    text: str    # for people
    value: float
    unit: str = ''
    at_most: float | None = None  # the goal
    note: str = ''
    raw: dict = field(default_factory=dict)  # what it was computed from

    def __post_init__(self):
        self.value = float(self.value)  # numpy's numbers are not JSON

    @property
    def holds(self):
        return None if self.at_most is None else self.value <= self.at_most


def number(value):
    if value == 0 or abs(value) >= 100:
        return f'{value:.0f}'
    return f'{value:.1f}' if abs(value) >= 10 else f'{value:.2f}' if abs(value) >= 0.1 else f'{value:.3g}'


def rows(figures):
    for f in figures:
        goal = '' if f.at_most is None else f'<= {number(f.at_most)}'
        verdict = {None: '', True: 'holds', False: 'MISSES'}[f.holds]
        yield (f.text, f'{number(f.value)} {f.unit}'.strip(), goal, verdict, f.note)


def table(figures):
    lines = [('figure', 'measured', 'goal', '', ''), *rows(figures)]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return '\n'.join('  '.join([line[0].ljust(widths[0]), line[1].rjust(widths[1]), line[2].ljust(widths[2]),
                                line[3].ljust(widths[3]), line[4]]).rstrip() for line in lines)


def ratio(rounds, ours, theirs):
    """(median of the ratios of the rounds, a note with their range). The two were measured at the same time, or one
    right after the other."""
    found = sorted(r[ours] / r[theirs] for r in rounds)
    return median(found), '' if len(found) == 1 else f'median of {number(found[0])} to {number(found[-1])}'


def machine():
    model = next((line.split(':', 1)[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), '')
    return {'cpu': model or platform.processor(), 'cores': os.cpu_count(), 'kernel': platform.release(),
            'load': os.getloadavg()[0]}


def revision(root):
    done = subprocess.run(['git', '-C', root, 'describe', '--always', '--dirty'], capture_output=True, text=True)
    return done.stdout.strip() or None


def document(figures, failures, root, short, began):
    return json.dumps({
        'format': 1, 'short': short, 'finished': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        'seconds': round(time.monotonic() - began), 'revision': revision(root), 'machine': machine(),
        'figures': [{**asdict(f), 'holds': f.holds} for f in figures],
        'not_measured': [{'group': group, 'reason': reason} for group, reason in failures]}, indent=1) + '\n'


def say(text):
    print(f'bench: {text}', file=sys.stderr, flush=True)

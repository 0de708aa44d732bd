# SPDX-License-Identifier: MPL-2.0
"""Programs that are measured: started so that nothing of them stays behind, and what they use."""
import ctypes
import json
import os
import re
import signal
import subprocess
import time

from bench.figures import NotMeasured

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent():
    """In the child. Ctrl-C is for the benchmark, which ends what it started in order; a benchmark that is killed takes it
    along."""
    os.setpgrp()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(command, log, **options):
    with open(log, 'ab') as f:
        return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                preexec_fn=die_with_parent, **options)


def end(processes):
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_json(*commands, deadline_s=600):
    """The programs to their end, at the same time; each writes one line of JSON."""
    processes = [subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent) for command in commands]
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=deadline_s)
            if process.returncode != 0:
                raise NotMeasured(f"{' '.join(process.args)} ended with {process.returncode}: {err.strip()[-500:]}")
            found.append(json.loads(out))
    except subprocess.TimeoutExpired as e:
        raise NotMeasured(f"{' '.join(e.cmd)} did not end within {deadline_s} s") from None
    finally:
        end(processes)
    return found


def cpu_s(pid):
    """CPU seconds of all threads, user and system, to the nanosecond (utime and stime of /proc count in hundredths of a
    second, which is half of what a stream takes in one). The id of the clock is what clock_getcpuclockid() gives."""
    try:
        return time.clock_gettime((~pid) << 3 | 2)
    except OSError:
        raise NotMeasured(f'process {pid} has ended while it was measured') from None


def cpu_percent(pids, seconds):
    """Percent of one core that each of them takes from now on; waits so long."""
    begin, begin_cpu = time.monotonic(), [cpu_s(pid) for pid in pids]
    time.sleep(seconds)
    now_cpu, wall = [cpu_s(pid) for pid in pids], time.monotonic() - begin
    return [100 * (now - then) / wall for now, then in zip(now_cpu, begin_cpu)]


def memory_kb(pid):
    """{'pss', 'uss', 'rss'}: its own and its fair share of what it shares; its own alone; its own and all it shares."""
    with open(f'/proc/{pid}/smaps_rollup') as f:
        found = {name: int(kb) for name, kb in re.findall(r'^(\w+): +(\d+) kB$', f.read(), re.M)}
    return {'pss': found['Pss'], 'uss': found['Private_Clean'] + found['Private_Dirty'], 'rss': found['Rss']}

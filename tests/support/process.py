# SPDX-License-Identifier: MPL-2.0
"""What the system tells of a process that runs, and what it can be denied."""
import os
import re
import resource
from pathlib import Path


def cpu_s(pid):
    with open(f'/proc/{pid}/stat') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def n_wakes(pid, pattern):
    """How often threads of such names have gone to sleep, since they began."""
    n = 0
    for task in Path(f'/proc/{pid}/task').iterdir():
        if re.fullmatch(pattern, (task / 'comm').read_text().strip()):
            status = dict(line.split(':', 1) for line in (task / 'status').read_text().splitlines())
            n += int(status['voluntary_ctxt_switches'])
    return n


def n_files(pid):
    return len(os.listdir(f'/proc/{pid}/fd'))


def limit_files(pid, n):
    """How many it may have open; more than n may be open already."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))

# SPDX-License-Identifier: MPL-2.0
"""tools/demo, as `make run` calls it: it shows sound, or says what is wrong, and leaves nothing behind."""
import os
import re
import shutil
import signal
import subprocess

from support.contract import ROOT
from support.daemon import BUILD
from support.wait import wait_until

DEMO = ROOT / 'tools/demo'


def build_of_its_own(workdir):
    """The demo keeps its state under the build directory: here another one, with the same programs."""
    for program in ('src/app/rocd', 'tools/melody/rocd-melody'):
        (workdir / program).parent.mkdir(parents=True, exist_ok=True)
        (workdir / program).symlink_to(BUILD / program)
    return workdir


def daemons_of(directory):
    program = str(directory / 'src/app/rocd').encode() + b'\0'
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                if f.read().startswith(program):
                    found.append(int(pid))
        except OSError:
            pass
    return found


def test_it_ends_by_itself_and_finds_the_tune(workdir):
    build = build_of_its_own(workdir)
    done = subprocess.run([DEMO, build, '--port', '0', '--seconds', '4'], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r'latency +\d+ ms measured in the sound', done.stdout), done.stdout
    assert (build / 'run/office/media/take.wav').stat().st_size > 4 * 48000 * 2 * 2 * 0.8
    assert not daemons_of(build)


def test_ctrl_c_ends_it_in_order(workdir):
    build = build_of_its_own(workdir)
    with subprocess.Popen([DEMO, build, '--port', '0'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        for line in demo.stdout:
            if line.startswith('kitchen -> office') and 'running' in line and '-/' not in line:
                break
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(120) == 0, rest
    assert 'demo: ok' in rest and not daemons_of(build)


def test_killed_it_leaves_no_daemon(workdir):
    build = build_of_its_own(workdir)
    with subprocess.Popen([DEMO, build, '--port', '0'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        for line in demo.stdout:
            if line.startswith('kitchen -> office'):
                break
        assert len(daemons_of(build)) == 3
        demo.kill()
    wait_until(lambda: not daemons_of(build), 'the daemons to end')


def test_without_a_build_it_says_so(workdir):
    done = subprocess.run([DEMO, workdir], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and 'make build' in done.stderr, done.stderr
    shutil.rmtree(workdir, ignore_errors=True)

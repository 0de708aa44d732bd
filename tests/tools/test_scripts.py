# SPDX-License-Identifier: MPL-2.0
"""The scripts behind the Makefile say how they are used, refuse what they do not know, and tools/install-deps tells what it
would do. Nothing is installed: apt and its like are stand-ins."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command, **env):
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding='utf-8', timeout=120, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize('tool', ['lint', 'run-tests', 'install-deps', 'demo', 'soak', 'coverage'])
@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help_explains_with_examples(tool, option):
    status, out = run(f'tools/{tool}', option)
    assert status == 0
    assert out.count(f'tools/{tool} ') >= 2, out
    assert not any(line.startswith('#') for line in out.split('\n'))


@pytest.mark.parametrize('command, wanted', [
    (['run-tests'], 'want BUILD_DIR SUITE'),
    (['run-tests', 'build-test'], 'want BUILD_DIR SUITE'),
    (['run-tests', 'build-test', 'unity'], 'unknown suite unity: use unit tools api scenario'),
    (['run-tests', 'no-such-build', 'unit'], "no-such-build is no build directory: make one with 'meson setup"),
    (['install-deps', 'everything'], "unknown group 'everything': use run, build, test or ui"),
    (['soak'], 'want BUILD_DIR'),
    (['soak', 'no-such-build'], 'there is no no-such-build/tests/sim/sim'),
    (['lint', '-x'], 'unknown check -x: use format'),
    (['demo'], 'the following arguments are required: build'),
    (['demo', 'build', '--seconds', 'ten'], "invalid float value: 'ten'"),
])
def test_what_is_wrong_is_said(command, wanted):
    status, out = run(f'tools/{command[0]}', *command[1:])
    assert status == 2
    assert wanted in out and 'Traceback' not in out


def test_make_help_lists_the_targets():
    status, out = run('make', '-s', 'help')
    assert status == 0
    for target in ('run', 'test', 'lint', 'asan', 'tsan', 'soak', 'coverage', 'install'):
        assert f'  make {target} ' in out


# ---- soak ----


@pytest.fixture
def soak(tmp_path):
    """tools/soak over a simulator that says and ends as it is told: (status, output, what it has added to the results)."""
    sim = tmp_path / 'tests/sim/sim'
    sim.parent.mkdir(parents=True)

    def soak(text, code):
        sim.write_text(f'#!/bin/sh\necho "$*"\nprintf "{text}"\nexit {code}\n')
        sim.chmod(0o755)
        results = tmp_path / 'results'
        results.write_text('')
        status, out = run('tools/soak', str(tmp_path), '--runs', '300', ROCD_RESULTS=str(results))
        assert out.startswith('--runs 300')
        return status, out.rstrip('\n').split('\n')[-1], results.read_text()

    return soak


def test_soak_counts_runs_and_violations(soak):
    counts = '300 runs of 5 peers in 1.0 s (300 a second): 9 steps\\n'
    assert soak(counts + '0 violations\\n', 0) == (0, 'soak: 300 passed, 0 failed', '300 0\n')
    assert soak('seed 7: half-open\\n' + counts + '2 violations\\n', 1) == (1, 'soak: 298 passed, 2 failed', '298 2\n')
    assert soak('', 139) == (1, 'soak: 0 passed, 1 failed', '0 1\n')


# ---- install-deps ----


@pytest.fixture
def system(tmp_path):
    """A PATH on which nothing can be installed: the stand-ins for dpkg and apt note what they were asked."""
    folder = tmp_path / 'bin'
    folder.mkdir()

    def program(name, text):
        (folder / name).write_text(f'#!/bin/sh\n{text}\n')
        (folder / name).chmod(0o755)

    for name in ('apt-get', 'sudo', 'tee'):
        program(name, f'echo "{name} $*" >>{tmp_path}/calls; cat >/dev/null; exit 0')
    program('apt-get', f'echo "apt-get $*" >>{tmp_path}/calls')

    def install_deps(*args, has=lambda package: False):
        names = run('tools/install-deps', '--list', *[a for a in args if not a.startswith('-')])[1].split()
        lines = ''.join(f'{name} installed\\n' for name in names if has(name))
        program('dpkg-query', f"printf '{lines}'")
        (tmp_path / 'calls').write_text('')
        status, out = run('tools/install-deps', *args, PATH=f"{folder}:{os.environ['PATH']}")
        return status, out, (tmp_path / 'calls').read_text()

    return install_deps


def test_list_prints_the_packages():
    status, out = run('tools/install-deps', '--list', 'build')
    assert status == 0
    assert {'meson', 'ninja-build', 'libroc-dev', 'libuv1-dev'} <= set(out.split())
    both = run('tools/install-deps', '--list', 'build', 'test')[1].split()
    assert set(out.split()) < set(both) and 'python3-pytest' in both


def test_nothing_is_done_when_nothing_is_missing(system):
    for _ in range(2):
        assert system('build', has=lambda package: True) == (0, '', '')
    status, out, calls = system('--dry-run', 'build', has=lambda package: True)
    assert (status, calls) == (0, '')
    assert out == "install-deps: nothing is missing for 'build'\n"


def test_a_dry_run_tells_and_does_nothing(system):
    status, out, calls = system('--dry-run', 'build', 'test')
    assert (status, calls) == (0, '')
    assert "missing for 'build test': meson ninja-build" in out
    commands = [line for line in out.split('\n') if line.startswith('install-deps: would run: ')]
    assert any(' update' in line for line in commands)
    install = ' '.join(line for line in commands if ' install ' in line)
    for word in ('--no-install-recommends', 'Dpkg::Options::=--force-unsafe-io', 'libroc-dev', 'python3-pytest'):
        assert word in install
    assert out.endswith('install-deps: that was a dry run: nothing was changed\n')


@pytest.mark.skipif(not Path('/etc/apt/sources.list.d/rocd-trixie.sources').exists(),
                    reason='this system is no Debian 12 to which trixie was added')
def test_what_came_from_trixie_comes_from_there_again(system):
    """Whatever os-release says by then."""
    status, out, _ = system('--dry-run', 'build', 'test')
    assert status == 0
    install = [line for line in out.split('\n') if ' install ' in line and 'would run' in line]
    assert len(install) == 2
    assert ' -t trixie ' not in install[0] and ' python3-pytest ' in install[0]
    assert ' -t trixie ' in install[1] and ' wireplumber' in install[1]


def test_only_what_is_missing_is_asked_for(system):
    status, out, calls = system('--dry-run', 'build', has=lambda package: package != 'libcyaml-dev')
    assert (status, calls) == (0, '')
    install = [line for line in out.split('\n') if ' install ' in line and 'would run' in line]
    assert len(install) == 1 and install[0].endswith(' libcyaml-dev')
    assert "missing for 'build':" in out and 'meson' not in out

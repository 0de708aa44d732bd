# SPDX-License-Identifier: MPL-2.0
"""tools/coverage over two small programs that share a source and run other parts of it."""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / 'tools/coverage'
SHARED = '''int shared(int n);
int shared(int n) {
    if (n > 1)
        return 1;
    if (n < 0)
        return 2;
    return 0;
}
'''
MAIN = '''int shared(int n);
int main(void) {
    return shared(%d) == 3;
}
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('coverage')
    (folder / 'src').mkdir()
    (folder / 'src/shared.c').write_text(SHARED)
    (folder / 'src/shared_test.c').write_text('int nothing;\n')
    cc = shutil.which('gcc-14') or 'gcc'
    for name, argument in (('low', 0), ('high', 2)):
        build = folder / 'build' / name
        build.mkdir(parents=True)
        (folder / f'{name}.c').write_text(MAIN % argument)
        subprocess.run([cc, '-O0', '--coverage', '../../src/shared.c', '../../src/shared_test.c', f'../../{name}.c', '-o', 'program'],
                       cwd=build, check=True)
    return folder


def coverage(*args):
    done = subprocess.run([sys.executable, TOOL, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, check=False)
    assert 'Traceback' not in done.stdout
    return done.returncode, [line.split() for line in done.stdout.rstrip('\n').split('\n')]


def test_what_any_program_ran_was_run(folder):
    build, src = folder / 'build', folder / 'src'
    for path in build.rglob('*.gcda'):
        path.unlink()
    status, lines = coverage(build, src)
    assert status == 1 and 'nothing' in lines[0]
    subprocess.run([build / 'low/program'], check=True)
    status, lines = coverage(build, src)
    assert status == 0
    assert lines[0] == ['file', 'lines', 'branches']
    assert lines[1:] == [['shared.c', '4/6', '66.7', '%', '2/4', '50.0', '%'], ['all', '4/6', '66.7', '%', '2/4', '50.0', '%']]
    subprocess.run([build / 'high/program'], check=True)
    status, lines = coverage(build, src, '--missing')
    assert status == 0
    assert lines[1] == ['shared.c', '5/6', '83.3', '%', '3/4', '75.0', '%']
    missing = [' '.join(line) for line in lines[3:]]
    assert missing == ['shared.c:5: 1 of 2 branches not taken: if (n < 0)', 'shared.c:6: not run: return 2;']


def test_what_cannot_be_measured_is_said(folder, tmp_path):
    subprocess.run([folder / 'build/low/program'], check=True)
    assert 'there is no' in ' '.join(coverage(tmp_path / 'x', folder)[1][0])
    assert 'was not built with coverage' in ' '.join(coverage(tmp_path, folder)[1][0])
    status, lines = coverage(folder / 'build', tmp_path)
    assert status == 1 and 'holds nothing of' in ' '.join(lines[0])

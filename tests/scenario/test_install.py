# SPDX-License-Identifier: MPL-2.0
"""make install: what is installed runs from where it was put, and a program can be built against it."""
import configparser
import fcntl
import gzip
import json
import os
import re
import shutil
import subprocess

import pytest

from support.contract import ROOT
from support.daemon import BUILD, Daemon
from support.wait import DEADLINE_S

PREFIX = '/opt/rocd'

PROGRAM = r'''
#include <rocd/rocd.h>
#include <stdio.h>

int main(int argc, char **argv) {
    struct rocd_options options = {.size = sizeof options, .state_dir = argv[argc - 1], .http_address = "127.0.0.1:0"};
    struct rocd_error error;
    struct rocd *rocd = rocd_start(&options, &error);
    if (!rocd)
        return fprintf(stderr, "%s\n", error.message), 1;
    printf("%s %s %d\n", rocd_version(), rocd_peer_uid(rocd), rocd_http_port(rocd));
    rocd_stop(rocd);
    return 0;
}
'''


def run(*args, **options):
    options.setdefault('timeout', 10 * DEADLINE_S)
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f'{args}: {done.returncode}\n{done.stdout}{done.stderr}'
    return done.stdout


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """What `make install` lays into a directory of its own, from the build under test."""
    destination = tmp_path_factory.mktemp('install')
    env = {k: v for k, v in os.environ.items() if not k.startswith(('MAKE', 'MFLAGS'))}
    with open(BUILD / 'install-test.lock', 'w') as lock:  # the prefix is a setting of the build directory
        fcntl.flock(lock, fcntl.LOCK_EX)
        run('make', '-C', ROOT, 'install', f'BUILD={BUILD}', f'DESTDIR={destination}', f'PREFIX={PREFIX}', env=env)
    return destination


def inside(tree):
    return tree / PREFIX.lstrip('/')


def test_everything_has_its_place(tree):
    top = inside(tree)
    elsewhere = [p for p in tree.iterdir() if p.name != PREFIX.split('/')[1]]
    assert not elsewhere, 'PREFIX is not honoured'
    for name in ('bin/rocd', 'bin/rocctl', 'include/rocd/rocd.h', 'share/man/man1/rocd.1', 'share/man/man1/rocctl.1',
                 'share/bash-completion/completions/rocctl.bash', 'lib/systemd/system/rocd.service',
                 'lib/systemd/user/rocd.service'):
        assert (top / name).is_file() or (top / (name + '.gz')).is_file(), name
    installed = [p for p in top.rglob('*') if p.is_file()]
    for path in installed:
        data = gzip.open(path).read() if path.suffix == '.gz' else path.read_bytes()
        assert str(tree).encode() not in data, f'{path} names the directory it was laid into'


def test_what_is_installed_runs(tree, workdir):
    """rocd and rocctl find each other with nothing in the environment that would lead them to the build."""
    top = inside(tree)
    env = {'PATH': f'{top}/bin:/usr/bin:/bin', 'HOME': str(workdir), 'ROCD_SOCKET': str(workdir / 'a/sock')}
    assert run('rocd', '--version', env=env).startswith('rocd ')
    assert 'not found' not in run('ldd', top / 'bin/rocd', env=env)

    class Installed(Daemon):
        def command(self):
            return [str(top / 'bin/rocd'), *super().command()[1:]]

    daemon = Installed(workdir / 'a', name='installed')
    daemon.start()
    try:
        status = json.loads(run('rocctl', 'status', '--json', env=env))
        assert status['peer']['peer_uid'] == daemon.api.get('/peers/self')['peer_uid']
        assert daemon.api.expect(200, 'GET', '/openapi').body
    finally:
        daemon.finish()


def test_a_program_is_built_against_it(tree, workdir):
    """Ten lines, pkg-config, a compiler: nothing of the sources."""
    top = inside(tree)
    source = workdir / 'host.c'
    source.write_text(PROGRAM)
    pc_dir = next(top.rglob('rocd.pc')).parent
    env = os.environ | {'PKG_CONFIG_PATH': str(pc_dir), 'PKG_CONFIG_SYSROOT_DIR': str(tree)}
    flags = run('pkg-config', '--cflags', '--libs', 'rocd', env=env).split()
    compiler = shutil.which('gcc-14') or shutil.which('clang-19') or 'cc'
    version = run('pkg-config', '--modversion', 'rocd', env=env).strip()
    for standard in ('-std=c11', '-std=c23' if 'gcc-14' in compiler else '-std=c2x'):
        run(compiler, standard, '-Wall', '-Wextra', '-Wpedantic', '-Werror', source, '-o', workdir / 'host', *flags)
    if shutil.which('g++'):
        run('g++', '-Wall', '-Werror', '-fsyntax-only', '-x', 'c++', '-include', top / 'include/rocd/rocd.h', '/dev/null')
    library_dir = next(top.rglob('librocd.so.0')).parent
    out = run(workdir / 'host', workdir / 'state', env={'LD_LIBRARY_PATH': str(library_dir), 'HOME': str(workdir),
                                                        'LSAN_OPTIONS': os.environ.get('LSAN_OPTIONS', '')})
    assert re.fullmatch(rf'{re.escape(version)} [a-z0-9-]{{20}} \d+\n', out), out


def test_units_start_what_is_installed(tree):
    for name in ('system', 'user'):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str
        parser.read(inside(tree) / f'lib/systemd/{name}/rocd.service')
        service = parser['Service']
        assert service['Type'] == 'notify' and service['NoNewPrivileges'] == 'yes'
        words = service['ExecStart'].split()
        assert words == [f'{PREFIX}/bin/rocd', '$ROCD_OPTIONS'] and (tree / words[0].lstrip('/')).is_file()


def test_pages_and_completion_can_be_read(tree):
    top = inside(tree)
    for name in ('rocd', 'rocctl'):
        page = next((top / 'share/man/man1').glob(name + '.1*'))
        text = run('man', '-l', '--warnings', page) if shutil.which('man') else page.read_text()
        assert name in text
    script = top / 'share/bash-completion/completions/rocctl.bash'
    run('bash', '-c', f'set -eu; source {script}; complete -p rocctl')

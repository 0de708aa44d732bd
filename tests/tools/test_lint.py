# SPDX-License-Identifier: MPL-2.0
"""Each check of tools/lint can fail: a copy of the tree is broken in one way, and the check must name file and reason.
Those that compile get a tiny program in place of rocd, built with the flags of the real one."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ['format', 'whitespace', 'licence', 'shell', 'banned', 'layers', 'routes', 'gcc', 'clang', 'symbols']
# Git hooks and the like set these, and git would then look at another repository.
ENV = {k: v for k, v in os.environ.items() if not k.startswith('GIT_') and k != 'ROCD_RESULTS'}


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, encoding='utf-8', errors='replace', timeout=250)
    return done.returncode, done.stdout


def copy_of_the_tree(to):
    files = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, env=ENV, check=True, stdout=subprocess.PIPE).stdout
    for name in filter(None, files.decode().split('\0')):
        if (ROOT / name).is_file():  # what is removed but not committed is no longer part of the tree
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    for command in (['init', '-q'], ['add', '-A']):
        subprocess.run(['git', *command], cwd=to, env=ENV, check=True)


class Tree:
    """A copy of the tree that can be broken, and is whole again afterwards."""

    def __init__(self, path):
        self.path = path
        self.before = {}

    def lint(self, *checks):
        return run('tools/lint', *checks, cwd=self.path)

    def write(self, name, text):
        path = self.path / name
        if name not in self.before:
            self.before[name] = path.read_bytes() if path.exists() else None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
        subprocess.run(['git', 'add', '-Nf', name], cwd=self.path, env=ENV, check=True)

    def append(self, name, text):
        self.write(name, (self.path / name).read_text(encoding='utf-8') + text)

    def replace(self, name, old, new):
        text = (self.path / name).read_text(encoding='utf-8')
        assert old in text, f'{name} no longer holds {old!r}: choose another line to break'
        self.write(name, text.replace(old, new, 1))

    def mend(self):
        for name, data in self.before.items():
            if data is None:
                subprocess.run(['git', 'rm', '-qf', '--cached', name], cwd=self.path, env=ENV, check=True)
                (self.path / name).unlink()
            else:
                (self.path / name).write_bytes(data)
        self.before.clear()


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    path = tmp_path_factory.mktemp('tree')
    copy_of_the_tree(path)
    return Tree(path)


@pytest.fixture
def tree(copy):
    yield copy
    copy.mend()


def test_the_names_of_the_checks(tree):
    assert tree.lint('--list') == (0, '\n'.join(CHECKS) + '\n')


def test_an_unknown_check_is_refused(tree):
    status, out = tree.lint('formt')
    assert status == 2
    assert 'unknown check formt: use format whitespace' in out


def test_the_tree_as_it_is_passes(tree):
    status, out = tree.lint('format', 'whitespace', 'licence', 'shell', 'banned', 'layers', 'routes')
    assert status == 0, out
    assert out.endswith('lint: 7 passed, 0 failed\n')


SPDX = '/* SPDX-License-Identifier: MPL-2.0 */\n'

BROKEN = [
    # check, what is done to the tree, what the message must hold
    ('format', lambda t: (t.append('src/base/buf.c', 'static int  x;\n'), t.append('include/rocd/rocd.h', '\nextern int y ;\n')),
     ['src/base/buf.c:', 'include/rocd/rocd.h:', 'clang-format']),
    ('whitespace', lambda t: t.append('src/base/buf.c', '/* a */ \n'), ['src/base/buf.c:', '/* a */']),
    ('whitespace', lambda t: t.append('Makefile', '\t@true\t\n'), ['Makefile:']),
    ('licence', lambda t: t.write('src/base/new.c', 'int new_x;\n'), ['src/base/new.c: no SPDX line']),
    ('licence', lambda t: t.write('tests/api/test_new.py', 'import os\n'), ['tests/api/test_new.py: no SPDX line']),
    ('licence', lambda t: t.write('tools/new', '#!/bin/sh\n'), ['tools/new: no SPDX line']),
    ('shell', lambda t: t.append('tools/run-tests', 'if true; then\n'), ['tools/run-tests: line ', 'unexpected end of file']),
    ('shell', lambda t: t.append('.ci/run', 'done\n'), ['.ci/run: line ', 'done']),
    ('banned', lambda t: t.append('src/base/buf.c', 'void f(char *t) {\n    strcpy(t, "x");\n}\n'),
     ['src/base/buf.c:', 'strcpy(']),
    ('banned', lambda t: t.append('src/media/gain.c', 'void f(void) {\n    abort();\n}\n'), ['src/media/gain.c:', 'abort(']),
    ('banned', lambda t: t.append('src/api/api.c', 'void f(void) {\n    printf("x");\n}\n'), ['src/api/api.c:', 'printf(']),
    ('layers', lambda t: t.append('src/base/buf.c', '#include "model/uri.h"\n'),
     ['src/base/buf.c: may not include "model/uri.h"', 'base may use os']),
    ('layers', lambda t: t.append('src/media/gain.c', '#include "store/store.h"\n'),
     ['src/media/gain.c: may not include "store/store.h"']),
    ('layers', lambda t: t.append('src/api/api.c', '#include <sqlite3.h>\n'),
     ['src/api/api.c: <sqlite3.h> may be included only in store']),
    ('layers', lambda t: t.append('src/transport/gate.c', '  #  include <roc/frame.h>\n'),
     ['src/transport/gate.c: <roc/frame.h> may be included only in transport/roc']),
    ('layers', lambda t: t.append('src/http/server.c', '#include <rocd/rocd.h>\n#include "rocd/rocd.h"\n'),
     ['src/http/server.c: the embedding API is for main.c and app']),
    ('layers', lambda t: t.write('src/misc/x.c', SPDX), ["src/misc/x.c: module 'misc' is not in tools/layers.txt"]),
    ('routes', lambda t: t.replace('src/api/version.c', 'void api_get_version(', 'void api_get_versions('),
     ['api/openapi.yaml: get_version has no handler in src/api',
      'src/api/version.c: api_get_versions is not an operation of the contract']),
    ('routes', lambda t: t.replace('api/openapi.yaml', 'operationId: get_version\n', 'operationId: get_revision\n'),
     ['api/openapi.yaml: get_revision has no handler', 'src/api/version.c: api_get_version is not an operation']),
    ('routes', lambda t: t.replace('api/openapi.yaml', 'x-privilege: ', 'x-privilege: every'),
     ['api/openapi.yaml: GET /', 'x-privilege is missing or unknown']),
]


@pytest.mark.parametrize('check, do, wanted', BROKEN, ids=[f'{case[0]}-{i}' for i, case in enumerate(BROKEN)])
def test_a_broken_tree_fails(tree, check, do, wanted):
    do(tree)
    status, out = tree.lint(check)
    assert status == 1, out
    assert 'FAILED' in out and out.endswith('lint: 0 passed, 1 failed\n')
    for part in wanted:
        assert part in out, f'{part!r} is not in:\n{out}'


def test_tests_may_do_what_is_banned(tree):
    tree.append('src/base/base_test.c', 'void f(char *t) {\n    strcpy(t, "x");\n    abort();\n}\n')
    status, out = tree.lint('banned')
    assert status == 0, out


def test_results_are_counted_for_ci(tree, tmp_path):
    tree.append('src/base/buf.c', '/* a */ \n')
    results = tmp_path / 'results'
    subprocess.run(['tools/lint', 'whitespace', 'layers'], cwd=tree.path, env={**ENV, 'ROCD_RESULTS': str(results)},
                   stdout=subprocess.DEVNULL, check=False)
    assert results.read_text() == '1 1\n'


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """The tree with one small program in place of rocd: the flags of meson.build, and nearly nothing to compile."""
    path = tmp_path_factory.mktemp('tiny')
    copy_of_the_tree(path)
    for folder in path.glob('src/*'):
        if folder.is_dir():
            shutil.rmtree(folder)
    (path / 'src/meson.build').write_text("executable('tiny', 'main.c')\n")
    (path / 'tools/melody/meson.build').write_text('')
    (path / 'meson.build').write_text('\n'.join(
        line for line in (path / 'meson.build').read_text().split('\n')
        if not line.startswith(('dep_', 'subdir(')) or line in ("subdir('src')", "subdir('tools/melody')")))
    return path


@pytest.mark.parametrize('check, compiler', [('gcc', 'gcc-14'), ('clang', 'clang-19')])
def test_a_warning_is_an_error(tiny, check, compiler):
    main = tiny / 'src/main.c'
    main.write_text(SPDX + 'int main(void) {\n    return 0;\n}\n')
    status, out = run('tools/lint', check, cwd=tiny)
    assert status == 0, out
    for line, wanted in (('long x = argc;\n    short y = x;\n    return y;', 'conversion'),
                         ('int unused;\n    (void)argc;\n    return 0;', 'unused-variable'),
                         ('int argv = argc;\n    { int argv = 2; (void)argv; }\n    return argv;', 'shadow')):
        main.write_text(SPDX + f'int main(int argc, char **) {{\n    {line}\n}}\n')
        status, out = run('tools/lint', check, cwd=tiny)
        assert status == 1, f'{compiler} takes {line}'
        assert 'src/main.c:' in out and wanted in out


def test_exported_symbols_are_those_declared(tree):
    directory = tree.path / 'build-lint-gcc/src/app'
    directory.mkdir(parents=True)
    try:
        status, out = tree.lint('symbols')
        assert status == 1 and 'librocd.so is not there: build first' in out
        header = (tree.path / 'include/rocd/rocd.h').read_text()
        names = sorted({line.split('(')[0].split()[-1].lstrip('*') for line in header.split('\n')
                        if line.startswith('ROCD_API')})
        assert len(names) > 3

        def library(exported):
            source = ''.join(f'void {name}(void);\nvoid {name}(void) {{}}\n' for name in exported)
            subprocess.run(['gcc-14', '-shared', '-x', 'c', '-', '-o', directory / 'librocd.so'], input=source.encode(),
                           check=True)
            return tree.lint('symbols')

        status, out = library(names)
        assert status == 0, out
        status, out = library(names[1:] + ['rocd_left_open'])
        assert status == 1
        assert f'declared in rocd.h, not exported: {names[0]}' in out
        assert 'exported, not declared in rocd.h: rocd_left_open' in out
    finally:
        shutil.rmtree(tree.path / 'build-lint-gcc')

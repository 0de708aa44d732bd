# SPDX-License-Identifier: MPL-2.0
"""Fixtures of all test suites. The programs under test are those of the build directory that ROCD_BUILD names."""
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from support.daemon import BUILD, Daemon
from support.pipewire import PipeWire, missing

# A shell has its background jobs ignore SIGINT, and programs that we start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def workdir():
    """A directory with a short name (unix sockets have room for 107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix='rocd-'))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def daemons(request, workdir):
    """Makes daemons: daemons('a', …). Each of them is stopped at the end and must have ended well."""
    made = []

    def make(name='rocd', start=True, **options):
        daemon = Daemon(workdir / name, name=name, **options)
        made.append(daemon)
        if start:
            daemon.start()
        return daemon

    yield make
    errors = []
    for daemon in reversed(made):
        try:
            daemon.finish()
        except AssertionError as e:
            errors.append(str(e))
    assert not errors, '\n'.join(errors)


@pytest.fixture
def daemon(daemons):
    return daemons()


@pytest.fixture
def pipewire():
    """A private PipeWire that runs, with a session manager, a loudspeaker and a microphone; skips where there is none to be had."""
    if not (BUILD / 'src/audio/pipewire-driver').exists():
        pytest.skip('built without PipeWire')
    if lacks := missing():
        pytest.skip(f'not installed: {lacks} (tools/install-deps test)')
    with PipeWire() as made:
        yield made.start()


@pytest.fixture(scope='module')
def shared():
    """One daemon for a whole module, for tests that leave it as they found it."""
    path = Path(tempfile.mkdtemp(prefix='rocd-'))
    daemon = Daemon(path / 'shared', name='shared')
    daemon.start()
    yield daemon
    try:
        daemon.finish()
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of what its daemons have logged."""
    outcome = yield
    report = outcome.get_result()
    if report.when == 'call' and report.failed:
        for daemon in Daemon.running:
            report.sections.append((f'log of {daemon.name}', daemon.log_tail()))

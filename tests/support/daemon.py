# SPDX-License-Identifier: MPL-2.0
"""A real rocd, started as a process of its own with its own directories and ports."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import requests

from support.client import Client
from support.contract import ROOT
from support.wait import DEADLINE_S, wait_until

BUILD = Path(os.environ.get('ROCD_BUILD', ROOT / 'build'))
LISTENING = re.compile(r'http: listening .*?address="?(\S+?:\d+)"?(?:\s|$)')
SANITIZER = re.compile(r'(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:).*')


def program(name):
    for path in (BUILD / name, BUILD / 'src/app' / name, BUILD / 'src/cli' / name):
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise AssertionError(f'there is no {name} in {BUILD}: build it, or set ROCD_BUILD')


class Daemon:
    running = []

    def __init__(self, directory, name='rocd', args=(), address='127.0.0.1:0', config=None, preexec=None, env=None, host=None):
        """`host`: of support.netns, where it shall run; it is then spoken to through its unix socket."""
        self.name = name
        self.directory = Path(directory)
        self.state_dir = self.directory / 'state'
        self.media_dir = self.directory / 'media'
        self.socket = self.directory / 'sock'
        self.log_path = self.directory / 'log'
        for path in (self.directory, self.media_dir):
            path.mkdir(parents=True, exist_ok=True)
        self.args = list(args)
        self.wanted_address = address
        self.config_path = None
        if config is not None:
            self.config_path = self.directory / 'rocd.yaml'
            self.config_path.write_text(config)
        self.preexec = preexec
        self.host = host
        self.extra_env = env or {}
        self.process = None
        self.api = None
        self.address = None

    # ---- starting and ending ----

    def command(self):
        command = self.host.enter() if self.host else []
        command += [str(program('rocd')), '--state-dir', str(self.state_dir), '--media-dir', str(self.media_dir)]
        if self.wanted_address is not None:
            command += ['-a', self.wanted_address]
        command += ['--socket', str(self.socket)]
        if self.config_path:
            command += ['-c', str(self.config_path)]
        return command + self.args

    def env(self):
        env = {k: v for k, v in os.environ.items() if k not in ('NOTIFY_SOCKET', 'STATE_DIRECTORY', 'RUNTIME_DIRECTORY',
                                                                'JOURNAL_STREAM', 'INVOCATION_ID')}
        env |= {'HOME': str(self.directory), 'XDG_STATE_HOME': str(self.directory / 'xdg-state'),
                'XDG_DATA_HOME': str(self.directory / 'xdg-data'), 'XDG_RUNTIME_DIR': str(self.directory),
                'ALSA_CONFIG_PATH': os.devnull}  # no sound cards, whatever the machine has
        env.setdefault('ASAN_OPTIONS', 'detect_leaks=1:abort_on_error=0:exitcode=99')
        env.setdefault('UBSAN_OPTIONS', 'print_stacktrace=1:halt_on_error=1:exitcode=99')
        env.setdefault('TSAN_OPTIONS', 'halt_on_error=1:exitcode=99')
        return env | self.extra_env

    def spawn(self):
        with open(self.log_path, 'ab') as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(self.command(), env=self.env(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=self.preexec)
        Daemon.running.append(self)

    def start(self):
        self.spawn()
        wait_until(self._find_address, f'{self.name} to listen', deadline=60)
        self.api = Client(self.address, self.socket if self.host else None)
        wait_until(self._is_ready, f'{self.name} to be ready', deadline=60)
        return self

    def _find_address(self):
        self.assert_alive()
        found = LISTENING.search(self.log())
        if found:
            self.address = found.group(1)
        return self.address

    def _is_ready(self):
        self.assert_alive()
        if self.host and not self.socket.exists():
            return False
        try:
            return self.api.call('GET', '/readyz').status == 200
        except requests.ConnectionError:
            if self.host:  # the socket opens a moment after the port; one of a killed run is still there
                return False
            raise

    def assert_alive(self):
        code = self.process.poll()
        assert code is None, f'{self.name} has ended with {code}:\n{self.log_tail()}'

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def _gone(self):
        self.address = None
        if self.api:
            self.api.session.close()
        if self in Daemon.running:
            Daemon.running.remove(self)

    def stop(self, deadline=DEADLINE_S):
        """SIGTERM; it must end by itself, well, and without a report of a sanitizer. Gives the seconds it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._gone()
            raise AssertionError(f'{self.name} did not end within {deadline:.0f} s of SIGTERM:\n{self.log_tail()}') from None
        self._gone()
        self.assert_clean()
        assert code == 0, f'{self.name} ended with {code} after SIGTERM:\n{self.log_tail()}'
        return time.monotonic() - begin

    def kill(self):
        """kill -9: no chance to write anything."""
        self.assert_alive()
        self.process.kill()
        self.process.wait()
        self._gone()

    def restart(self):
        self.stop()
        return self.start()

    def finish(self):
        if self.process is None:
            return
        if self.is_running():
            self.stop()
        elif self in Daemon.running:
            code = self.process.poll()
            self._gone()
            raise AssertionError(f'{self.name} ended by itself with {code}:\n{self.log_tail()}')
        self.assert_clean(whole=True)

    # ---- what it says ----

    def log(self, whole=False):
        with open(self.log_path, 'rb') as f:
            f.seek(0 if whole else self.log_start)
            return f.read().decode('utf-8', 'replace')

    def log_tail(self, n_lines=40):
        return '\n'.join(self.log(whole=True).splitlines()[-n_lines:])

    def assert_clean(self, whole=False):
        found = SANITIZER.search(self.log(whole))
        assert not found, f'{self.name}: {found.group(0)}\n{self.log_tail(80)}'

    def run(self, *args, deadline=DEADLINE_S):
        """The program with these arguments alone, to its end."""
        return subprocess.run([str(program('rocd')), *map(str, args)], env=self.env(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=deadline)

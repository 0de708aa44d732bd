# SPDX-License-Identifier: MPL-2.0
"""Debian's roc-send and roc-recv, what people use today. They speak 44.1 kHz stereo L16 only."""
import shutil
import signal
import subprocess

import pytest

ENCODING = 'l16/44100/2'


def _uris(uris):
    args = ['-s', uris['media_uri']]
    for flag, name in (('-r', 'repair_uri'), ('-c', 'control_uri')):
        if name in uris:
            args += [flag, uris[name]]
    return args


class Tool:
    def __init__(self, name, args, log):
        if not shutil.which(name):
            pytest.skip(f'{name} is not installed (tools/install-deps test)')
        self.name = name
        self.log_path = log
        with open(log, 'ab') as f:
            self.process = subprocess.Popen([name, '-vv', *map(str, args)], stdin=subprocess.DEVNULL, stdout=f, stderr=f)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        return self.log_path.read_text(errors='replace')

    def wait_for_its_end(self, deadline=60):
        """It has done its work and ended. roc-send 0.4 may crash while it closes, when a report of the receiver comes in that
        moment (roc-toolkit issue 845): then everything has been sent, and that is no fault."""
        code = self.process.wait(deadline)
        sent, closing, end = self.log().rpartition('sender sink: removing slot')
        crashed_while_closing = code == -signal.SIGABRT and sent and closing and 'SIGSEGV' in end
        assert code == 0 or crashed_while_closing, f'{self.name} ended with {code}: {self.log()[-2000:]}'

    def stop(self):
        """SIGTERM, so that roc-recv finishes its file."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def send(path, uris, log, *args):
    return Tool('roc-send', ['-i', f'file:{path}', *_uris(uris), *args], log)


def receive(path, uris, log, *args):
    # Without the latency tuner no sample is touched, so that what arrives can be compared bit by bit.
    return Tool('roc-recv', ['-o', f'file:{path}', '--output-format', 'wav', *_uris(uris), '--resampler-backend', 'speex',
                             *args], log)

# SPDX-License-Identifier: MPL-2.0
"""Devices of ALSA, as a whole daemon uses them. The loudspeaker is a PCM of type "file" whose file is a pipe: it plays at the
pace at which this test reads."""
import array
import math
import os
import threading
import time

import pytest

from support.wait import wait_until

ENDPOINTS = '/peers/self/endpoints'
RATE = 48000
PERIOD = 480

CONFIG = '''
pcm.null {{ type null  hint {{ show on  description "Null PCM" }} }}
pcm.speaker {{ type file  slave.pcm null  file "{pipe}"  format raw  hint {{ show on  description "A pipe" }} }}
'''


class Loudspeaker:
    """Plays what comes at 48 kHz, and keeps it: the left channel."""

    def __init__(self, path):
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.left = array.array('f')
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.play)
        self.thread.start()

    def play(self):
        due = time.monotonic()
        while not self.ending.wait(max(0, due - time.monotonic())):
            due = max(due + PERIOD / RATE, time.monotonic() - 0.1)
            try:
                frames = array.array('f', os.read(self.fd, PERIOD * 8))
            except BlockingIOError:
                continue
            self.left.extend(frames[::2])

    def close(self):
        self.ending.set()
        self.thread.join()
        os.close(self.fd)


@pytest.fixture
def speaker(workdir):
    speaker = Loudspeaker(workdir / 'out')
    yield speaker
    speaker.close()


@pytest.fixture
def daemon(daemons, workdir, speaker):
    (workdir / 'asound.conf').write_text(CONFIG.format(pipe=workdir / 'out'))
    return daemons(args=['-d', 'alsa,tone'], env={'ALSA_CONFIG_PATH': str(workdir / 'asound.conf')})


def find(api):
    return next((e for e in api.get(ENDPOINTS) if e.get('device') and e['device']['system_name'] == 'output:speaker'), None)


def hum(left, frequency):
    """The loudest half second of a tone: how much of it is there, in parts of its peak."""
    best = 0
    for begin in range(0, len(left) - RATE // 2, RATE // 10):
        part = left[begin:begin + RATE // 2]
        re = sum(x * math.cos(2 * math.pi * frequency * i / RATE) for i, x in enumerate(part))
        im = sum(x * math.sin(2 * math.pi * frequency * i / RATE) for i, x in enumerate(part))
        best = max(best, 2 * math.hypot(re, im) / len(part))
    return best


def test_a_device_is_listed_and_plays(daemon, speaker):
    api = daemon.api
    assert {d['name'] for d in api.get('/peers/self/drivers')} == {'alsa', 'tone'}
    device = wait_until(lambda: find(api), 'the loudspeaker to be listed')
    assert device['kind'] == 'device' and device['driver'] == 'alsa' and device['endpoint_type'] == 'system_device'
    assert device['stream_direction'] == 'output' and device['status']['volume'] is None
    names = {e['device']['system_name'] for e in api.get(ENDPOINTS)}
    assert names == {'output:speaker', 'input:speaker'}, 'a PCM of type null is no device'

    tone = api.tone(frequency_hz=1000, level_dbfs=-20)
    stream = api.stream(tone, device)
    wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    wait_until(lambda: hum(speaker.left[-2 * RATE:], 1000) > 0.05, 'the tone')
    api.delete(stream['stream_uri'])
    wait_until(lambda: api.get(device['endpoint_uri'])['status']['active_streams'] == 0, 'the device to be let go')

    daemon.stop()
    daemon.start()
    again = wait_until(lambda: find(daemon.api), 'the loudspeaker to be listed again')
    assert again['endpoint_uid'] == device['endpoint_uid']


def test_two_drivers_serve_their_devices_side_by_side(daemons, workdir, speaker, pipewire):
    (workdir / 'asound.conf').write_text(CONFIG.format(pipe=workdir / 'out'))
    env = pipewire.daemon_env() | {'ALSA_CONFIG_PATH': str(workdir / 'asound.conf')}
    api = daemons(args=['-d', 'alsa,pipewire,tone'], env=env).api
    assert {d['name'] for d in api.get('/peers/self/drivers')} == {'alsa', 'pipewire', 'tone'}
    card = wait_until(lambda: find(api), 'the loudspeaker of ALSA to be listed')
    desk = wait_until(lambda: next((e for e in api.get(ENDPOINTS) if e['system_name'] == 'fake-out'), None), "PipeWire's, too")
    assert (card['driver'], desk['driver']) == ('alsa', 'pipewire')
    for device in (card, desk):
        stream = api.stream(api.tone(frequency_hz=1000, level_dbfs=-20), device)
        wait_until(lambda stream=stream: api.stream_is(stream, 'running'), f'the stream to {device["system_name"]} to run')
    wait_until(lambda: hum(speaker.left[-2 * RATE:], 1000) > 0.05, 'the tone of ALSA')
    wait_until(lambda: 'rocd-playback' in pipewire.links('fake-out'), 'the stream of PipeWire to be linked')


def test_a_driver_that_there_is_not_is_refused_by_name(daemons):
    daemon = daemons(start=False, args=['-d', 'file,oboe'])
    daemon.spawn()
    assert daemon.process.wait(60) != 0
    daemon._gone()
    assert "there is no audio driver 'oboe' in this build" in daemon.log()

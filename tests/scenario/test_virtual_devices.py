# SPDX-License-Identifier: MPL-2.0
"""Two desktops, each with a PipeWire of its own: a loudspeaker made at one of them from the other, played to by a program there
and heard at a device here; and the deaths of everything on the way."""
import signal
import time

import numpy as np
import pytest

from support import process
from support.client import stream_spec
from support.pipewire import PipeWire, read_raw, write_raw
from support.site import Site
from support.wait import wait_until

RATE_HZ = 48000
PITCH_HZ = 997


class Desktops:
    def __init__(self, directory):
        self.site = Site(directory, ('a', 'b'))
        self.sound = {name: PipeWire() for name in 'ab'}
        self.n_takes = 0
        self.player = None
        for name, pipewire in self.sound.items():
            pipewire.start()
            self.site.daemons[name].extra_env = pipewire.daemon_env()

    def close(self):
        try:
            self.site.close()
        finally:
            for pipewire in self.sound.values():
                pipewire.stop()

    def endpoint(self, name, system_name):
        """As `name` shows it, once it is there."""
        def found():
            listed = self.site.api(name).get('/peers/self/endpoints')
            return next((e for e in listed if e['system_name'] == system_name and e['status']['state'] == 'available'), None)
        return wait_until(found, f'{system_name} at {name}', deadline=60)

    def connect(self):
        """From a: a loudspeaker is made at b and streamed to a's. (endpoint, name of its node at b, stream)"""
        a = self.site.api('a')
        here = self.endpoint('a', 'fake-out')
        speaker = a.post(f'/peers/{self.site.uids["b"]}/endpoints', {'kind': 'virtual_speaker', 'display_name': 'To a'})
        target = f'rocd.{speaker["endpoint_uid"]}'
        self.endpoint('b', target)
        return speaker, target, a.post('/streams', stream_spec(speaker, here, target_latency_ms=200))

    def play(self, target):
        """A program at b plays a tone to the loudspeaker, for minutes."""
        path = self.sound['b'].directory / 'tone.raw'
        wave = 0.25 * np.sin(2 * np.pi * PITCH_HZ * np.arange(60 * RATE_HZ) / RATE_HZ)
        write_raw(path, np.column_stack([wave, wave]))
        self.sound['b'].wait_node(target)
        if self.player:
            self.player.terminate()
        self.player = self.sound['b'].pw_cat('playback', path, target)

    def is_heard(self):
        """At the loudspeaker of a, by its monitor: the tone, and little else."""
        self.n_takes += 1
        path = self.sound['a'].directory / f'take-{self.n_takes}.raw'
        recorder = self.sound['a'].pw_cat('record', path, 'fake-out', '-P', '{ stream.capture.sink=true }')
        try:
            wait_until(lambda: len(read_raw(path)) > RATE_HZ // 2, 'half a second to be recorded')
        finally:
            recorder.terminate()
            recorder.wait()
        samples = read_raw(path)[-RATE_HZ // 4:, 0]
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) * 4 / len(samples)
        at = round(PITCH_HZ * len(samples) / RATE_HZ)
        tone, rest = spectrum[at - 3:at + 4].max(), np.delete(spectrum, np.arange(at - 6, at + 7)).max()
        return tone > 0.2 and rest < tone / 50


@pytest.fixture
def desktops(workdir):
    made = Desktops(workdir)
    made.site.start()
    yield made
    made.close()


def test_a_loudspeaker_made_at_another_peer_is_heard_here(desktops):
    site, a = desktops.site, desktops.site.api('a')
    speaker, target, stream = desktops.connect()
    desktops.play(target)
    wait_until(desktops.is_heard, 'the tone to be heard', deadline=60)
    assert a.get(stream['stream_uri'])['status']['state'] == 'running'

    for name in 'ba':  # the daemon where the loudspeaker is, and the one that plays
        site.daemons[name].kill()
        site.start_one(name)
        wait_until(site.all_online, 'the peers to meet again', deadline=60)
        if name == 'b':  # its programs were moved to another device
            desktops.play(target)
        wait_until(desktops.is_heard, f'the tone after the death of {name}', deadline=60)

    for name in 'ab':  # and the sound server of each
        desktops.sound[name].kill()
        desktops.sound[name].start()
        if name == 'b':
            desktops.endpoint('b', target)
            desktops.play(target)
        else:
            desktops.endpoint('a', 'fake-out')
        wait_until(desktops.is_heard, f'the tone after the death of the sound server of {name}', deadline=60)

    a = site.api('a')  # its port is another one since it died
    assert a.get(speaker['endpoint_uri'])['display_name'] == 'To a'
    a.delete(stream['stream_uri'])
    a.delete(speaker['endpoint_uri'])
    desktops.sound['b'].wait_node(target, is_there=False)


def test_a_loudspeaker_nobody_plays_to_is_idle(desktops):
    a = desktops.site.api('a')
    _, target, stream = desktops.connect()

    def status():
        return a.get(stream['stream_uri'])['status']

    def is_idle():
        s = status()
        return s['state'] == 'running' and [c['reason'] for c in s['conditions']] == ['SourceIdle'] and s

    first = wait_until(is_idle, 'the stream to be idle', deadline=60)
    assert 'To a' in first['conditions'][0]['message']
    rocd = desktops.site.daemons['b'].process.pid
    woken, began = process.n_wakes(rocd, r'media-\d'), time.monotonic()
    time.sleep(3)  # this is what is measured: what happens while nobody plays
    assert is_idle()['packets']['received'] == first['packets']['received']
    per_s = (process.n_wakes(rocd, r'media-\d') - woken) / (time.monotonic() - began)
    assert 0 < per_s < 15  # 5, and not 50

    for _ in range(2):
        desktops.play(target)
        wait_until(desktops.is_heard, 'the tone to be heard', deadline=60)
        wait_until(lambda: status()['state'] == 'running' and not status()['conditions'], 'the stream to run')
        lost = status()['samples']
        desktops.player.terminate()
        desktops.player.wait()
        after = wait_until(is_idle, 'the stream to be idle again', deadline=60)
        assert after['samples']['lost_network'] == lost['lost_network']


def test_a_device_that_was_not_served_has_xruns(desktops):
    site, a = desktops.site, desktops.site.api('a')
    here = desktops.endpoint('a', 'fake-out')
    tone = a.post('/peers/self/endpoints', {'kind': 'tone'})
    a.post('/streams', stream_spec(tone, here))

    def xruns():
        return a.get(here['endpoint_uri'])['status'].get('xruns')

    wait_until(lambda: xruns() is not None, 'the device to be used')
    assert 'xruns' not in a.get(tone['endpoint_uri'])['status']

    def has_missed():
        before = xruns()
        site.daemons['a'].process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)  # cycles of the device go by without us
        site.daemons['a'].process.send_signal(signal.SIGCONT)
        time.sleep(1)
        return xruns() > before
    wait_until(has_missed, 'the device to miss sound', deadline=60)

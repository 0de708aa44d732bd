# SPDX-License-Identifier: MPL-2.0
"""Sound between two daemons over real UDP, and what kill -9 does to it.

These run in real time on a machine that may stall. So sound is compared where it flowed, and holes are held against the
ledger: those that the machine is to blame for are not the daemon's."""
import random

import pytest

from support import wav
from support.net import roc_uris, udp_ports
from support.wait import wait_until

FLOOR = 0.9  # correlation of a window of the recording with where it fits best in the original


def listen(api, sink, ports, fec='rs8m', host='127.0.0.1', **settings):
    return api.stream(roc_uris(ports, fec, host), sink, fec=fec, **settings)


def feed(api, source, ports, fec='rs8m', host='127.0.0.1', **settings):
    return api.stream(source, roc_uris(ports, fec, host), fec=fec, **settings)


def recordings(daemon, stem='take'):
    return sorted(daemon.media_dir.glob(f'{stem}*.wav'))


def wait_recorded(daemon, seconds, stem='take'):
    return wait_until(lambda: next((p for p in recordings(daemon, stem) if wav.seconds(p) > seconds), None),
                      f'{seconds} s of sound in {stem}', deadline=60)


def check_sound(recorded, original, lost_to_machine=0, at_least_s=2.0, rate=48000):
    heard = wav.sound(recorded)
    assert len(heard) > at_least_s * rate, f'only {len(heard) / rate:.2f} s of sound'
    holes = wav.zero_runs(recorded)
    assert sum(n for _, n in holes) <= lost_to_machine + rate // 100, f'holes: {holes[:10]}, machine: {lost_to_machine}'
    for channel in (0, 1):
        fits = wav.correlations(heard[:, channel], original[:, channel], loop=True, skip=4096)
        good = sum(f > FLOOR for f in fits)
        # A window over a hole, or over the seam of the loop, may fit badly.
        assert good >= len(fits) - 2 * len(holes) - 2 - len(heard) // len(original), f'channel {channel}: {fits}'


@pytest.mark.parametrize('fec, host', [('rs8m', '127.0.0.1'), ('ldpc', '127.0.0.1'), ('none', '127.0.0.1'), ('rs8m', '::1')])
def test_a_file_travels_from_one_daemon_to_the_other(daemons, fec, host):
    a, b = daemons('a'), daemons('b')
    original = wav.telltale(48000, 5)
    wav.write(a.media_dir / 'song.wav', original, 48000)
    ports = udp_ports(3, host)
    into = listen(b.api, b.api.recorder('take.wav'), ports, fec, host, target_latency_ms=200)
    wait_until(lambda: b.api.stream_is(into, 'connecting'), 'b to listen')
    out = feed(a.api, a.api.player('song.wav', loop=True), ports, fec, host, target_latency_ms=200)
    wait_until(lambda: a.api.stream_is(out, 'running', 'degraded'), 'a to send')
    wait_until(lambda: b.api.stream_is(into, 'running', 'degraded'), 'b to hear')
    take = wait_recorded(b, 6)
    status = b.api.get(into['stream_uri'])['status']
    sent = a.api.get(out['stream_uri'])['status']['packets']
    assert status['packets']['received'] > 500 and sent['sent'] > 500 and status['packets']['rejected'] == 0
    if fec != 'none':
        assert status['local_uris']['repair']
    assert max(status['level_dbfs']) > -20
    b.api.delete(into['stream_uri'])
    wait_until(lambda: b.api.get(into['destination']['endpoint_uri'])['status']['active_streams'] == 0, 'the file to be closed')
    recorded, rate = wav.read(take)
    assert rate == 48000 and recorded.shape[1] == 2
    blamed = status['samples']['lost_machine'] + status['samples']['lost_network']
    check_sound(recorded, original, lost_to_machine=blamed)


def test_a_tone_keeps_its_pitch_and_level(daemons):
    import numpy as np
    a, b = daemons('a'), daemons('b')
    ports = udp_ports(3)
    into = listen(b.api, b.api.recorder('take.wav'), ports, target_latency_ms=200)
    feed(a.api, a.api.tone(frequency_hz=1000, level_dbfs=-6), ports, target_latency_ms=200)
    take = wait_recorded(b, 4)
    b.api.delete(into['stream_uri'])
    wait_until(lambda: b.api.get(into['destination']['endpoint_uri'])['status']['active_streams'] == 0, 'the file to be closed')
    recorded, rate = wav.read(take)
    heard = wav.sound(recorded)
    best = max((heard[i:i + rate // 2, 0] for i in range(rate // 2, len(heard) - rate // 2, rate // 2)),
               key=lambda w: -abs(np.abs(w).max() - 0.501))
    spectrum = np.abs(np.fft.rfft(best * np.hanning(len(best))))
    assert abs(np.argmax(spectrum) * rate / len(best) - 1000) < 4
    assert abs(20 * np.log10(np.abs(best).max()) + 6) < 0.5


def test_muting_and_gain_reach_the_other_side(daemons):
    a, b = daemons('a'), daemons('b')
    ports = udp_ports(3)
    into = listen(b.api, b.api.sink(), ports, target_latency_ms=200)
    out = feed(a.api, a.api.tone(level_dbfs=-10), ports, target_latency_ms=200)

    def level():
        return max(b.api.get(into['stream_uri'])['status']['level_dbfs'], default=-120)
    wait_until(lambda: abs(level() + 10) < 1.5, 'the level of the tone')
    a.api.patch(out['stream_uri'], {'settings': {'gain_db': -20}})
    wait_until(lambda: abs(level() + 30) < 1.5, 'the level with gain')
    a.api.patch(out['stream_uri'], {'settings': {'muted': True}})
    wait_until(lambda: level() < -90, 'silence')
    a.api.patch(out['stream_uri'], {'settings': {'muted': False, 'gain_db': 0}})
    wait_until(lambda: abs(level() + 10) < 1.5, 'the level of the tone again')


@pytest.mark.slow
def test_kill_9_of_either_side_heals_by_itself(daemons):
    rng = random.Random(1125)
    a, b = daemons('a'), daemons('b')
    ports = udp_ports(3)
    into = listen(b.api, b.api.sink(), ports, target_latency_ms=100)
    out = feed(a.api, a.api.tone(level_dbfs=-10), ports, target_latency_ms=100)

    def sounds():
        now = b.api.stream_is(into, 'running', 'degraded')
        return now and max(now['status']['level_dbfs'], default=-120) > -20
    wait_until(sounds, 'sound')
    for round_ in range(8):
        victim = rng.choice([a, b])
        goal = b.api.get(into['stream_uri'])['status']['packets']['received'] + rng.randrange(0, 400)
        wait_until(lambda: b.api.get(into['stream_uri'])['status']['packets']['received'] >= goal, 'a random moment', pause=0.005)
        victim.kill()
        victim.start()
        wait_until(lambda: a.api.stream_is(out, 'running', 'degraded'), f'a to send again (round {round_}, killed {victim.name})')
        before = b.api.get(into['stream_uri'])['status']['packets']['received']
        wait_until(lambda: b.api.get(into['stream_uri'])['status']['packets']['received'] > before, 'packets again')
        wait_until(sounds, f'sound again (round {round_}, killed {victim.name})')


def test_the_receiver_notices_silence_and_comes_back(daemons):
    a, b = daemons('a'), daemons('b')
    ports = udp_ports(3)
    into = listen(b.api, b.api.sink(), ports, target_latency_ms=100)
    out = feed(a.api, a.api.tone(), ports, target_latency_ms=100)
    wait_until(lambda: b.api.stream_is(into, 'running'), 'sound')
    a.api.patch(out['stream_uri'], {'enabled': False})
    quiet = wait_until(lambda: b.api.stream_is(into, 'connecting', 'degraded', 'pending'), 'b to notice')
    assert quiet['status']['conditions'][0]['reason'] in ('NoMedia', 'SourceUnreachable'), quiet['status']
    a.api.patch(out['stream_uri'], {'enabled': True})
    wait_until(lambda: b.api.stream_is(into, 'running'), 'sound again')

# SPDX-License-Identifier: MPL-2.0
"""roc-send -> rocd and rocd -> roc-recv.

What can be compared to the bit: the tools send and play 44.1 kHz 16-bit stereo, so a 44.1 kHz 16-bit file with the wire
encoding l16/44100/2 is converted nowhere; with the latency profile `intact` no sample is touched for the clocks either.
Then everything between two holes must be the original, sample by sample (16-bit values; a rounding of one step is
accepted, because the way through 32-bit floats divides by 32768 in one program and by 32767 in another).
With `gradual`, the profile people use, the sound is resampled all the time: there only likeness can be measured."""
import numpy as np
import pytest

from support import roctools, wav
from support.net import roc_uris, udp_ports
from support.wait import wait_until

RATE = 44100


def integers(path):
    samples, rate = wav.read(path)
    assert rate == RATE and samples.shape[1] == 2, (rate, samples.shape)
    return np.round(samples * 32768).astype(np.int32)


def compare(recorded, original, at_least_s=3.0):
    """(frames equal, frames compared): each stretch of sound is laid where it fits and compared one to one."""
    silent = np.abs(recorded).max(axis=1) <= 1
    equal = compared = 0
    for start, n in wav.runs(~silent):
        if n < 2048:
            continue
        piece = recorded[start:start + n]
        # Laid by a stretch in its middle, then each frame of it that the original has.
        middle = n // 2
        probe = piece[middle:middle + 1024, 0].astype(float)
        lag, fits = wav.best_lag(probe, original[:, 0].astype(float))
        assert fits > 0.9, f'the piece at frame {start} is not of the original'
        offset = lag - middle
        first, last = max(0, -offset), min(n, len(original) - offset)
        difference = np.abs(piece[first:last] - original[first + offset:last + offset]).max(axis=1)
        equal += int((difference <= 1).sum())
        compared += last - first
    assert compared > at_least_s * RATE, f'only {compared / RATE:.2f} s could be compared'
    return equal, compared


def close(api, stream):
    status = api.get(stream['stream_uri'])['status']
    api.delete(stream['stream_uri'])
    for side in ('source', 'destination'):
        if 'endpoint_uri' in stream[side]:
            wait_until(lambda s=side: api.get(stream[s]['endpoint_uri'])['status']['active_streams'] == 0, 'the file to be closed')
    return status


@pytest.mark.parametrize('fec', ['rs8m', 'ldpc', 'none'])
def test_roc_send_is_recorded_sample_by_sample(daemon, workdir, fec):
    original = wav.write(workdir / 'original.wav', wav.telltale(RATE, 8), RATE).astype(np.int32)
    ports = udp_ports(3)
    uris = roc_uris(ports, fec)
    stream = daemon.api.stream(uris, daemon.api.recorder('take.wav', rate_hz=RATE, channels=2), fec=fec,
                               encoding=roctools.ENCODING, latency_profile='intact', target_latency_ms=300)
    wait_until(lambda: daemon.api.stream_is(stream, 'connecting'), 'rocd to listen')
    with roctools.send(workdir / 'original.wav', uris, workdir / 'roc-send.log') as tool:
        wait_until(lambda: daemon.api.stream_is(stream, 'running', 'degraded'), 'the sound of roc-send')
        tool.wait_for_its_end()
    # All of it and some silence: a stream that is taken away while it sounds ends with a fade.
    wait_until(lambda: wav.seconds(daemon.media_dir / 'take.wav') > 9.5, 'the recording', deadline=60)
    status = close(daemon.api, stream)
    assert status['packets']['rejected'] == 0, status['packets']
    equal, compared = compare(integers(daemon.media_dir / 'take.wav'), original)
    assert equal == compared, f'{compared - equal} of {compared} frames differ; {status["samples"]}'


def test_roc_recv_plays_sample_by_sample(daemon, workdir):
    original = wav.write(daemon.media_dir / 'original.wav', wav.telltale(RATE, 8), RATE).astype(np.int32)
    uris = roc_uris(udp_ports(3))
    with roctools.receive(workdir / 'take.wav', uris, workdir / 'roc-recv.log', '--target-latency', '300ms', '--latency-profile',
                          'intact', '--rate', RATE) as tool:
        wait_until(lambda: tool.process.poll() is not None or 'bound' in tool.log() or 'bind' in tool.log(), 'roc-recv to listen')
        player = daemon.api.player('original.wav')
        stream = daemon.api.stream(player, uris, fec='rs8m', encoding=roctools.ENCODING, latency_profile='intact',
                                   target_latency_ms=300)
        wait_until(lambda: wav.seconds(workdir / 'take.wav') > 7, 'roc-recv to write what it hears', deadline=90)
        status = daemon.api.get(stream['stream_uri'])['status']
        tool.stop()
    assert status['packets']['sent'] > 500
    equal, compared = compare(integers(workdir / 'take.wav'), original)
    assert equal == compared, f'{compared - equal} of {compared} frames differ'


def test_roc_send_at_default_settings(daemon, workdir):
    """48 kHz endpoint, tuned clocks: like the original, without holes that nobody is blamed for."""
    original = wav.telltale(RATE, 8)
    wav.write(workdir / 'original.wav', original, RATE)
    uris = roc_uris(udp_ports(3))
    stream = daemon.api.stream(uris, daemon.api.recorder('take.wav', rate_hz=RATE, channels=2), encoding=roctools.ENCODING,
                               target_latency_ms=200)
    wait_until(lambda: daemon.api.stream_is(stream, 'connecting'), 'rocd to listen')
    with roctools.send(workdir / 'original.wav', uris, workdir / 'roc-send.log') as tool:
        wait_until(lambda: daemon.api.stream_is(stream, 'running', 'degraded'), 'the sound of roc-send')
        tool.process.wait(60)
    # All of it and some silence: a stream that is taken away while it sounds ends with a fade.
    wait_until(lambda: wav.seconds(daemon.media_dir / 'take.wav') > 9.5, 'the recording', deadline=60)
    status = close(daemon.api, stream)
    recorded, _ = wav.read(daemon.media_dir / 'take.wav')
    holes = wav.zero_runs(recorded)
    blamed = status['samples']['lost_machine'] + status['samples']['lost_network'] + status['samples']['lost_sender']
    assert sum(n for _, n in holes) <= blamed + RATE // 50, (holes[:10], status['samples'])
    heard = wav.sound(recorded)
    assert len(heard) > 5 * RATE
    fits = wav.correlations(heard[:, 0], original[:, 0], skip=4096)
    assert sum(f > 0.9 for f in fits) >= len(fits) - 2 * len(holes) - 2, fits


def test_a_restarted_roc_send_is_heard_again(daemon, workdir):
    wav.write(workdir / 'original.wav', wav.telltale(RATE, 30), RATE)
    uris = roc_uris(udp_ports(3))
    stream = daemon.api.stream(uris, daemon.api.sink(), encoding=roctools.ENCODING, target_latency_ms=100)

    def sounds():
        now = daemon.api.stream_is(stream, 'running', 'degraded')
        return now and max(now['status']['level_dbfs'], default=-120) > -25
    for i in range(3):
        with roctools.send(workdir / 'original.wav', uris, workdir / f'roc-send-{i}.log') as tool:
            wait_until(sounds, f'roc-send number {i + 1}')
            tool.process.kill()
        wait_until(lambda: not sounds(), 'silence after it was killed')

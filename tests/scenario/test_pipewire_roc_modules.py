# SPDX-License-Identifier: MPL-2.0
"""PipeWire's own roc modules, as a desktop without rocd loads them: rocd -> roc-source, and roc-sink -> rocd, by stock Roc URIs.

The modules of PipeWire 1.4 speak 44.1 kHz stereo L16 in packets of 5 ms and nothing else; their FEC is rs8m, ldpc or none. A
machine that stalls tears holes, so what is asked for is one long stretch of sound that is whole: neither silence nor a jump in it,
of the right level and pitch. A path that loses packets all the time has none."""
import numpy as np
import pytest

from support import roctools, wav
from support.net import roc_uris, udp_ports
from support.pipewire import read_raw, write_raw
from support.wait import wait_until

RATE_HZ = 48000
WIRE_RATE_HZ = 44100
PITCH_HZ, LEVEL = 441.0, 0.4
WHOLE_S = 2.0  # of 400 packets none is missing
LATENCY_MS = 500  # more than a virtual machine usually stands still
MODULE = '''
context.properties = {{ log.level = 2 }}
context.spa-libs = {{ audio.convert.* = audioconvert/libspa-audioconvert  support.* = support/libspa-support }}
context.modules = [
    {{ name = libpipewire-module-rt flags = [ ifexists nofail ]
        args = {{ rt.prio = 83 rtportal.enabled = false rtkit.enabled = false }} }}
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-{module} args = {{ {args} }} }}
]
'''


@pytest.fixture
def pw(pipewire):
    # The longest cycle there is: who comes late on a busy machine leaves out a whole one.
    pipewire.run('pw-metadata', '-n', 'settings', '0', 'clock.force-quantum', '2048')
    return pipewire


def load(pw, module, ports, fec, **args):
    """The module in a process of its own, as `pipewire -c` runs it."""
    side = 'local' if module == 'roc-source' else 'remote'
    args |= {f'{side}.ip': '127.0.0.1', 'fec.code': 'disable' if fec == 'none' else fec}
    args |= {f'{side}.{name}.port': port for name, port in zip(('source', 'repair', 'control'), ports, strict=True)}
    text = ' '.join(f'{key} = {value}' for key, value in args.items())
    path = pw.directory / f'{module}.conf'
    path.write_text(MODULE.format(module=module, args=text))
    pw.processes.append(pw.spawn(['pipewire', '-c', path]))
    pw.wait_node(module)


def sine(seconds, rate):
    return LEVEL * np.sin(2 * np.pi * PITCH_HZ * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize('fec', ['rs8m', 'ldpc', 'none'])
def test_rocd_is_heard_through_roc_source(pw, daemon, fec):
    ports = udp_ports(3)
    load(pw, 'roc-source', ports, fec, **{'sess.latency.msec': LATENCY_MS, 'roc.resampler.backend': 'speex',
                                          'source.name': 'roc-source',
                                          'source.props': '{ node.name = roc-source target.object = fake-out }'})
    wave = sine(10, WIRE_RATE_HZ)  # whole periods: it can be looped
    wav.write(daemon.media_dir / 'sine.wav', np.stack([wave, wave], axis=1), WIRE_RATE_HZ)
    player = daemon.api.player('sine.wav', loop=True)
    stream = daemon.api.stream(player, roc_uris(ports, fec), fec=fec, encoding=roctools.ENCODING, target_latency_ms=LATENCY_MS)
    wait_until(lambda: daemon.api.stream_is(stream, 'running'), 'rocd to send')
    take = pw.directory / 'take.f32'
    pw.pw_cat('record', take, 'fake-out', '-P', '{ stream.capture.sink=true }')
    wait_until(lambda: wav.longest_sine_s(read_raw(take), RATE_HZ, PITCH_HZ, LEVEL) >= WHOLE_S,
               'sound without a hole from roc-source', deadline=90, pause=0.5)
    assert daemon.api.get(stream['stream_uri'])['status']['packets']['sent'] > 0


@pytest.mark.parametrize('fec', ['rs8m', 'ldpc', 'none'])
def test_roc_sink_is_heard_by_rocd(pw, daemon, fec):
    ports = udp_ports(3)
    uris = roc_uris(ports, fec)
    stream = daemon.api.stream(uris, daemon.api.recorder('take.wav', rate_hz=WIRE_RATE_HZ, channels=2), fec=fec,
                               encoding=roctools.ENCODING, target_latency_ms=LATENCY_MS)
    wait_until(lambda: daemon.api.stream_is(stream, 'connecting'), 'rocd to listen')
    load(pw, 'roc-sink', ports, fec, **{'sink.name': 'roc-sink', 'sink.props': '{ node.name = roc-sink }'})
    wave = sine(120, RATE_HZ)
    path = pw.directory / 'tone.f32'
    write_raw(path, np.stack([wave, wave], axis=1))
    pw.pw_cat('playback', path, 'roc-sink')

    def take():
        try:
            return wav.read(daemon.media_dir / 'take.wav')[0]
        except (FileNotFoundError, AssertionError):
            return np.zeros((0, 2))
    wait_until(lambda: wav.longest_sine_s(take(), WIRE_RATE_HZ, PITCH_HZ, LEVEL) >= WHOLE_S,
               'sound without a hole from roc-sink', deadline=90, pause=0.5)
    status = daemon.api.get(stream['stream_uri'])['status']
    assert status['state'] in ('running', 'degraded') and status['packets']['rejected'] == 0, status

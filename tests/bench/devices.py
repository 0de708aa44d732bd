# SPDX-License-Identifier: MPL-2.0
"""Devices of a private PipeWire: how soon a new one is an event, and what a virtual loudspeaker that sends takes, beside PipeWire's
own roc-sink that sends the same to the same place. In both cases PipeWire's process counts too."""
import subprocess
import time
from statistics import median

import numpy as np

from bench.cpu import WARM_UP_S
from bench.figures import Figure, NotMeasured
from bench.pairs import SETTINGS
from bench.processes import cpu_percent, die_with_parent
from support import net
from support.daemon import Daemon
from support.pipewire import PipeWire, missing, write_raw
from support.wait import wait_until

RATE_HZ = 48000
ROC_SINK = '''
context.properties = { log.level = 2 }
context.spa-libs = { audio.convert.* = audioconvert/libspa-audioconvert  support.* = support/libspa-support }
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-roc-sink args = { remote.ip = 127.0.0.1 remote.source.port = %d remote.repair.port = %d
        remote.control.port = %d fec.code = rs8m sink.name = roc-sink sink.props = { node.name = roc-sink } } }
]
'''


def private_pipewire(bench):
    pipewire = PipeWire()
    bench.stack.callback(pipewire.stop)
    return pipewire.start()


def daemon_on(bench, pipewire):
    made = Daemon(bench.new_directory('devices'), preexec=die_with_parent, env=pipewire.daemon_env())
    bench.stack.callback(made.finish)
    return made.start()


# ---- hot-plug ----

def hot_plug(bench, pipewire, rocd, n):
    """Milliseconds from the word to PipeWire until the event is read, of devices that come."""
    cli = pipewire.spawn(['pw-cli'], stdin=subprocess.PIPE, text=True)
    pipewire.processes.append(cli)
    found = []
    with rocd.api.events() as events:
        events.wait_greeting()
        for i in range(n):
            name = f'plugged-{i}'
            began = time.monotonic()
            cli.stdin.write(f'create-node adapter {{ factory.name=support.null-audio-sink node.name={name} media.class=Audio/Sink '
                            'audio.position=[FL FR] object.linger=true }\n')
            cli.stdin.flush()
            events.wait_for(lambda e: e.type == 'endpoint_added' and e.data['system_name'] == name)
            found.append(1000 * (time.monotonic() - began))
    return found


# ---- CPU ----

def play(pipewire, target):
    path = pipewire.directory / 'tone.raw'
    wave = 0.25 * np.sin(2 * np.pi * 440 * np.arange(120 * RATE_HZ) / RATE_HZ)
    write_raw(path, np.column_stack([wave, wave]))
    return pipewire.pw_cat('playback', path, target)


def idle_and_running(pipewire, pids, target, seconds):
    time.sleep(WARM_UP_S)
    idle = sum(cpu_percent(pids, seconds))
    player = play(pipewire, target)
    wait_until(lambda: pipewire.links(target), f'a program to play to {target}')
    time.sleep(WARM_UP_S)
    running = sum(cpu_percent(pids, seconds))
    player.terminate()
    player.wait()
    return {'idle': idle, 'running': running}


def of_rocd(bench, uris, seconds):
    pipewire = private_pipewire(bench)
    rocd = daemon_on(bench, pipewire)
    speaker = rocd.api.post('/peers/self/endpoints', {'kind': 'virtual_speaker', 'display_name': 'Sent'})
    rocd.api.stream(speaker, uris, **SETTINGS)
    target = f"rocd.{speaker['endpoint_uid']}"
    pipewire.wait_node(target)
    return idle_and_running(pipewire, [pipewire.pipewire.pid, rocd.process.pid], target, seconds)


def of_roc_sink(bench, ports, seconds):
    pipewire = private_pipewire(bench)
    (pipewire.directory / 'config/pipewire/roc-sink.conf').write_text(ROC_SINK % tuple(ports))
    module = pipewire.spawn(['pipewire', '-c', 'roc-sink.conf'])
    pipewire.processes.append(module)
    pipewire.wait_node('roc-sink')
    return idle_and_running(pipewire, [pipewire.pipewire.pid, module.pid], 'roc-sink', seconds)


def measure(bench):
    if missing():
        raise NotMeasured(f"without {', '.join(missing())} there are no devices: tools/install-deps test installs them")
    n, seconds = (5, 3) if bench.short else (30, 15)
    bench.say(f'devices: {n} devices are plugged in')
    pipewire = private_pipewire(bench)
    delays = hot_plug(bench, pipewire, daemon_on(bench, pipewire), n)
    yield Figure('devices.hot_plug', 'new device of PipeWire to event', median(delays), 'ms', None,
                 f'{min(delays):.1f} to {max(delays):.1f} ms', {'ms': delays})
    bench.say(f'devices: a virtual loudspeaker, idle and running, {seconds} s each')
    ports = net.udp_ports(3)
    ours, theirs = of_rocd(bench, net.roc_uris(ports), seconds), of_roc_sink(bench, ports, seconds)
    raw = {'rocd': ours, 'roc_sink': theirs}
    for state, text in (('idle', 'idle'), ('running', 'played to and sent')):
        yield Figure(f'devices.{state}', f'CPU of a virtual loudspeaker, {text}: rocd and PipeWire', ours[state], '%', None,
                     f"PipeWire with its roc-sink {theirs[state]:.2f} %", raw)

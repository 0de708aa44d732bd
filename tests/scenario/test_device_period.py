# SPDX-License-Identifier: MPL-2.0
"""How much sound a device moves at a time: as its streams need it, seen at a PipeWire whose cycle follows."""
import numpy as np
from support.pipewire import write_raw
from support.wait import wait_until

RATE_HZ = 48000


def cycle(pipewire, name):
    """Frames in a cycle of whatever drives this node, while it runs."""
    rows = [line.split() for line in pipewire.run('pw-top', '-b', '-n', '2', check=False).splitlines()]
    return next((int(row[2]) for row in rows if row[0] == 'R' and row[-1] == name), None)


def wish(pipewire, name):
    return pipewire.wait_node(name)['info']['props']['node.latency']


def test_the_period_follows_the_streams_and_the_user(pipewire, daemons):
    api = daemons('desk', env=pipewire.daemon_env()).api
    speaker = api.post('/peers/self/endpoints', {'kind': 'virtual_speaker', 'display_name': 'Far away'})
    name = f"rocd.{speaker['endpoint_uid']}"
    assert wish(pipewire, name) == '1024/48000'
    path = pipewire.directory / 'tone.raw'
    write_raw(path, np.full((60 * RATE_HZ, 2), 0.25))
    pipewire.pw_cat('playback', path, name)
    wait_until(lambda: pipewire.links(name), 'the program to play')
    streams = []
    for target_ms, frames in ((1000, 1024), (100, 600), (20, 128)):
        streams.append(api.stream(speaker, api.sink(), target_latency_ms=target_ms))
        wait_until(lambda: api.stream_is(streams[-1], 'running'), 'sound')
        wait_until(lambda: wish(pipewire, name) == f'{frames}/48000', f'periods of {frames} frames')
    wait_until(lambda: cycle(pipewire, 'Dummy-Driver') == 128, 'cycles of 128 frames', deadline=60)
    api.patch(speaker['endpoint_uri'], {'period_ms': 10})
    wait_until(lambda: wish(pipewire, name) == '480/48000', 'what the user says')
    wait_until(lambda: cycle(pipewire, 'Dummy-Driver') == 256, 'cycles of 256 frames', deadline=60)
    wait_until(lambda: all(api.stream_is(stream, 'running', 'degraded') for stream in streams), 'all of them to be heard')
    for stream in streams:
        api.delete(stream['stream_uri'])
    wait_until(lambda: wish(pipewire, name) == '1024/48000', 'it to be left in peace')

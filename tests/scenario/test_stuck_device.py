# SPDX-License-Identifier: MPL-2.0
"""A device that is open and moves no sound: its stream says so, and it is opened anew until it moves."""
import signal

import pytest

from support.wait import wait_until


def device(api, name):
    return next((e for e in api.get('/peers/self/endpoints') if e.get('device', {}).get('system_name') == name), None)


@pytest.mark.parametrize('name, as_source', [('fake-out', False), ('fake-mic', True)])
def test_a_sound_server_that_hangs_is_told_of_and_outlived(pipewire, daemons, name, as_source):
    api = daemons('desk', env=pipewire.daemon_env()).api
    wait_until(lambda: device(api, name), 'the device to be listed')
    stuck = device(api, name)
    stream = api.stream(stuck, api.sink()) if as_source else api.stream(api.tone(), stuck)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    pipewire.pipewire.send_signal(signal.SIGSTOP)
    try:
        status = wait_until(lambda: (s := api.get(stream['stream_uri'])['status'])['state'] == 'failed' and s,
                            'the stream to fail')
        reason = status['conditions'][0]
        assert (reason['type'], reason['reason']) == ('Source' if as_source else 'Destination', 'DeviceFailed')
        assert f"'{stuck['display_name']}' is open and has moved no sound for 5 s" in reason['message']
    finally:
        pipewire.pipewire.send_signal(signal.SIGCONT)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound again')

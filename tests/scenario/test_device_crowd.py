# SPDX-License-Identifier: MPL-2.0
"""Devices come and go by the hundred: the API answers meanwhile, sound goes on, and at the end what is listed is what there is."""
import threading

from support.pipewire import end
from support.wait import wait_until


def names(api):
    return [e['device']['system_name'] for e in api.get('/peers/self/endpoints') if e['kind'] == 'device']


def test_the_api_answers_while_devices_come_and_go(pipewire, daemons):
    end(pipewire.wireplumber, 15)  # it would look at each of them for long
    daemon = daemons('desk', env=pipewire.daemon_env())
    api = daemon.api
    wait_until(lambda: 'fake-out' in names(api), 'the devices to be listed')
    stream = api.stream(api.tone(), api.sink(), target_latency_ms=300)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    crowd = pipewire.fake('crowd')

    def say(line):
        crowd.stdin.write(line + '\n')
        crowd.stdin.flush()
        assert crowd.stdout.readline().strip() == line

    def storm():
        for _ in range(5):
            say('up 400')
            say('down')
        say('up 100')

    thread = threading.Thread(target=storm)
    thread.start()
    n_answers = 0
    while thread.is_alive():
        assert api.get('/healthz') and api.stream_is(stream, 'running', 'degraded')
        n_answers += 1
    thread.join()
    assert n_answers >= 5
    wait_until(lambda: sum(name.startswith('crowd-') for name in names(api)) == 100, 'those that stayed to be listed', deadline=60)
    say('down')
    wait_until(lambda: sorted(names(api)) == ['fake-mic', 'fake-out'], 'them to be gone', deadline=60)
    status = api.get(stream['stream_uri'])['status']
    assert status['state'] == 'running' and status['samples']['lost_network'] == 0

# SPDX-License-Identifier: MPL-2.0
"""What REST sets at devices of a real PipeWire, and what it shows of them: settings that outlive the device, the sound server and
rocd; hot-plug; the system's choice; virtual devices that somebody else removed."""
import pytest

from support.client import stream_spec
from support.pipewire import near
from support.wait import wait_same, wait_until

ENDPOINTS = '/peers/self/endpoints'
SETTINGS = {'display_name': 'Kitchen', 'volume': 0.5, 'muted': True, 'rate_hz': 44100, 'channels': 1, 'delay_ms': 20,
            'period_ms': 10}


@pytest.fixture
def desk(pipewire, daemons):
    return daemons('desk', env=pipewire.daemon_env())


def find(api, system_name):
    return next((e for e in api.get(ENDPOINTS) if e['system_name'] == system_name), None)


def wait_device(api, system_name, state='available'):
    return wait_until(lambda: (e := find(api, system_name)) and e['status']['state'] == state and e,
                      f'{system_name} to be {state}', deadline=60)


def playback(pipewire):
    """The period of our stream to a device, and its rate; nothing, if there is none."""
    node = pipewire.node('rocd-playback')
    return node and node['info']['props'].get('node.latency')


def shown(pipewire):
    """What mixers show of the loudspeaker."""
    node = pipewire.node('fake-out')
    return node and pipewire.run('wpctl', 'get-volume', node['id'], check=False).strip().removeprefix('Volume: ')


def is_as_set(endpoint):
    return {name: endpoint[name] for name in SETTINGS} == SETTINGS


def test_settings_outlive_the_sound_server_and_rocd(pipewire, desk):
    api = desk.api
    device = wait_device(api, 'fake-out')
    uri, uid = device['endpoint_uri'], device['endpoint_uid']
    stream = api.stream(api.tone(), device, target_latency_ms=200)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    assert is_as_set(api.patch(uri, SETTINGS))

    def applied():
        status = api.get(uri)['status']
        return {'mixers show': shown(pipewire), 'period': playback(pipewire), 'rate': status['rate_hz'],
                'channels': status['channels'], 'stream': api.get(stream['stream_uri'])['status']['state']}

    def wait_applied(what):
        wait_same(applied, {'mixers show': '0.50 [MUTED]', 'period': '441/44100', 'rate': 44100, 'channels': 1,
                            'stream': 'running'}, what, deadline=60)
    wait_applied('the settings to be applied')

    def disturb():
        """Another program changes what was set; it is told, and stays. In the first seconds of a device rocd would put it back."""
        def is_changed():
            node = str(pipewire.node('fake-out')['id'])
            pipewire.run('wpctl', 'set-volume', node, '0.3')
            pipewire.run('wpctl', 'set-mute', node, '0')
            return shown(pipewire) == '0.30' and near(desk.api.get(uri)['status']['volume'], 0.3)

        with desk.api.events('?types=endpoint_updated') as events:
            events.wait_greeting()
            wait_until(is_changed, 'another program to change the volume')
            events.wait_for(lambda e: e.data['endpoint_uid'] == uid and near(e.data['status']['volume'], 0.3) and
                            not e.data['status']['muted'], 'what another program has set')
        assert is_as_set(desk.api.get(uri)) and shown(pipewire) == '0.30'

    disturb()
    pipewire.kill()
    gone = wait_device(api, 'fake-out', 'unavailable')
    assert gone['endpoint_uid'] == uid and is_as_set(gone) and gone['status']['reason'] == 'DriverUnavailable'
    assert 'PipeWire' in gone['status']['message']
    ready = api.get('/readyz')
    assert ready['ready'] and 'PipeWire' in next(r['message'] for r in ready['reasons'] if r['name'] == 'pipewire'), ready
    pipewire.start()
    assert wait_device(api, 'fake-out')['endpoint_uid'] == uid
    wait_applied('the settings to be applied again')
    assert 'pipewire' not in [r['name'] for r in api.get('/readyz')['reasons']]

    disturb()
    desk.restart()
    api = desk.api
    again = wait_device(api, 'fake-out')
    assert again['endpoint_uid'] == uid and is_as_set(again)
    wait_applied('the settings to be applied by the next rocd')

    api.patch(uri, {'enabled': False})
    wait_until(lambda: playback(pipewire) is None, 'the device to be let go')
    desk.restart()
    api = desk.api
    assert wait_device(api, 'fake-out', 'disabled') and api.stream_is(stream, 'pending') and playback(pipewire) is None


def test_hot_plug_is_an_event_and_what_is_configured_stays_listed(pipewire, desk):
    api = desk.api
    wait_device(api, 'fake-out')
    with api.events('?types=endpoint_added,endpoint_updated,endpoint_removed') as events:
        events.wait_greeting()
        pipewire.add_device('hot', description='Hot')
        uid = events.wait_for(lambda e: e.type == 'endpoint_added' and e.data['system_name'] == 'hot').data['endpoint_uid']
        pipewire.remove_device('hot')
        events.wait_for(lambda e: e.type == 'endpoint_removed' and e.data['uid'] == uid)
        assert find(api, 'hot') is None
        pipewire.add_device('hot', description='Hot')
        events.wait_for(lambda e: e.type == 'endpoint_added' and e.data['endpoint_uid'] == uid)
        api.patch(wait_device(api, 'hot')['endpoint_uri'], {'display_name': 'Garden'})
        pipewire.remove_device('hot')
        events.wait_for(lambda e: e.type == 'endpoint_updated' and e.data['status']['state'] == 'unavailable' and
                        e.data['endpoint_uid'] == uid)
    stays = find(api, 'hot')
    assert (stays['endpoint_uid'], stays['display_name'], stays['status']['reason']) == (uid, 'Garden', 'DeviceMissing')


def test_the_default_output_is_followed_by_the_same_stream(pipewire, desk):
    api = desk.api
    pipewire.add_device('other', priority_session='500')
    wait_device(api, 'other')
    default = wait_device(api, 'default.output')
    assert (default['kind'], default['stream_direction']) == ('default', 'output')
    stream = api.stream(api.tone(), default, target_latency_ms=200)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    wait_until(lambda: 'rocd-playback' in pipewire.links('fake-out'), 'it to come out of the default device')
    before, node = api.get(stream['stream_uri']), pipewire.node('rocd-playback')['id']
    pipewire.set_default('other')
    wait_until(lambda: 'rocd-playback' in pipewire.links('other'), 'it to follow')
    wait_until(lambda: find(api, 'other')['status']['is_default'] and not find(api, 'fake-out')['status']['is_default'],
               'the choice to be shown')
    after = wait_until(lambda: api.stream_is(stream, 'running'), 'sound')
    assert after['generation'] == before['generation'] and after['status']['restarts'] == before['status']['restarts']
    assert pipewire.node('rocd-playback')['id'] == node, 'it is the same stream of PipeWire, too'


def test_a_loudspeaker_is_not_led_into_itself(pipewire, desk):
    """Where there is no better microphone, the system's choice of one is what the loudspeaker plays."""
    api = desk.api
    speaker = wait_device(api, 'fake-out')
    into, out = wait_device(api, 'default.input'), wait_device(api, 'default.output')
    pipewire.set_default_input('fake-out')

    def refused(source, destination, way):
        reply = api.call('POST', '/streams', stream_spec(source, destination))
        if reply.status == 201:
            api.delete(reply.json['stream_uri'])
            return False
        assert reply.status == 409 and way in reply.json['detail'], reply
        return True
    wait_until(lambda: refused(into, speaker, 'Default input → Fake Speakers → Default input'), 'it to be refused')
    assert refused(into, out, 'Fake Speakers → Default input → Default output → Fake Speakers')
    pipewire.set_default_input('fake-mic')
    wait_until(lambda: not refused(into, out, 'Default input'), 'a microphone to be no loudspeaker')
    virtual = api.post(ENDPOINTS, {'kind': 'virtual_speaker', 'display_name': 'Attic'})
    name = f'rocd.{virtual["endpoint_uid"]}'
    wait_device(api, name)
    assert not refused(virtual, out, 'Attic')
    pipewire.set_default(name)
    wait_until(lambda: refused(virtual, out, 'Attic → Default output → Attic'), 'it to be refused', deadline=60)


def test_a_virtual_device_that_somebody_removed_stays_away_until_it_is_wanted(pipewire, desk):
    api = desk.api
    made = api.post(ENDPOINTS, {'kind': 'virtual_speaker', 'display_name': 'Attic'})
    uri, name = made['endpoint_uri'], f'rocd.{made["endpoint_uid"]}'
    wait_device(api, name)
    pipewire.cli('destroy', name)
    status = wait_until(lambda: (s := api.get(uri)['status'])['state'] != 'available' and s, 'it to be told')
    assert 'another program has removed this device' in status['message'], status
    pipewire.kill()
    wait_until(lambda: find(api, 'fake-out') is None, 'the death of PipeWire to be noticed')
    pipewire.start()
    wait_device(api, 'fake-out')
    assert pipewire.node(name) is None and api.get(uri)['status']['state'] != 'available'
    api.patch(uri, {'enabled': False})
    api.patch(uri, {'enabled': True})
    wait_device(api, name)
    pipewire.wait_node(name)

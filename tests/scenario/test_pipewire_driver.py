# SPDX-License-Identifier: MPL-2.0
"""The PipeWire driver on private PipeWire servers: what its watcher is told, and the sound. Each test has a server of its own."""
import signal
import time

import numpy as np
import pytest

from support import wav
from support.pipewire import Driver, end, near, read_raw, write_raw
from support.wait import wait_same, wait_until

UID = 'ab12cd-ef34gh-ij56kl'
UID2 = 'mn12op-qr34st-uv56wx'
NODE = f'rocd.{UID}'
RATE = 48000


@pytest.fixture
def pw(pipewire):
    return pipewire


@pytest.fixture
def drivers(pw):
    made = []

    def make(**options):
        made.append(Driver(pw, **options))
        return made[-1]

    yield make
    for driver in made:
        if driver.process.returncode is None:
            driver.stop()


@pytest.fixture
def driver(drivers):
    return drivers().watch()


def telltale(seconds=3.0):
    return wav.telltale(RATE, seconds).astype(np.float32)


def assert_contains(recorded, original, at_least_s=1.0):
    """The recording is made of pieces of the original, each of them sample by sample. On a machine that stalls there may be
    several, with holes or jumps between them."""
    equal = at = 0
    while at + 2048 <= len(recorded):
        probe = recorded[at:at + 1024, 0].astype(np.float64)
        lag, fits = wav.best_lag(probe, original[:, 0].astype(np.float64))
        n = min(len(original) - lag, len(recorded) - at)
        same = np.abs(recorded[at:at + n] - original[lag:lag + n]).max(axis=1) < 1e-4
        n = n if same.all() else int(np.argmin(same))
        if fits > 0.99 and n >= 1024:
            equal += n
            at += n
        else:
            at += 512
    assert equal >= at_least_s * RATE, f'only {equal / RATE:.2f} s of {len(recorded) / RATE:.2f} s are the original'


# ---- devices ----

def test_lists_devices_with_names_formats_and_the_defaults(driver):
    out = driver.wait_device('fake-out', failure='ok')
    assert (out['display_name'], out['direction'], out['kind']) == ('Fake Speakers', 'output', 'device')
    assert (out['rate_hz'], out['channels'], out['has_volume'], out['is_default']) == (48000, 2, True, True)
    mic = driver.wait_device('fake-mic', failure='ok')
    assert (mic['display_name'], mic['direction'], mic['kind']) == ('Fake Microphone', 'input', 'device')
    default = driver.wait_device('default.output', failure='ok')
    assert (default['kind'], default['direction'], default['is_default']) == ('default', 'output', True)
    assert driver.wait_device('default.input')['direction'] == 'input'
    assert set(driver.devices) == {'fake-out', 'fake-mic', 'default.output', 'default.input'}
    driver.settle()
    assert driver.events[0]['event'] == 'driver' and driver.events[0]['failure'] == 'ok'


def test_hot_plug_and_unplug_are_told_at_once(pw, driver):
    driver.wait_device('fake-out')
    begin = time.monotonic()
    pw.add_device('hot', description='Hot Plugged')
    hot = driver.wait_device('hot', failure='ok')
    assert hot['display_name'] == 'Hot Plugged'
    pw.remove_device('hot')
    gone = driver.next('gone', system_name='hot')
    assert gone['failure'] == 'not_found'
    assert time.monotonic() - begin < 60
    pw.add_device('hot', description='Hot Plugged')
    again = driver.wait_device('hot', failure='ok')
    assert {k: v for k, v in again.items() if k != 'volume'} == {k: v for k, v in hot.items() if k != 'volume'}


def test_two_devices_with_one_name_are_told_apart(pw, driver):
    pw.add_device('twin', description='First')
    driver.wait_device('twin')
    pw.cli('create-node', 'adapter', '{ factory.name=support.null-audio-sink node.name=twin media.class=Audio/Sink '
           'node.description=Second object.linger=true audio.position=[FL FR] }')
    assert driver.wait_device('twin.2')['display_name'] == 'Second'
    assert driver.devices['twin']['display_name'] == 'First'


def test_names_that_are_no_text_are_mended(pw, driver):
    pw.add_device('odd', description='L\\u0007oud ' + 'ü' * 200)
    name = driver.wait_device('odd')['display_name']
    assert len(name.encode()) <= 128 and name.startswith('L?oud ü') and '\x07' not in name


def test_the_default_moves(pw, driver):
    driver.wait_device('fake-out', is_default=True)
    pw.add_device('other', priority_session='500')
    driver.wait_device('other', is_default=False)
    pw.set_default('other')
    driver.wait_device('other', is_default=True)
    driver.wait_device('fake-out', is_default=False)
    pw.remove_device('other')
    driver.wait_gone('other')
    driver.wait_device('fake-out', is_default=True)


# ---- volume ----

def test_a_default_that_was_never_told_is_learnt(pw, driver):
    """PipeWire tells of no change while somebody who has just come waits to be told all properties."""
    driver.wait_device('fake-out', is_default=True)
    pw.add_device('other')
    driver.wait_device('other', is_default=False)
    program = pw.fake('properties')
    assert program.stdout.readline() == 'here\n'
    time.sleep(2)  # what was to be looked at a second later has been looked at
    pw.wireplumber.send_signal(signal.SIGSTOP)
    try:
        for line in 'set default.audio.sink {"name":"other"}', 'up 0':
            print(line, file=program.stdin, flush=True)
            assert program.stdout.readline() == line + '\n'
            assert pw.fake('properties').stdout.readline() == 'here\n'
    finally:
        pw.wireplumber.send_signal(signal.SIGCONT)
    driver.wait_device('other', is_default=True)
    driver.wait_device('fake-out', is_default=False)


def test_volume_of_a_running_device_both_ways(pw, driver):
    driver.wait_device('fake-out')
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['moved'] > 0, 'the device to run')
    driver.do('volume', 'fake-out', '0.5', '-')
    driver.wait_device('fake-out', volume=0.5, muted=False)
    wait_until(lambda: 'Volume: 0.50' in pw.run('wpctl', 'get-volume', pw.node('fake-out')['id']), 'wpctl to show it')
    driver.wait_device('default.output', volume=0.5)
    node = pw.node('fake-out')['id']
    pw.run('wpctl', 'set-volume', node, '0.3')
    driver.wait_device('fake-out', volume=0.3)
    pw.run('wpctl', 'set-mute', node, '1')
    driver.wait_device('fake-out', muted=True, volume=0.3)
    driver.do('volume', 'default.output', '0.8', '0')
    driver.wait_device('fake-out', muted=False, volume=0.8)


def test_volume_of_a_suspended_device_is_what_was_set(pw, driver):
    """A suspended device says the old value; the new one shows when it runs."""
    driver.wait_device('fake-out', volume=1.0)
    driver.do('volume', 'fake-out', '0.5', '1')
    driver.wait_device('fake-out', volume=0.5, muted=True)
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['moved'] > 0, 'the device to run')
    wait_until(lambda: 'Volume: 0.50 [MUTED]' in pw.run('wpctl', 'get-volume', pw.node('fake-out')['id']),
               'wpctl to show it')
    driver.settle()
    assert near(driver.devices['fake-out']['volume'], 0.5) and driver.devices['fake-out']['muted']


def test_what_a_session_manager_remembers_does_not_undo_a_wish(pw, drivers):
    """One that has come a moment before us has still to set what it remembers, also of devices that both of us find there."""
    pw.stop_session()
    pw.fake('card', 'acme')
    name = 'alsa_output.acme.stereo'
    pw.wait_node(name)
    pw.fake('session')
    assert pw.fake('properties').stdout.readline() == 'here\n'

    def route():
        card = next((thing for thing in pw.dump() if thing['type'] == 'PipeWire:Interface:Device'), None)
        props = card and card['info']['params']['Route'][0]['props']
        return props and (round(props['channelVolumes'][0], 3), props['mute'])

    def is_insisted():
        """In a driver's first seconds; where the machine stands still for as long, the next driver shows it."""
        driver = drivers().watch()
        driver.wait_device(name, failure='ok', has_volume=True)
        driver.do('volume', name, '0.5', '1')
        driver.wait_device(name, volume=0.5, muted=True)
        wait_same(route, (0.125, True), 'the wish to be fulfilled')
        pw.cli('set-param', 'alsa_card.acme', 'Route', '{ index: 0, device: 0, save: true, '
               'props: { mute: false, channelVolumes: [ 0.064, 0.064 ] } }')
        time.sleep(1)  # what an answer to this would take, and less than those first seconds
        return route() == (0.125, True)
    assert any(is_insisted() for _ in range(5))


def test_a_wish_for_a_suspended_device_is_not_undone_unseen(pw, driver):
    """While it is suspended it tells nobody what another program sets: here, what a session manager remembers."""
    driver.wait_device('fake-out')

    def is_insisted(name):
        """In the device's first seconds; where the machine stands still for as long, the next device shows it."""
        pw.add_device(name, priority_session='500')
        driver.wait_device(name)
        driver.do('volume', name, '0.5', '1')
        driver.wait_device(name, volume=0.5, muted=True)
        pw.cli('set-param', name, 'Props', '{ mute: false, channelVolumes: [ 1.0, 1.0 ] }')
        time.sleep(4)  # until a device is no longer new
        assert driver.open(name, 'device', 'output', name)['failure'] == 'ok'
        wait_until(lambda: driver.stat(name)['moved'] > 0, 'the device to run')
        return 'Volume: 0.50 [MUTED]' in pw.run('wpctl', 'get-volume', pw.node(name)['id'])
    assert any(is_insisted(f'new-{i}') for i in range(5))


def test_balance_is_kept(pw, driver):
    driver.wait_device('fake-out')
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['moved'] > 0, 'the device to run')
    pw.cli('set-param', 'fake-out', 'Props', '{ channelVolumes: [ 0.125, 0.0625 ] }')
    driver.wait_device('fake-out', volume=0.5)
    driver.do('volume', 'fake-out', '1', '-')
    driver.wait_device('fake-out', volume=1.0)

    def volumes():
        props = pw.node('fake-out')['info']['params'].get('Props', [])
        return next((p['channelVolumes'] for p in props if 'channelVolumes' in p), [])
    wait_until(lambda: np.allclose(volumes(), [1.0, 0.5], atol=1e-3), 'both channels to be set')


def test_the_volume_of_a_card_is_its_routes(pw, driver):
    card = pw.fake('card', 'acme')
    name = 'alsa_output.acme.stereo'
    first = driver.wait_device(name, has_volume=True)
    assert first['display_name'] == 'Fake Card Stereo'
    # at once, as one does that puts back a volume: WirePlumber, which sets 40 % on cards that it does not know, must not win
    driver.do('volume', name, '0.5', '1')
    wait_until(lambda: 'volume 0.125 0.125 mute 1' in card.stdout.readline(), 'the route to be set')
    driver.wait_device(name, volume=0.5, muted=True)
    time.sleep(4)  # what happens in the first seconds of a device is what is looked at
    driver.settle()
    assert near(driver.devices[name]['volume'], 0.5) and driver.devices[name]['muted']
    assert 'Volume: 0.50 [MUTED]' in pw.run('wpctl', 'get-volume', pw.node(name)['id'])
    pw.run('wpctl', 'set-volume', pw.node(name)['id'], '0.25')
    driver.wait_device(name, volume=0.25, muted=True)
    card.stdin.close()  # unplugged
    driver.wait_gone(name)


# ---- a server that comes and goes ----

def test_survives_kill_of_the_server(pw, driver):
    driver.wait_device('fake-out')
    driver.do('expose', UID, 'speaker', 48000, 2, 'Attic')
    driver.wait_device(NODE, failure='ok')
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['moved'] > 0, 'the device to run')
    pw.kill()
    driver.wait(lambda d: d.state['failure'] == 'unavailable', 'the driver to be of no use')
    assert 'PipeWire' in driver.state['message']
    assert set(driver.devices) == {NODE}
    assert driver.devices[NODE]['failure'] == 'unavailable'
    still = driver.stat('t')
    assert still['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['still'] > still['still'], 'the stream to stand still')
    pw.start()
    driver.wait(lambda d: d.state['failure'] == 'ok', 'the driver to be of use again')
    driver.wait_device('fake-out', failure='ok', is_default=True)
    driver.wait_device(NODE, failure='ok')
    pw.wait_node(NODE)
    before = driver.stat('t')['moved']
    wait_until(lambda: driver.stat('t')['moved'] > before, 'the stream to go on')


def test_absent_at_start(pw, drivers):
    pw.kill()
    (pw.directory / 'run/pipewire-0').unlink(missing_ok=True)
    driver = drivers()
    driver.do('expose', UID, 'microphone', 48000, 1, 'Attic')
    driver.watch()
    assert driver.state['failure'] == 'unavailable' and 'tries again by itself' in driver.state['message']
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'unavailable'
    assert driver.open('m', 'microphone', 'output', UID, channels=1)['failure'] == 'ok'
    pw.start()
    driver.wait_device('fake-out', failure='ok')
    driver.wait_device(NODE, failure='ok')


def test_waiting_for_a_server_costs_nothing(pw, drivers):
    pw.kill()
    (pw.directory / 'run/pipewire-0').unlink(missing_ok=True)
    driver = drivers().watch()
    first = driver.stat()
    time.sleep(5)  # this is what is measured: what it does when there is nothing to do
    second = driver.stat()
    assert second['cpu_us'] - first['cpu_us'] < 100_000
    assert second['wakes'] - first['wakes'] < 200


def test_without_a_session_manager_devices_say_so(pw, driver):
    driver.wait_device('fake-out', failure='ok')
    end(pw.wireplumber, 15)
    assert 'WirePlumber' in driver.wait_device('fake-out', failure='unavailable')['message']
    pw.start_session()
    driver.wait_device('fake-out', failure='ok')


# ---- streams of devices ----

def test_what_is_played_is_what_the_device_gets(pw, driver):
    driver.wait_device('fake-out')
    original, recording = pw.directory / 'original.f32', pw.directory / 'recording.f32'
    sound = telltale()
    write_raw(original, sound)
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    pw.pw_cat('record', recording, 'fake-out', '-P', '{ stream.capture.sink=true }')
    wait_until(lambda: len(read_raw(recording)) > 0, 'the recording to begin')
    assert driver.ask(['play', 't', original], 'set')['failure'] == 'ok'
    wait_until(lambda: len(wav.sound(read_raw(recording))) >= len(sound) - RATE // 4, 'the sound to come out')
    assert_contains(read_raw(recording), sound)
    stat = driver.stat('t')
    assert 0 <= stat['latency_ns'] < 1_000_000_000


def test_an_input_is_recorded(pw, driver):
    driver.wait_device('fake-mic')
    assert driver.open('t', 'device', 'input', 'fake-mic')['failure'] == 'ok'
    recording = pw.directory / 'recording.f32'
    driver.ask(['record', 't', recording], 'set')
    wait_until(lambda: driver.stat('t')['moved'] > RATE // 2, 'the microphone to run')
    assert driver.stat('t')['max_due'] < RATE


def test_what_has_gathered_is_dropped_once(pw, driver):
    """A media thread that was kept away must not leave its delay in the ring."""
    assert driver.wait_device('fake-mic')
    assert driver.open('t', 'device', 'input', 'fake-mic')['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['moved'] > RATE // 4, 'the microphone to run')

    def is_dropped():
        before = driver.stat('t')
        driver.ask(['stall', 't', 600], 'stalled')
        after = driver.stat('t')
        assert after['max_due'] < RATE // 8, 'no more than two usual fillings may wait'
        return after['xruns'] > before['xruns']
    wait_until(is_dropped, 'what gathered to be dropped')


def test_an_output_holds_no_more_than_a_callback_and_a_tick(pw, driver):
    driver.wait_device('fake-out')
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    for _ in range(20):
        wait_until(lambda: driver.stat('t')['latency_ns'] > 0, 'the device to run')
        assert driver.stat('t')['latency_ns'] < 60_000_000  # 2048 frames, PipeWire's longest cycle here, and 6 ms


def test_a_device_that_is_missing_or_of_the_other_direction_is_refused(driver):
    driver.wait_device('fake-out')
    assert driver.open('a', 'device', 'output', 'nowhere')['failure'] == 'not_found'
    assert driver.open('b', 'device', 'input', 'fake-out')['failure'] == 'invalid_request'


def test_a_stream_waits_for_its_device_and_plays_nowhere_else(pw, driver):
    pw.add_device('hot')
    driver.wait_device('hot')
    assert driver.open('t', 'device', 'output', 'hot')['failure'] == 'ok'
    wait_until(lambda: pw.links('hot') >= {'rocd-playback'}, 'the stream to be linked')
    pw.remove_device('hot')
    driver.wait_gone('hot')
    still = driver.stat('t')['still']
    wait_until(lambda: driver.stat('t')['still'] > still + 20, 'the stream to stand still')
    assert 'rocd-playback' not in pw.links('fake-out')
    assert driver.stat('t')['failure'] == 'ok'
    pw.add_device('hot')
    wait_until(lambda: pw.links('hot') >= {'rocd-playback'}, 'the stream to be linked again')
    moved = driver.stat('t')['moved']
    wait_until(lambda: driver.stat('t')['moved'] > moved, 'the stream to go on')


@pytest.mark.parametrize('direction, media_class, first, ours', [
    ('output', 'Audio/Sink', 'fake-out', 'rocd-playback'),
    ('input', 'Audio/Source/Virtual', 'fake-mic', 'rocd-capture'),
])
def test_the_default_follows_the_choice(pw, driver, direction, media_class, first, ours):
    choose = pw.set_default if direction == 'output' else pw.set_default_input
    pw.add_device('other', media_class, priority_session='500')
    driver.wait_device('other')
    choose(first)
    assert driver.open('t', 'default', direction, f'default.{direction}')['failure'] == 'ok'
    wait_until(lambda: ours in pw.links(first), 'the stream to be on the default device')
    choose('other')
    wait_until(lambda: ours in pw.links('other'), 'the stream to follow')
    assert ours not in pw.links(first)
    moved = driver.stat('t')['moved']
    wait_until(lambda: driver.stat('t')['moved'] > moved, 'the stream to go on')


def test_other_rates_and_channel_counts(pw, driver):
    driver.wait_device('fake-out')
    for i, (rate, channels) in enumerate([(44100, 2), (16000, 1), (96000, 6), (48000, 16)]):
        assert driver.open(f't{i}', 'device', 'output', 'fake-out', rate, channels)['failure'] == 'ok'
        wait_until(lambda tag=f't{i}': driver.stat(tag)['moved'] > rate // 10, f'{rate} Hz, {channels} channels to run')


@pytest.mark.parametrize('key, values', [('clock.force-quantum', (64, 2048, 512, 0)), ('clock.force-rate', (44100, 96000, 0))])
def test_the_cycle_and_the_rate_change_under_a_stream(pw, driver, key, values):
    """Another program makes all cycles longer or shorter, or a device asks for another rate. The longest cycle comes second: what
    the ring held for it must not stay when cycles are short again."""
    driver.wait_device('fake-out')
    assert driver.open('t', 'device', 'output', 'fake-out')['failure'] == 'ok'
    driver.ask(['sine', 't', 441], 'set')
    wait_until(lambda: driver.stat('t')['moved'] > 0, 'the device to run')
    for value in values:
        pw.run('pw-metadata', '-n', 'settings', '0', key, value)
        take = pw.directory / f'take-{value}.f32'
        recorder = pw.pw_cat('record', take, 'fake-out', '-P', '{ stream.capture.sink=true }')
        # Half a second: with cycles of 64 frames a busy machine leaves one out soon.
        wait_until(lambda path=take: wav.longest_sine_s(read_raw(path), RATE, 441, 0.25) >= 0.5, f'the sine with {key} {value}',
                   deadline=90)
        end(recorder, 15)
        most_ns = 10_000_000 + (value if key == 'clock.force-quantum' and value else 1024) * 2 * 10**9 // RATE
        wait_until(lambda most=most_ns: 0 < driver.stat('t')['latency_ns'] < most, f'no more than {most_ns} ns to wait')
    assert driver.stat('t')['failure'] == 'ok'


def test_the_format_of_a_device_changes_under_a_stream(pw, driver):
    """A card with another profile is gone for a moment, and then has other channels and another rate. The stream stays what it was, and
    is heard on it."""
    pw.add_device('card')
    driver.wait_device('card')
    assert driver.open('t', 'device', 'output', 'card')['failure'] == 'ok'
    driver.ask(['sine', 't', 441], 'set')
    for i, props in enumerate([{'audio_position': '[FL FR FC LFE RL RR]', 'audio_rate': 44100},
                               {'audio_position': '[MONO]', 'audio_rate': 96000}, {}]):
        wait_until(lambda: 'rocd-playback' in pw.links('card'), 'the stream to be linked')
        pw.remove_device('card')
        driver.wait_gone('card')
        pw.add_device('card', **props)
        wait_until(lambda: 'rocd-playback' in pw.links('card'), f'the stream to be linked with {props}')
        take = pw.directory / f'take-{i}.f32'
        recorder = pw.pw_cat('record', take, 'card', '-P', '{ stream.capture.sink=true }')
        wait_until(lambda path=take: wav.longest_sine_s(read_raw(path), RATE, 441, 0.25) >= 0.5, f'the sine with {props}', deadline=90)
        end(recorder, 15)
    assert driver.stat('t')['failure'] == 'ok'


# ---- virtual devices ----

def test_a_virtual_speaker_is_seen_and_gives_what_is_played_to_it(pw, driver):
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    told = driver.wait_device(NODE, failure='ok')
    assert (told['uid'], told['kind'], told['direction']) == (UID, 'virtual_speaker', 'input')
    assert told['display_name'] == 'Living Room' and told['has_volume'] and told['volume'] == 1.0
    props = pw.wait_node(NODE)['info']['props']
    assert props['media.class'] == 'Audio/Sink' and props['node.description'] == 'Living Room'
    original, recording = pw.directory / 'original.f32', pw.directory / 'recording.f32'
    sound = telltale()
    write_raw(original, sound)
    assert driver.open('t', 'speaker', 'input', UID)['failure'] == 'ok'
    driver.ask(['record', 't', recording], 'set')
    player = pw.pw_cat('playback', original, NODE)
    assert player.wait(60) == 0
    driver.stat('t')
    assert_contains(read_raw(recording), sound)


def test_a_virtual_microphone_gives_programs_what_is_written(pw, driver):
    driver.do('expose', UID, 'microphone', 48000, 2, 'Stage')
    told = driver.wait_device(NODE, failure='ok')
    assert (told['kind'], told['direction']) == ('virtual_microphone', 'output')
    assert pw.wait_node(NODE)['info']['props']['media.class'] == 'Audio/Source'
    original, recording = pw.directory / 'original.f32', pw.directory / 'recording.f32'
    sound = telltale()
    write_raw(original, sound)
    assert driver.open('t', 'microphone', 'output', UID)['failure'] == 'ok'
    pw.pw_cat('record', recording, NODE)
    wait_until(lambda: len(read_raw(recording)) > 0, 'the recording to begin')
    assert driver.ask(['play', 't', original], 'set')['failure'] == 'ok'
    wait_until(lambda: len(wav.sound(read_raw(recording))) >= len(sound) - RATE // 4, 'the sound to arrive')
    assert_contains(read_raw(recording), sound)
    pw.set_default(NODE)
    driver.wait_device(NODE, is_default=True)
    driver.wait_device('fake-mic', is_default=False)


def test_a_virtual_device_is_controlled_like_hardware(pw, driver):
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    driver.wait_device(NODE, failure='ok')
    node = pw.wait_node(NODE)['id']
    driver.do('volume', NODE, '0.5', '1')
    driver.wait_device(NODE, volume=0.5, muted=True)
    pw.run('wpctl', 'set-mute', node, '0')
    driver.wait_device(NODE, volume=0.5, muted=False)
    pw.run('wpctl', 'set-volume', node, '0.25')
    driver.wait_device(NODE, volume=0.25)
    pw.set_default(NODE)
    driver.wait_device(NODE, is_default=True)
    driver.wait_device('default.output', volume=0.25)
    # PipeWire applies it: what we read is quieter already
    original, recording = pw.directory / 'original.f32', pw.directory / 'recording.f32'
    write_raw(original, telltale())
    assert driver.open('t', 'speaker', 'input', UID)['failure'] == 'ok'
    driver.ask(['record', 't', recording], 'set')
    assert pw.pw_cat('playback', original, NODE).wait(60) == 0
    driver.stat('t')
    assert np.abs(read_raw(recording)).max() < 0.1 * np.abs(telltale()).max()
    # and it is put back when the server has gone and come
    pw.kill()
    driver.wait(lambda d: d.state['failure'] == 'unavailable', 'the driver to be of no use')
    pw.start()
    driver.wait_device(NODE, failure='ok', volume=0.25)
    driver.ask(['record', 't', recording], 'set')
    assert pw.pw_cat('playback', original, NODE).wait(60) == 0
    driver.stat('t')
    peak = np.abs(read_raw(recording)).max() / np.abs(telltale()).max()
    assert 0 < peak < 0.1, peak


def test_withdrawn_changed_and_renamed(pw, driver):
    driver.do('expose', UID, 'speaker', 48000, 2, 'One')
    driver.wait_device(NODE, display_name='One')
    driver.do('expose', UID, 'speaker', 48000, 2, 'Two')
    driver.wait_device(NODE, display_name='Two')
    assert driver.open('t', 'speaker', 'input', UID)['failure'] == 'ok'
    assert driver.open('u', 'speaker', 'input', UID)['failure'] == 'busy'
    driver.do('expose', UID, 'speaker', 44100, 1, 'Two')
    driver.wait_device(NODE, rate_hz=44100, channels=1, failure='ok')
    assert driver.stat('t')['failure'] == 'unavailable'
    driver.ask(['close', 't'], 'closed')
    driver.do('withdraw', UID)
    pw.wait_node(NODE, is_there=False)
    assert driver.open('t', 'speaker', 'input', UID)['failure'] == 'not_found'
    driver.do('expose', UID, 'speaker', 48000, 2, 'Two')
    pw.wait_node(NODE)


def test_a_device_that_the_user_removed_is_not_fought_over(pw, driver):
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    driver.wait_device(NODE, failure='ok')
    assert driver.open('t', 'speaker', 'input', UID)['failure'] == 'ok'
    pw.cli('destroy', NODE)
    gone = driver.next('gone', system_name=NODE)
    assert gone['uid'] == UID and gone['failure'] == 'unavailable' and 'another program' in gone['message']
    assert driver.stat('t')['failure'] == 'unavailable'
    pw.add_device('later')
    driver.wait_device('later')
    assert pw.node(NODE) is None
    driver.ask(['close', 't'], 'closed')
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    driver.wait_device(NODE, failure='ok')
    pw.wait_node(NODE)


def test_names_collide_politely(pw, driver):
    pw.add_device('desk', description='Desk')
    driver.wait_device('desk')
    driver.do('expose', UID, 'speaker', 48000, 2, 'Desk')
    driver.wait_device(NODE, failure='ok', display_name='Desk (rocd)')
    driver.do('expose', UID2, 'speaker', 48000, 2, 'Desk')
    driver.wait_device(f'rocd.{UID2}', failure='ok', display_name='Desk (rocd 2)')


def test_a_node_with_the_name_of_ours_is_waited_for(pw, driver):
    pw.add_device(NODE, description='Impostor')
    driver.wait_device(NODE + '*', kind='device')
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    assert 'second rocd' in driver.wait_device(NODE, failure='conflict')['message']
    assert driver.devices[NODE + '*']['display_name'] == 'Impostor'
    pw.remove_device(NODE)
    driver.wait_device(NODE, failure='ok', display_name='Living Room')


def test_the_virtual_devices_of_another_rocd_are_devices(pw, drivers):
    one, two = drivers().watch(), drivers().watch()
    one.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    one.wait_device(NODE, failure='ok')
    assert two.wait_device(NODE + '*', failure='ok')['kind'] == 'device'
    one.kill()
    two.wait_gone(NODE + '*')


def test_idle_is_auto_or_always(driver):
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    driver.wait_device(NODE, failure='ok')
    assert driver.open('t', 'speaker', 'input', UID)['failure'] == 'ok'
    wait_until(lambda: driver.stat('t')['still'] > 20, 'it to stand still')
    assert driver.stat('t')['never_idle'] is False and driver.stat('t')['moved'] == 0
    driver.ask(['close', 't'], 'closed')
    assert driver.open('t', 'speaker-always', 'input', UID)['failure'] == 'ok'
    assert driver.stat('t')['never_idle'] is True


def test_an_idle_virtual_device_costs_nothing(pw, driver):
    driver.do('expose', UID, 'speaker', 48000, 2, 'Living Room')
    driver.wait_device(NODE, failure='ok')
    first = driver.stat()
    time.sleep(5)  # this is what is measured: what it does when nobody plays
    second = driver.stat()
    assert second['cpu_us'] - first['cpu_us'] < 50_000
    assert second['wakes'] - first['wakes'] < 50


# ---- crowds ----

def test_thousands_of_devices_come_and_go(drivers, pw):
    end(pw.wireplumber, 15)  # it would look at each of them for long
    driver = drivers().watch()
    crowd = pw.fake('crowd')
    driver.wait_device('fake-out')

    def say(line):
        crowd.stdin.write(line + '\n')
        crowd.stdin.flush()
        assert crowd.stdout.readline().strip() == line

    say('up 2000')
    driver.wait(lambda d: sum(n.startswith('crowd-') for n in d.devices) == 2000, 'all to be told')
    say('down')
    driver.wait(lambda d: not any(n.startswith('crowd-') for n in d.devices), 'all to be gone')
    # The core is busy meanwhile: those that came and went it need not hear of.
    driver.ask(['block', 3000], 'blocked')
    n = len(driver.events)
    for _ in range(3):
        say('up 500')
        say('down')
    pw.add_device('after', wait=False)
    driver.wait_device('after')
    assert len(driver.events) - n < 3000
    assert not any(name.startswith('crowd-') for name in driver.devices)

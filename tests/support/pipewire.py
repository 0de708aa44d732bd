# SPDX-License-Identifier: MPL-2.0
"""A private PipeWire with WirePlumber, without a sound card, D-Bus or a session: each has its own directories, and ends what it
has started and nothing else. And rocd's driver on it, spoken to line by line (support/pipewire_driver.c)."""
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from support.daemon import BUILD
from support.wait import DEADLINE_S, wait_until

TOOLS = ('pipewire', 'wireplumber', 'pw-cli', 'pw-cat', 'pw-dump', 'pw-metadata', 'wpctl')

CONFIG = '''
context.properties = {
    core.daemon = true  core.name = pipewire-0  support.dbus = false
    default.clock.rate = 48000  default.clock.allowed-rates = [ 44100 48000 96000 ]
    default.clock.quantum = 1024  default.clock.min-quantum = 32  default.clock.max-quantum = 2048
    settings.check-quantum = true  settings.check-rate = true
}
context.spa-libs = { audio.convert.* = audioconvert/libspa-audioconvert  support.* = support/libspa-support }
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-profiler }
    { name = libpipewire-module-metadata }
    { name = libpipewire-module-spa-device-factory }
    { name = libpipewire-module-spa-node-factory }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-client-device }
    { name = libpipewire-module-access args = { } }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-link-factory }
    { name = libpipewire-module-session-manager }
]
context.objects = [
    { factory = spa-node-factory args = { factory.name = support.node.driver node.name = Dummy-Driver
        node.group = pipewire.dummy priority.driver = 20000 } }
    { factory = adapter args = { factory.name = support.null-audio-sink node.name = fake-out
        node.description = "Fake Speakers" media.class = Audio/Sink audio.position = [ FL FR ] object.linger = true
        monitor.channel-volumes = true priority.session = 1000
        adapter.auto-port-config = { mode = dsp monitor = true position = preserve } } }
    { factory = adapter args = { factory.name = support.null-audio-sink node.name = fake-mic
        node.description = "Fake Microphone" media.class = Audio/Source/Virtual audio.position = [ FL FR ]
        object.linger = true priority.session = 1000
        adapter.auto-port-config = { mode = dsp monitor = false position = preserve } } }
]
'''


def missing():
    """Which programs a private PipeWire needs and this machine has not."""
    return [tool for tool in TOOLS if not shutil.which(tool)]


class PipeWire:
    def __init__(self, with_session=True):
        self.directory = Path(tempfile.mkdtemp(prefix='rocd-pw-'))
        self.with_session = with_session
        self.processes = []  # of helpers: Popen
        self.pipewire = self.wireplumber = None
        self.n_logs = 0
        for name in ('run', 'config/pipewire', 'state', 'cache'):
            (self.directory / name).mkdir(parents=True)
        (self.directory / 'run').chmod(0o700)
        (self.directory / 'config/pipewire/test.conf').write_text(CONFIG)

    # ---- life ----

    def env(self):
        """For whoever shall find this PipeWire and no other."""
        d = self.directory
        env = {k: v for k, v in os.environ.items() if k not in ('DISPLAY', 'DBUS_SYSTEM_BUS_ADDRESS')}
        return env | {'HOME': str(d), 'XDG_RUNTIME_DIR': str(d / 'run'), 'PIPEWIRE_RUNTIME_DIR': str(d / 'run'),
                      'XDG_CONFIG_HOME': str(d / 'config'), 'XDG_STATE_HOME': str(d / 'state'),
                      'XDG_CACHE_HOME': str(d / 'cache'), 'PIPEWIRE_REMOTE': 'pipewire-0',
                      'DBUS_SESSION_BUS_ADDRESS': 'disabled:', 'PIPEWIRE_LOG_SYSTEMD': 'false'}

    def daemon_env(self):
        """The same for a Daemon, which has directories of its own."""
        return {k: v for k, v in self.env().items() if k.startswith(('XDG_', 'PIPEWIRE', 'DBUS'))}

    def spawn(self, command, **options):
        self.n_logs += 1
        log = open(self.directory / f'{self.n_logs}-{Path(command[0]).name}.log', 'wb')
        options.setdefault('stdin', subprocess.DEVNULL)
        options.setdefault('stdout', log)
        process = subprocess.Popen([str(word) for word in command], env=self.env(), stderr=log, **options)
        log.close()
        return process

    def start(self):
        socket = self.directory / 'run/pipewire-0'
        socket.unlink(missing_ok=True)  # of one that was killed
        self.pipewire = self.spawn(['pipewire', '-c', 'test.conf'])
        wait_until(socket.is_socket, 'PipeWire to listen')
        if self.with_session:
            self.start_session()
        return self

    def start_session(self):
        self.wireplumber = self.spawn(['wireplumber', '-p', 'policy'])
        wait_until(lambda: 'default.audio.sink' in self.metadata(), 'WirePlumber to choose a device')

    def stop_session(self):
        end(self.wireplumber, signal.SIGTERM)
        self.wireplumber = None

    def kill(self):
        """kill -9 of PipeWire. WirePlumber ends by itself, as it does on a desktop, where it is started anew with it."""
        end(self.pipewire, signal.SIGKILL)
        end(self.wireplumber, signal.SIGTERM)
        self.pipewire = self.wireplumber = None

    def stop(self):
        for process in self.processes + [self.wireplumber, self.pipewire]:
            end(process, signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- asking and changing ----

    def run(self, *command, check=True, deadline=DEADLINE_S):
        result = subprocess.run([str(word) for word in command], env=self.env(), capture_output=True, text=True,
                                timeout=deadline, stdin=subprocess.DEVNULL)
        assert not check or result.returncode == 0, f'{command}: {result.stdout}{result.stderr}'
        return result.stdout

    def metadata(self):
        """{key: value} of the session's choices."""
        found = {}
        for line in self.run('pw-metadata', '-n', 'default', check=False).splitlines():
            if "key:'" in line:
                found[line.split("key:'")[1].split("'")[0]] = line.split("value:'")[1].split("' type:")[0]
        return found

    def dump(self):
        """What there is; [] if something changed meanwhile: pw-dump then writes half of it, or waits for ever for what is gone."""
        try:
            return json.loads(self.run('pw-dump', check=False, deadline=5))
        except (json.JSONDecodeError, subprocess.TimeoutExpired):
            return []

    def node(self, name):
        for thing in self.dump():
            props = (thing.get('info') or {}).get('props') or {}
            if thing.get('type') == 'PipeWire:Interface:Node' and props.get('node.name') == name:
                return thing
        return None

    def wait_node(self, name, is_there=True):
        return wait_until(lambda: (self.node(name) is not None) == is_there and (self.node(name) or True),
                          f'{name} {"to come" if is_there else "to go"}')

    def links(self, name):
        """Names of the nodes that play to this one or record from it."""
        things = {thing['id']: thing for thing in self.dump()}
        names = {i: ((t.get('info') or {}).get('props') or {}).get('node.name') for i, t in things.items()}
        found = set()
        for thing in things.values():
            if thing['type'] == 'PipeWire:Interface:Link':
                ends = (names.get(thing['info']['output-node-id']), names.get(thing['info']['input-node-id']))
                if name in ends:
                    found |= set(ends) - {name}
        return found

    def cli(self, *words):
        return self.run('pw-cli', *words)

    def add_device(self, name, media_class='Audio/Sink', description=None, wait=True, **props):
        all_props = {'factory.name': 'support.null-audio-sink', 'node.name': name, 'media.class': media_class,
                     'node.description': description or name, 'audio.position': '[FL FR]', 'object.linger': 'true',
                     'monitor.channel-volumes': 'true'} | {k.replace('_', '.'): v for k, v in props.items()}
        text = ' '.join(f'{k}="{v}"' if ' ' in str(v) and '[' not in str(v) else f'{k}={v}' for k, v in all_props.items())
        self.cli('create-node', 'adapter', '{ ' + text + ' }')
        return self.wait_node(name) if wait else None

    def remove_device(self, name):
        self.cli('destroy', name)

    def set_default(self, name):
        self.run('wpctl', 'set-default', self.node(name)['id'])

    def set_default_input(self, name):
        """wpctl takes no source that is virtual."""
        self.run('pw-metadata', '-n', 'default', '0', 'default.configured.audio.source', json.dumps({'name': name}),
                 'Spa:String:JSON')

    def fake(self, *words):
        """support/pipewire_fake.c: a card with routes, or a crowd of devices."""
        process = self.spawn([BUILD / 'src/audio/pipewire-fake', *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True)
        self.processes.append(process)
        return process

    # ---- sound ----

    def pw_cat(self, mode, path, target, *words):
        """pw-cat of raw 32-bit floats, which it takes from its input or gives to its output."""
        with open(path, 'rb' if mode == 'playback' else 'wb') as sound:
            process = self.spawn(['pw-cat', f'--{mode}', '--raw', '--rate=48000', '--channels=2', '--format=f32',
                                  f'--target={target}', *words, '-'],
                                 **{'stdin' if mode == 'playback' else 'stdout': sound})
        self.processes.append(process)
        return process


def end(process, number):
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def write_raw(path, samples):
    path.write_bytes(np.ascontiguousarray(samples, dtype='<f4').tobytes())


def read_raw(path, channels=2):
    data = path.read_bytes() if path.exists() else b''
    n = len(data) // (4 * channels)
    return np.frombuffer(data[:n * 4 * channels], dtype='<f4').reshape(n, channels)


class Driver:
    """The driver in a process of its own."""

    def __init__(self, pipewire, env=None):
        self.pipewire = pipewire
        self.log_path = pipewire.directory / f'driver-{time.monotonic_ns()}.log'
        self.events = []  # all, in order
        self.devices = {}  # by name_of(), as they were told last
        self.state = None
        self.arrived = queue.SimpleQueue()
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen([str(BUILD / 'src/audio/pipewire-driver')], env=pipewire.env() | (env or {}),
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.arrived.put(json.loads(line))
        self.arrived.put(None)

    def _take(self, event):
        self.events.append(event)
        if event['event'] == 'device':
            self.devices[name_of(event)] = event
        elif event['event'] == 'gone':
            self.devices.pop(name_of(event), None)
        elif event['event'] == 'driver':
            self.state = event
        return event

    def do(self, *words):
        self.process.stdin.write(' '.join(str(word) for word in words) + '\n')
        self.process.stdin.flush()

    def wait(self, condition, what, deadline=DEADLINE_S):
        """Until condition(self) is true, looked at after each event."""
        end_at = time.monotonic() + deadline
        while True:
            value = condition(self)
            if value:
                return value
            left = end_at - time.monotonic()
            try:
                event = self.arrived.get(timeout=max(left, 0.001))
            except queue.Empty:
                event = None
                if left <= 0:
                    raise AssertionError(f'waited {deadline:.0f} s for {what} in vain; told were {self.events[-8:]}; '
                                         f'logged was {self.log()[-2000:]}') from None
                continue
            assert event is not None, f'the driver has ended ({self.process.wait()}): {self.log()[-3000:]}'
            self._take(event)

    def next(self, kind, what=None, **members):
        """The next event of this kind with these members that has not been looked at yet."""
        seen = len(self.events)

        def found(driver):
            return next((e for e in driver.events[seen:] if e['event'] == kind and
                         all(e.get(k) == v for k, v in members.items())), None)
        return self.wait(found, what or f'{kind} {members}')

    def ask(self, words, kind, **members):
        self.settle()
        self.do(*words)
        return self.next(kind, **members)

    def settle(self):
        """Takes what has come by now."""
        while not self.arrived.empty():
            event = self.arrived.get()
            assert event is not None, f'the driver has ended ({self.process.wait()}): {self.log()[-3000:]}'
            self._take(event)

    def watch(self):
        self.do('watch')
        self.wait(lambda d: d.state, 'the driver to say how it is')
        return self

    def wait_device(self, name, **members):
        """Until the device is there as wanted. `near` compares numbers."""
        def fits(driver):
            device = driver.devices.get(name)
            return device if device and all(near(device.get(k), v) for k, v in members.items()) else None
        return self.wait(fits, f'{name} to be {members}')

    def wait_gone(self, name):
        return self.wait(lambda d: name not in d.devices, f'{name} to go')

    def open(self, tag, kind, direction, name, rate=48000, channels=2):
        return self.ask(['open', tag, kind, direction, rate, channels, name], 'opened', tag=tag)

    def stat(self, tag='-'):
        return self.ask(['stat', tag], 'stat', tag=tag)

    def log(self):
        return self.log_path.read_text(errors='replace')

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f'the driver did not end: {self.log()[-3000:]}') from None
        assert self.process.returncode == 0, f'the driver ended with {self.process.returncode}: {self.log()[-6000:]}'

    def kill(self):
        self.process.kill()
        self.process.wait()


def name_of(event):
    """The system_name; with a star if it looks like one of rocd's virtual devices, and is not of this rocd."""
    name = event['system_name']
    return f'{name}*' if name.startswith('rocd.') and 'uid' not in event else name


def near(value, wanted):
    return value is not None and abs(value - wanted) < 0.005 if isinstance(wanted, float) else value == wanted

# SPDX-License-Identifier: MPL-2.0
"""Streams to be measured: from one rocd to another, and from roc-send to roc-recv. Both over UDP on the loopback interface,
48 or 44.1 kHz stereo, Reed-Solomon 18 + 10, RTCP, target latency 100 ms; without a sound card."""
import array
import math
import shutil
import wave

from bench.figures import NotMeasured
from bench.processes import die_with_parent, end, memory_kb, start
from support import net, wav
from support.daemon import Daemon
from support.wait import wait_until

TARGET_MS = 100
SETTINGS = {'fec': 'rs8m', 'target_latency_ms': TARGET_MS}
ANY_PORTS = net.roc_uris([0, 0, 0])


def daemon(bench, name):
    """A daemon that runs until the benchmark leaves `bench.stack`."""
    made = Daemon(bench.new_directory(name), name=name, preexec=die_with_parent)
    bench.stack.callback(made.finish)
    return made.start()


def is_heard(api, stream):
    return api.stream_is(stream, 'running', 'degraded')


def listen(api, sink, **settings):
    """(stream, {media_uri, …} to send to)"""
    stream = api.stream(ANY_PORTS, sink, **{**SETTINGS, **settings})
    uris = wait_until(lambda: local_uris(api, stream), 'the receiver to listen')
    return stream, uris


def local_uris(api, stream):
    found = api.get(stream['stream_uri'])['status']['local_uris']
    return all(found.values()) and {f'{name}_uri': uri.replace('0.0.0.0', '127.0.0.1') for name, uri in found.items()}


class Daemons:
    """Two daemons and n streams from the first to the second, tone to null."""

    def __init__(self, bench):
        self.sender, self.receiver = daemon(bench, 'sender'), daemon(bench, 'receiver')
        self.pids = [self.sender.process.pid, self.receiver.process.pid]
        self.empty = [memory_kb(pid) for pid in self.pids]
        self.heard = []

    def connect(self, n):
        for _ in range(n):
            stream, uris = listen(self.receiver.api, self.receiver.api.sink())
            self.heard.append(stream)
            self.sender.api.stream(self.sender.api.tone(waveform='sine', frequency_hz=440, level_dbfs=-12), uris, **SETTINGS)
        for stream in self.heard:
            wait_until(lambda: is_heard(self.receiver.api, stream), 'sound to arrive')

    def statuses(self):
        return [self.receiver.api.get(stream['stream_uri'])['status'] for stream in self.heard]

    def finish(self):
        for each in (self.sender, self.receiver):
            each.finish()


    def check(self):
        """The streams still run; what was lost, by cause."""
        statuses = self.statuses()
        if not all(s['state'] in ('running', 'degraded') for s in statuses):
            raise NotMeasured(f"streams between daemons ended up {[s['state'] for s in statuses]}")
        return {cause: sum(s['samples'][cause] for s in statuses)
                for cause in ('lost', 'lost_network', 'lost_machine', 'lost_sender')}

    def grown_kb(self, kind):
        """Memory per stream of the sender and of the receiver: what they have grown by since they had none."""
        return [(memory_kb(pid)[kind] - empty[kind]) / len(self.heard) for pid, empty in zip(self.pids, self.empty)]


# ---- roc-send and roc-recv ----

def input_file(bench, seconds):
    """44.1 kHz stereo, which is all that roc-send sends."""
    path = bench.directory / f'input-{seconds}.wav'
    if not path.exists():
        second = array.array('h', (round(8000 + 4000 * math.sin(2 * math.pi * 440 * (i // 2) / 44100)) for i in range(88200)))
        with wave.open(str(path), 'wb') as f:
            f.setnchannels(2)
            f.setsampwidth(2)
            f.setframerate(44100)
            for _ in range(seconds):
                f.writeframes(second.tobytes())
    return path


def flags(uris):
    return ['-s', uris['media_uri'], '-r', uris['repair_uri'], '-c', uris['control_uri']]


class Tools:
    """n pairs of roc-send and roc-recv."""

    def __init__(self, bench, n):
        for name in ('roc-send', 'roc-recv'):
            if not shutil.which(name):
                raise NotMeasured(f'there is no {name}: tools/install-deps test installs it')
        self.n, self.processes = n, []
        self.log = bench.directory / 'tools.log'
        bench.stack.callback(self.finish)
        # Far longer than it can last: a roc-send that has come to its end uses nothing.
        sound, take = input_file(bench, 120), bench.directory / 'take.wav'
        take.unlink(missing_ok=True)
        all_uris = [net.roc_uris(net.udp_ports(3)) for _ in range(n)]
        # The first one records, to show that sound does flow; the others are spared the disk, as rocd's null endpoints are.
        for i, uris in enumerate(all_uris):
            self.start('roc-recv', '-o', f"file:{'/dev/null' if i else take}", '--output-format', 'wav', '--target-latency',
                       f'{TARGET_MS}ms', *flags(uris))
        wait_until(lambda: not any(net.is_free(int(uris['media_uri'].rsplit(':', 1)[1])) for uris in all_uris),
                   'roc-recv to listen')
        for uris in all_uris:
            self.start('roc-send', '-i', f'file:{sound}', *flags(uris))
        wait_until(lambda: wav.seconds(take) > 0.5 and len(wav.sound(wav.read(take)[0])) > 0, 'roc-recv to record sound')
        self.pids = [p.pid for p in self.processes]

    def start(self, *command):
        self.processes.append(start(command, self.log))

    def memory_kb(self, kind):
        return sum(memory_kb(pid)[kind] for pid in self.pids) / self.n

    def finish(self):
        end(self.processes)
        codes = [p.returncode for p in self.processes]
        if any(code not in (0, -15) for code in codes):
            raise NotMeasured(f'roc-send or roc-recv ended with {codes}: {self.log.read_text(errors="replace")[-500:]}')

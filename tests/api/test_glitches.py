# SPDX-License-Identifier: MPL-2.0
"""GET /streams/{stream_uid}/glitches: what was lost of a stream's sound, by cause, with a network in between that does what it is
told. The machine may stall by itself: other causes may be told as well, and each thing is done again until it is told of."""
import signal
import socket
import threading
import time

import pytest

from support.net import udp_ports
from support.wait import wait_until

PACKET_S = 0.005
TARGET_MS = 100


class Network:
    """From one UDP port of loopback to another."""

    def __init__(self, to):
        self.to = to
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.socket.settimeout(0.1)
        self.port = self.socket.getsockname()[1]
        self.n_to_lose = self.n_to_hold = 0
        self.held = []
        self.shift = 0  # of the timestamps
        self.is_over = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.is_over:
            try:
                packet = self.socket.recv(2048)
            except TimeoutError:
                continue
            timestamp = (int.from_bytes(packet[4:8], 'big') + self.shift) % 2**32
            packet = packet[:4] + timestamp.to_bytes(4, 'big') + packet[8:]
            if self.n_to_lose > 0:
                self.n_to_lose -= 1
                continue
            self.held.append(packet)
            if self.n_to_hold > 0:
                self.n_to_hold -= 1
                continue
            for packet in self.held:
                self.socket.sendto(packet, ('127.0.0.1', self.to))
            self.held = []

    def close(self):
        self.is_over = True
        self.thread.join()
        self.socket.close()


@pytest.fixture
def network():
    made = Network(udp_ports(1)[0])
    yield made
    made.close()


@pytest.fixture
def heard(daemons, network):
    """(API, the stream that receives, the one that sends)"""
    api = daemons('rocd').api
    settings = {'fec': 'none', 'target_latency_ms': TARGET_MS}
    into = api.stream({'media_uri': f'rtp://127.0.0.1:{network.to}'}, api.sink(), **settings)
    wait_until(lambda: api.get(into['stream_uri'])['status']['local_uris'].get('media'), 'it to listen')
    out = api.stream(api.tone(), {'media_uri': f'rtp://127.0.0.1:{network.port}'}, **settings)
    wait_until(lambda: api.stream_is(into, 'running', 'degraded'), 'sound')
    return api, into, out


def glitches(api, stream):
    return api.get(f"{stream['stream_uri']}/glitches")


def count(api, stream, cause):
    return api.get(stream['stream_uri'])['status']['glitches'][cause]


def told_after(api, stream, cause, happen, tries=5):
    """Makes it happen until glitches of this cause are told that were not there before: those, the newest first."""
    for attempt in range(tries):
        before = count(api, stream, cause)
        known = [g['at'] for g in glitches(api, stream)]
        happen()
        try:
            wait_until(lambda before=before: count(api, stream, cause) > before, f'{cause} to be told', deadline=10)
        except AssertionError:
            if attempt == tries - 1:
                raise
            continue
        return [g for g in glitches(api, stream) if g['cause'] == cause and g['at'] not in known]


def test_there_are_none_at_first(heard):
    api, into, out = heard
    assert api.get(into['stream_uri'])['status']['glitches'].keys() == {'network_loss', 'late', 'stall', 'device_xrun',
                                                                        'sender_stopped', 'clock_jump', 'resync'}
    assert glitches(api, out) == [], 'nobody here hears it'
    assert 'glitches' not in api.get(out['stream_uri'])['status']
    api.problem(404, 'GET', '/streams/ab12cd-ef34gh-ij56kl/glitches')
    api.problem(400, 'GET', '/streams/radio/glitches')
    api.problem(405, 'POST', f"{into['stream_uri']}/glitches", {})


def test_packets_that_do_not_come(heard, network):
    api, into, _ = heard

    def lose():
        network.n_to_lose = 60
    glitch = told_after(api, into, 'network_loss', lose)[0]
    assert 20 <= glitch['lost_ms'] <= 1000 and glitch['pieces'] >= 1 and 'longer target latency' in glitch['message']
    metrics = api.expect(200, 'GET', '/metrics').body.decode()
    line = next(line for line in metrics.splitlines()
                if line.startswith('rocd_stream_glitches_total{') and into['stream_uid'] in line and 'cause="network_loss"' in line)
    assert int(line.split()[-1]) >= 1


def test_packets_that_come_late(heard, network):
    api, into, _ = heard

    def hold():
        network.n_to_hold = 40  # 200 ms
    assert told_after(api, into, 'late', hold)[0]['lost_ms'] > 0


def test_timestamps_that_jump(heard, network):
    api, into, _ = heard

    def jump():
        network.shift += 3600 * 48000
    assert told_after(api, into, 'clock_jump', jump)[0]['lost_ms'] > 0


def test_a_sender_that_stops(heard):
    api, into, out = heard

    def stop():
        api.patch(out['stream_uri'], {'enabled': False})
        wait_until(lambda: api.stream_is(into, 'degraded', 'connecting'), 'silence')
        api.patch(out['stream_uri'], {'enabled': True})
        wait_until(lambda: api.stream_is(into, 'running'), 'sound again')
    assert told_after(api, into, 'sender_stopped', stop)[0]['lost_ms'] > 100


def test_a_machine_that_stands_still(daemons):
    daemon = daemons('rocd')
    api = daemon.api
    stream = api.stream(api.tone(), api.sink(), target_latency_ms=TARGET_MS)
    wait_until(lambda: api.stream_is(stream, 'running'), 'sound')

    def sleep():
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)  # it is asleep
        daemon.process.send_signal(signal.SIGCONT)
    told_after(api, stream, 'stall', sleep)
    wait_until(lambda: sum(g['lost_ms'] for g in glitches(api, stream) if g['cause'] == 'stall') > 1000, 'all of it to be told')
    found = glitches(api, stream)
    assert [g['at'] for g in found] == sorted((g['at'] for g in found), reverse=True)

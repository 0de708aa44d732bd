# SPDX-License-Identifier: MPL-2.0
"""Auto latency: chosen, changed when the network calls for it, and told."""
import socket
import threading
import time

from support.client import stream_spec
from support.net import udp_ports
from support.wait import wait_until


class Relay:
    """Hands datagrams on, all at once after each pause: a network that holds everything up now and then."""

    def __init__(self, port, to_port, pause_s):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', port))
        self.socket.settimeout(0.02)
        self.to, self.pause_s, self.over = ('127.0.0.1', to_port), pause_s, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        held, release_at = [], time.monotonic() + self.pause_s
        while not self.over.is_set():
            try:
                held.append(self.socket.recv(2048))
            except TimeoutError:
                pass
            if time.monotonic() >= release_at:
                for datagram in held:
                    self.socket.sendto(datagram, self.to)
                held, release_at = [], time.monotonic() + self.pause_s

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.socket.close()


def test_auto_follows_the_network(shared):
    api = shared.api
    relay_port, port = udp_ports(2)
    with Relay(relay_port, port, pause_s=0.2), api.events('?types=stream_updated') as events:
        receiving = api.stream({'media_uri': f'rtp://127.0.0.1:{port}'}, api.sink(), fec='none', latency_max_ms=110)
        sending = api.stream(api.tone(), {'media_uri': f'rtp://127.0.0.1:{relay_port}'}, fec='none')
        assert 'latency_change' not in receiving['status']
        uri = receiving['stream_uri']
        status = wait_until(lambda: (s := api.get(uri)['status']).get('latency_change') and s, 'a change of the latency')
        told = events.wait_for(lambda e: e.data.get('stream_uid') == receiving['stream_uid'] and 'latency_change' in e.data['status'])
        assert told.data['status']['latency_change']['changes'] == 1, 'every change is an event'
        change = status['latency_change']
        assert change['changes'] >= 1 and change['cause'] in ('Jitter', 'Late', 'Glitches') and len(change['message']) > 10
        assert change['from_ms'] == 100 or change['changes'] > 1
        assert 100 < change['to_ms'] <= 110, 'it needs more, and may not'
        assert status['latency_ms']['target'] == change['to_ms']
        log = [line for line in shared.log().splitlines() if 'latency changed' in line and receiving['stream_uid'] in line]
        assert any(change['cause'] in line for line in log), log
    for stream in (receiving, sending):
        api.delete(stream['stream_uri'])


def test_bounds_are_checked_and_kept(shared):
    api = shared.api
    source, sink = api.tone(), api.sink()
    stream = api.stream(source, sink, latency_min_ms=30, latency_max_ms=80)
    assert stream['settings']['latency_min_ms'] == 30 and stream['settings']['latency_max_ms'] == 80
    running = wait_until(lambda: api.stream_is(stream, 'running'), 'the stream to run')
    assert running['status']['latency_ms']['target'] == 80
    api.delete(stream['stream_uri'])
    for given, pointer, says in (({'latency_min_ms': 300, 'latency_max_ms': 200}, '/settings/latency_min_ms', '200 is the most'),
                                 ({'latency_max_ms': 8}, '/settings/latency_max_ms', '20 ms is the least'),
                                 ({'latency_min_ms': 4}, '/settings/latency_min_ms', '5')):
        outside = {'media_uri': 'rtp+rs8m://127.0.0.1:9', 'repair_uri': 'rs8m://127.0.0.1:10'}
        problem = api.problem(400, 'POST', '/streams', stream_spec(source, outside, **given))
        assert pointer in [e['pointer'] for e in problem['errors']] and says in str(problem), problem

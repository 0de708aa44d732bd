# SPDX-License-Identifier: MPL-2.0
"""Packets from strangers at full speed, while a stream runs: nothing crashes, and the sound goes on."""
import random
import socket
import struct
import threading

import pytest

from support.net import roc_uris, udp_ports
from support.wait import wait_until

# An RTCP sender report without SDES: 28 bytes that end any program that gives them to libroc 0.4.
DEADLY = struct.pack('>BBHIIIIII', 0x80, 200, 6, 0xDEADBEEF, 0xE0000000, 0, 0, 1, 1)
assert len(DEADLY) == 28


def rtp(rng, payload_type=None):
    return struct.pack('>BBHII', 0x80, rng.choice([10, 11, 96, 97, 98]) if payload_type is None else payload_type,
                       rng.randrange(65536), rng.randrange(2**32), rng.randrange(2**32)) + rng.randbytes(rng.choice([4, 480, 966, 1300]))


def rtcp(rng):
    ssrc = rng.randrange(2**32)
    cname = rng.choice([b'', b'a', b'x' * 255])
    item = bytes([1, len(cname)]) + cname
    chunk = struct.pack('>I', ssrc) + item
    chunk += b'\0' * (4 - len(chunk) % 4)
    sdes = struct.pack('>BBH', 0x81, 202, len(chunk) // 4) + chunk
    report = struct.pack('>BBHI', 0x80, 201, 1, ssrc)
    return rng.choice([report + sdes, sdes, DEADLY, DEADLY + sdes, sdes + DEADLY])


def captured(daemon, fec):
    """Real packets, to be mutated: what a daemon sends to three sockets of ours."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
        s.settimeout(30)
    stream = daemon.api.stream(daemon.api.tone(), roc_uris([s.getsockname()[1] for s in sockets], fec), fec=fec)
    packets = [[s.recv(2048) for _ in range(n)] for s, n in zip(sockets, (40, 20 if fec != 'none' else 0, 3))]
    daemon.api.delete(stream['stream_uri'])
    for s in sockets:
        s.close()
    return packets


def mutated(rng, packet):
    packet = bytearray(packet)
    for _ in range(rng.randrange(1, 6)):
        kind = rng.randrange(5)
        if kind == 0 and packet:
            packet[rng.randrange(len(packet))] = rng.randrange(256)
        elif kind == 1 and packet:
            packet[rng.randrange(min(len(packet), 16))] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del packet[rng.randrange(len(packet) + 1):]
        elif kind == 3:
            packet += rng.randbytes(rng.randrange(64))
        elif packet:
            at = rng.randrange(len(packet))
            packet[at:at + rng.randrange(8)] = rng.choice([b'', b'\xff\xff', b'\0\0\0\0'])
    return bytes(packet[:1500])


@pytest.fixture
def playing(daemons):
    """A listens, b sends to it, and a plays it."""
    a, b = daemons('a'), daemons('b')

    def start(fec='rs8m', **more):
        ports = udp_ports(3)
        into = a.api.stream({**roc_uris(ports, fec), **more}, a.api.sink(), fec=fec, target_latency_ms=200)
        wait_until(lambda: a.api.stream_is(into, 'connecting'), 'a to listen')
        b.api.stream(b.api.tone(level_dbfs=-10), roc_uris(ports, fec), fec=fec, target_latency_ms=200)
        wait_until(lambda: a.api.stream_is(into, 'running', 'degraded'), 'the sound')
        return a, b, into, ports
    return start


def status(daemon, stream):
    return daemon.api.get(stream['stream_uri'])['status']


def still_sounds(daemon, stream):
    before = status(daemon, stream)['packets']['received']
    wait_until(lambda: status(daemon, stream)['packets']['received'] > before + 20, 'good packets to go on coming')
    wait_until(lambda: max(status(daemon, stream)['level_dbfs'], default=-120) > -20, 'sound')
    assert status(daemon, stream)['state'] in ('running', 'degraded')
    assert status(daemon, stream)['restarts'] == 0


def test_the_deadly_packet(playing):
    a, _, into, ports = playing()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for port in ports:
            for _ in range(50):
                s.sendto(DEADLY, ('127.0.0.1', port))
    wait_until(lambda: status(a, into)['packets']['rejected'] > 0, 'it to be counted')
    still_sounds(a, into)


def test_the_deadly_packet_before_any_sound(daemon):
    ports = udp_ports(3)
    into = daemon.api.stream(roc_uris(ports), daemon.api.sink())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        def is_counted():  # `connecting` does not tell whether it listens yet
            for port in ports:
                s.sendto(DEADLY, ('127.0.0.1', port))
            return status(daemon, into)['packets']['rejected'] > 0
        wait_until(is_counted, 'it to be counted')
    daemon.assert_alive()


@pytest.mark.slow
@pytest.mark.parametrize('fec', ['rs8m', 'ldpc', 'none'])
def test_mutated_packets_at_full_speed(playing, fec):
    a, b, into, ports = playing(fec)
    real = captured(b, fec)
    rng = random.Random(f'mutated {fec}')
    n = 100_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for i in range(n):
            which = i % 3
            if rng.random() < 0.2 or not real[which]:
                packet = mutated(rng, rtcp(rng) if which == 2 else rtp(rng))
            else:
                packet = mutated(rng, rng.choice(real[which]))
            s.sendto(packet, ('127.0.0.1', ports[which if real[which] or which != 1 else 0]))
            if i % 10_000 == 0:
                a.assert_alive()
    a.assert_alive()
    assert status(a, into)['packets']['rejected'] > 0
    still_sounds(a, into)


def test_two_hundred_strangers_get_no_session(playing):
    """Each with an SSRC and an address of its own, and packets that are right in themselves."""
    a, b, into, ports = playing('none')
    real = captured(b, 'none')[0]
    rng = random.Random(200)
    cpu = _cpu(a)
    for _ in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            ssrc = rng.randrange(2**32)
            for packet in real[:20]:
                s.sendto(packet[:8] + struct.pack('>I', ssrc) + packet[12:], ('127.0.0.1', ports[0]))
    still_sounds(a, into)
    assert status(a, into)['packets']['rejected'] > 1000
    assert _cpu(a) - cpu < 10


def test_allowed_sources_keep_others_out(daemons):
    a, b = daemons('a'), daemons('b')
    ports = udp_ports(3)
    into = a.api.stream({**roc_uris(ports), 'allowed_sources': ['192.0.2.1']}, a.api.sink())
    wait_until(lambda: a.api.stream_is(into, 'connecting'), 'a to listen')
    b.api.stream(b.api.tone(), roc_uris(ports))
    wait_until(lambda: status(a, into)['packets']['rejected'] > 50, 'packets to be refused')
    now = status(a, into)
    assert now['packets']['received'] == 0 and now['state'] != 'running'
    a.api.patch(into['stream_uri'], {'source': {'allowed_sources': ['127.0.0.1']}})
    wait_until(lambda: a.api.stream_is(into, 'running'), 'sound, once the sender is allowed')


def test_feedback_is_gated_too(daemon):
    """The sending side listens for RTCP from the receiver: what comes there must be as harmless."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for s in sockets:
        s.bind(('127.0.0.1', 0))
        s.settimeout(30)
    stream = daemon.api.stream(daemon.api.tone(), roc_uris([s.getsockname()[1] for s in sockets]))
    rng = random.Random(3)
    addresses = {s.recvfrom(2048)[1] for s in sockets}
    stop = threading.Event()

    def answer():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            while not stop.is_set():
                for address in addresses:
                    sockets[2].sendto(mutated(rng, rtcp(rng)), address)
                    stranger.sendto(DEADLY, address)
                    sockets[2].sendto(DEADLY, address)
    thread = threading.Thread(target=answer)
    thread.start()
    before = status(daemon, stream)['packets']['sent']
    wait_until(lambda: status(daemon, stream)['packets']['sent'] > before + 400, 'it to go on sending')
    stop.set()
    thread.join()
    daemon.assert_alive()
    for s in sockets:
        s.close()


def _cpu(daemon):
    with open(f'/proc/{daemon.process.pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100

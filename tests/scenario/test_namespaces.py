# SPDX-License-Identifier: MPL-2.0
"""Three daemons on three hosts of a network: sound from a to b, commanded at c, sealed; and what is left of it when each
of them is killed or cut off in turn. Real ZeroMQ and real UDP between network namespaces."""
import pytest

from support import wav
from support.netns import Switch
from support.site import Site
from support.wait import wait_until

NAMES = ('a', 'b', 'c')
TARGET_MS = 200
LEASE_S = 15


@pytest.fixture
def site(workdir):
    switch = Switch()
    try:
        site = Site(workdir, NAMES, {name: switch.host() for name in NAMES})
        site.switch = switch
        yield site.start()
        site.close()
    finally:
        switch.close()


def connect(site):
    """All of it asked at c."""
    api = site.api('c')
    original = wav.telltale(48000, 5)
    wav.write(site.daemons['a'].media_dir / 'song.wav', original, 48000)
    song = api.post(f"/peers/{site.uids['a']}/endpoints",
                    {'kind': 'file', 'file': {'name': 'song.wav', 'mode': 'play', 'loop': True}})
    take = api.post(f"/peers/{site.uids['b']}/endpoints", {'kind': 'file', 'file': {'name': 'take.wav', 'mode': 'record'}})
    return original, song, take, api.stream(song, take, target_latency_ms=TARGET_MS)


def sounds(site, stream, at='b'):
    return site.api(at).stream_is(stream, 'running')


def received(site, stream):
    return site.api('b').get(stream['stream_uri'])['status']['packets']['received']


def comes_through(site, stream):
    """More sound arrives now than did a moment ago."""
    before = received(site, stream)
    wait_until(lambda: sounds(site, stream) and received(site, stream) > before + 50, 'sound to come through', deadline=60)


def senders(site):
    """How many streams a's song is played for: what would be half-open, seen at the source."""
    return sum(e['status']['active_streams'] for e in site.api('a').get('/peers/self/endpoints'))


def test_sound_is_sealed(site):
    original, _, _, stream = connect(site)
    wait_until(lambda: sounds(site, stream), 'b to hear', deadline=60)
    # UDP over IPv4 from a to b: Ethernet 14, IP 20, UDP 8
    a, b = (bytes(map(int, site.hosts[name].address.split('.'))) for name in ('a', 'b'))

    def of_sound(frames):
        return [f[42:] for f in list(frames) if f[12:14] == b'\x08\x00' and f[23] == 17 and f[26:30] == a and f[30:34] == b]

    with site.switch.captured() as frames:
        wait_until(lambda: len(of_sound(frames)) > 100, 'sound to be captured', deadline=60)
    sound = of_sound(frames)
    pcm = (original * 32767).round().astype('>i2').tobytes()
    pieces = {pcm[i:i + 8] for i in range(0, len(pcm) - 8, 4)} - {bytes(8)}
    assert not any(bytes(f[i:i + 8]) in pieces for f in sound[:50] for i in range(0, len(f) - 8)), 'sound in the clear'
    histogram = [0] * 256
    for byte in b''.join(f[9:] for f in sound):
        histogram[byte] += 1
    mean = sum(histogram) / 256
    assert max(histogram) < mean * 1.5 and min(histogram) > mean / 1.5, 'not all bytes are alike: is it sealed?'
    # What was recorded is the song.
    take = wait_until(lambda: next((p for p in site.daemons['b'].media_dir.glob('take*.wav') if wav.seconds(p) > 4), None),
                      '4 s of sound', deadline=60)
    site.api('c').delete(stream['stream_uri'])
    wait_until(lambda: senders(site) == 0, 'a to stop sending')
    heard = wav.sound(wav.read(take)[0])
    fits = wav.correlations(heard[:, 0], original[:, 0], loop=True, skip=4096)
    assert sum(f > 0.9 for f in fits) > len(fits) * 0.7, fits


@pytest.mark.parametrize('who', NAMES)
def test_kill_9_and_sound_returns(site, who):
    *_, stream = connect(site)
    wait_until(lambda: sounds(site, stream), 'b to hear', deadline=60)
    site.daemons[who].kill()
    site.daemons[who].start()
    comes_through(site, stream)
    wait_until(site.all_online, 'all peers to be online again', deadline=60)
    wait_until(lambda: senders(site) == 1, 'one stream to take the song')
    site.api('c').delete(stream['stream_uri'])
    wait_until(lambda: senders(site) == 0, 'a to stop sending')
    wait_until(lambda: not any(site.api(name).get('/streams') for name in NAMES), 'all to forget the stream')


@pytest.mark.parametrize('who', NAMES)
def test_cut_off_and_sound_returns(site, who):
    *_, stream = connect(site)
    wait_until(lambda: sounds(site, stream), 'b to hear', deadline=60)
    site.hosts[who].unplug()
    try:
        if who == 'c':  # the commander is not needed any more
            comes_through(site, stream)
        else:
            wait_until(lambda: not sounds(site, stream), 'b to notice', deadline=60)
            wait_until(lambda: senders(site) == 0, 'the lease to end', deadline=LEASE_S + 60)
    finally:
        site.hosts[who].plug()
    comes_through(site, stream)
    wait_until(site.all_online, 'all peers to be online again', deadline=90)
    wait_until(lambda: senders(site) == 1, 'one stream to take the song')


def test_deleted_while_cut_off_nothing_stays(site):
    *_, stream = connect(site)
    wait_until(lambda: sounds(site, stream), 'b to hear', deadline=60)
    site.hosts['a'].unplug()
    site.api('c').delete(stream['stream_uri'])
    wait_until(lambda: senders(site) == 0, 'the lease to end', deadline=LEASE_S + 60)
    site.hosts['a'].plug()
    wait_until(site.all_online, 'all peers to be online again', deadline=90)
    assert senders(site) == 0 and not any(site.api(name).get('/streams') for name in NAMES)

# SPDX-License-Identifier: MPL-2.0
"""Network namespaces of a test's own: hosts on one switch, each with an address, which can be unplugged. They live in a
user namespace, so that nobody need be root, and end with the processes that hold them."""
import contextlib
import struct
import subprocess
import threading

# Everything that passes the switch, each frame behind its length.
CAPTURE = """
import socket, struct, sys
ETH_P_ALL, SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 3, 263, 1, 1
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
s.bind(('switch', 0))
s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP,
             struct.pack('IHH8s', socket.if_nametoindex('switch'), PACKET_MR_PROMISC, 0, b''))
out = sys.stdout.buffer
out.write(b'go\\n')
out.flush()
while True:
    frame = s.recv(65536)
    out.write(struct.pack('I', len(frame)) + frame)
    out.flush()
"""


class Host:
    """A network namespace with eth0 on the switch."""

    def __init__(self, switch, n):
        self.switch = switch
        self.n = n
        self.address = f'10.77.0.{n}'
        self.holder = _hold(switch.enter() + ['unshare', '--net'])
        switch.run('ip', 'link', 'add', f'port{n}', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', str(self.holder.pid))
        switch.run('ip', 'link', 'set', f'port{n}', 'master', 'switch', 'up')
        self.run('ip', 'link', 'set', 'lo', 'up')
        self.run('ip', 'address', 'add', f'{self.address}/24', 'dev', 'eth0')
        self.run('ip', 'link', 'set', 'eth0', 'up')

    def enter(self):
        """What to put before a command that shall run here."""
        return ['nsenter', '--preserve-credentials', '-t', str(self.holder.pid), '--user', '--net']

    def run(self, *command):
        return subprocess.run([*self.enter(), *command], check=True, capture_output=True, text=True).stdout

    def unplug(self):
        self.switch.run('ip', 'link', 'set', f'port{self.n}', 'down')

    def plug(self):
        self.switch.run('ip', 'link', 'set', f'port{self.n}', 'up')

    def close(self):
        _end(self.holder)


class Switch:
    def __init__(self):
        self.holder = _hold(['unshare', '--user', '--map-root-user', '--net'])
        self.hosts = []
        self.run('ip', 'link', 'add', 'switch', 'type', 'bridge')
        self.run('ip', 'link', 'set', 'switch', 'up')

    def enter(self):
        return ['nsenter', '--preserve-credentials', '-t', str(self.holder.pid), '--user', '--net']

    def run(self, *command):
        return subprocess.run([*self.enter(), *command], check=True, capture_output=True, text=True).stdout

    def host(self):
        self.hosts.append(Host(self, len(self.hosts) + 1))
        return self.hosts[-1]

    @contextlib.contextmanager
    def captured(self):
        """A list that fills with the frames that pass the switch, until the block ends."""
        frames = []
        process = subprocess.Popen([*self.enter(), '/usr/bin/python3', '-c', CAPTURE], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b'go\n'

        def read():
            while len(head := process.stdout.read(4)) == 4:
                frames.append(process.stdout.read(struct.unpack('I', head)[0]))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield frames
        finally:
            process.terminate()
            process.wait()
            reader.join()
            process.stdout.close()

    def close(self):
        for host in self.hosts:
            host.close()
        _end(self.holder)


def _hold(command):
    """A process that does nothing but hold its namespaces; it ends when its input is closed."""
    process = subprocess.Popen([*command, 'sh', '-c', 'echo up; exec cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'up\n', f'{command} did not make a namespace'
    return process


def _end(process):
    process.stdin.close()
    process.wait()
    process.stdout.close()

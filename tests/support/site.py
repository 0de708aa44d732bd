# SPDX-License-Identifier: MPL-2.0
"""Daemons that know each other: a site of peers, on loopback or on hosts of support.netns."""
import itertools
import os
import socket

from support.daemon import Daemon
from support.wait import wait_until

_worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw') or 0)
# Below the ports that the kernel hands out and above those of support.net; each test worker has its own part.
_ports = itertools.cycle(range(30000 + 250 * (_worker % 10), 30000 + 250 * (_worker % 10) + 247))
for _ in range(os.getpid() * 31 % 247):
    next(_ports)


def free_port():
    """For TCP and UDP on loopback."""
    for port in _ports:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tcp.bind(('127.0.0.1', port))
                udp.bind(('127.0.0.1', port))
            except OSError:
                continue
        return port


class Site:
    """`roles`: {(at, who): role} where it is not admin; None: `at` does not list `who`."""

    def __init__(self, directory, names=('a', 'b', 'c'), hosts=None, roles=None, args=()):
        self.names = tuple(names)
        self.hosts = hosts or {}
        self.roles = dict(roles or {})
        self.daemons = {name: Daemon(directory / name, name, args=args, host=self.hosts.get(name)) for name in self.names}
        self.addresses = {name: f'{self.hosts[name].address}:4041' if name in self.hosts else f'127.0.0.1:{free_port()}'
                          for name in self.names}
        self.ids = {name: self._id(daemon) for name, daemon in self.daemons.items()}
        self.uids = {}
        for name in self.names:
            self.configure(name)

    @staticmethod
    def _id(daemon):
        done = daemon.run('--state-dir', daemon.state_dir, '--print-id')
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def configure(self, name):
        """Writes the configuration; it holds from the next start."""
        daemon = self.daemons[name]
        peers = ''
        for other in self.names:
            role = self.roles.get((name, other), 'admin')
            if other != name and role:
                peers += f'    - id: {self.ids[other]}\n      address: {self.addresses[other]}\n      role: {role}\n'
        own = '' if name in self.hosts else (f'signaling:\n  address: {self.addresses[name]}\n'
                                             f'media:\n  address: {self.addresses[name]}\n')
        daemon.config_path = daemon.directory / 'rocd.yaml'
        daemon.config_path.write_text(f'name: {name}\n{own}' + (f'site:\n  peers:\n{peers}' if peers else ''))

    def start(self):
        for name in self.names:
            self.start_one(name)
        wait_until(self.all_online, 'all peers to be online everywhere', deadline=60)
        return self

    def start_one(self, name):
        self.daemons[name].start()
        self.uids[name] = self.api(name).get('/peers/self')['peer_uid']

    def api(self, name):
        return self.daemons[name].api

    def all_online(self):
        return all(p['state'] == 'online' for name in self.names for p in self.api(name).get('/peers'))

    def close(self):
        failures = []
        for daemon in self.daemons.values():
            try:
                daemon.finish()
            except AssertionError as e:
                failures.append(e)
        if failures:
            raise failures[0]

# SPDX-License-Identifier: MPL-2.0
"""Ports for programs that cannot pick their own (roc-send, roc-recv). The range lies below the one the kernel hands out
by itself, and each test worker has its own part of it."""
import itertools
import os
import socket

_worker = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0').removeprefix('gw') or 0)
_next = itertools.cycle(range(20000 + 1000 * (_worker % 10), 20000 + 1000 * (_worker % 10) + 997))
for _ in range(os.getpid() * 31 % 900):  # two runs at the same time begin at different places
    next(_next)


def is_free(port, host='127.0.0.1'):
    with socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind((host, port))
        except OSError:
            return False
    return True


def udp_ports(n, host='127.0.0.1'):
    found = []
    for port in _next:
        if port not in found and is_free(port, host):
            found.append(port)
        if len(found) == n:
            return found


def roc_uris(ports, fec='rs8m', host='127.0.0.1'):
    """{media_uri, repair_uri, control_uri} at three ports."""
    host = f'[{host}]' if ':' in host else host
    uris = {'media_uri': f"rtp{'' if fec == 'none' else '+' + fec}://{host}:{ports[0]}"}
    if fec != 'none':
        uris['repair_uri'] = f'{fec}://{host}:{ports[1]}'
    uris['control_uri'] = f'rtcp://{host}:{ports[2]}'
    return uris

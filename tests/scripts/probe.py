"""Tries to reach addresses in every way an unprivileged process has. Arguments: ADDRESS,PORT…

Prints one line for each way that worked: `WAY ADDRESS PORT`. Datagrams are only sent; who listens knows if they came.
"""

import concurrent.futures
import os
import socket
import sys

WAIT = 2.0
devices = [name for _, name in socket.if_nameindex()]


def connect(way, address, port, prepare):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tcp:
            tcp.settimeout(WAIT)
            prepare(tcp)
            tcp.connect((address, port))
            return f"{way} {address} {port}"
    except OSError:
        return None


def send(address, port, prepare):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            prepare(udp)
            udp.sendto(b"probe", (address, port))
    except OSError:
        pass


def bind_to(device):
    # Needs no capability since Linux 5.7, and makes every address look like a neighbour.
    return lambda tcp: tcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())


jobs = []
with concurrent.futures.ThreadPoolExecutor(256) as pool:
    for target in sys.argv[1:]:
        address, port = target.rsplit(",", 1)
        ways = [("plain", lambda tcp: None)] + [(f"bound-to-{device}", bind_to(device)) for device in devices]
        for way, prepare in ways:
            # A neighbour of a link-local address needs the link's name as well.
            scoped = [f"{address}%{device}" for device in devices] if address.startswith("fe80") else [address]
            for one in scoped:
                jobs.append(pool.submit(connect, way, one, int(port), prepare))
                jobs.append(pool.submit(send, one, int(port), prepare))
for job in jobs:
    if job.result():
        print(job.result())

"""A service on every address of the host, TCP and UDP on one port. Prints `port N`, then a line for each contact."""

import socket
import threading

tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
port = tcp.getsockname()[1]
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
udp.bind(("::", port))
print(f"port {port}", flush=True)


def datagrams():
    while True:
        text, peer = udp.recvfrom(100)
        print(f"contact udp {peer[0]} {text!r}", flush=True)


threading.Thread(target=datagrams, daemon=True).start()
while True:
    connection, peer = tcp.accept()
    print(f"contact tcp {peer[0]}", flush=True)
    connection.close()

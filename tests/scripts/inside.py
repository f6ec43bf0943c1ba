"""Tries what no agent may do from inside its container: forge packets, make namespaces, mount, load, trace, raise limits,
write what is ours or the kernel's.

Prints one line for each that worked, and at the end how many were tried.
"""

import ctypes
import os
import resource
import socket
import struct
import subprocess
import time

libc = ctypes.CDLL(None, use_errno=True)
tried = 0


def attempt(name, action):
    """`action` raises OSError, or returns something false, when the way is closed."""
    global tried
    tried += 1
    try:
        got = action()
    except (OSError, ValueError, subprocess.SubprocessError):
        return
    if got is not False:
        print(name)


def call(number, *words):
    # By number: a library may refuse by itself what the kernel would do.
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def in_child(action):
    """What would change this process is tried in another."""

    def run():
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if action() is not False else 1)
            except BaseException:
                os._exit(1)
        return os.waitpid(pid, 0)[1] == 0

    return run


def number(x86, arm):
    return x86 if os.uname().machine == "x86_64" else arm


# Packets and families that pass a fence made of routes.
for name, family, kind, protocol in [
    ("packet socket", 17, socket.SOCK_RAW, socket.htons(3)),
    ("packet datagrams", 17, socket.SOCK_DGRAM, socket.htons(3)),
    ("raw IPv4", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    ("raw IPv4 with header", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    ("raw IPv6", socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
    ("vsock", 40, socket.SOCK_STREAM, 0),
    ("vsock datagrams", 40, socket.SOCK_DGRAM, 0),
    ("XDP", 44, socket.SOCK_RAW, 0),
    ("PF_KEY", 15, socket.SOCK_RAW, 2),
]:
    attempt(name, lambda: socket.socket(family, kind, protocol).close())


def netlink(message, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        link.send(struct.pack("=LHHLL", 16 + len(body), message, flags | 5, 1, 0) + body)
        return struct.unpack_from("=i", link.recv(4096), 16)[0] == 0


NEW, CREATE = 0x400 | 0x200, 0x400
veth = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + struct.pack("=HH8s", 12, 3, b"way\0") + struct.pack(
    "=HHHH8s", 16, 18, 12, 1, b"dummy\0"
)
attempt("a new interface", lambda: netlink(16, NEW, veth))
address = struct.pack("=BBBBi", 2, 24, 0, 0, 1) + struct.pack("=HH4s", 8, 2, bytes([10, 9, 9, 9]))
attempt("a new address", lambda: netlink(20, NEW, address))
route = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 253, 1, 0) + struct.pack("=HHi", 8, 4, 1)
attempt("a default route", lambda: netlink(24, NEW, route))


def option(level, name, value):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
        tcp.setsockopt(level, name, value)


attempt("transparent sockets", lambda: option(socket.SOL_IP, 19, 1))
attempt("marks", lambda: option(socket.SOL_SOCKET, 36, 1))

# Namespaces, mounts, and what would widen them.
for name, flag in [
    ("user", 0x10000000),
    ("network", 0x40000000),
    ("mount", 0x20000),
    ("process", 0x20000000),
    ("host name", 0x4000000),
    ("ipc", 0x8000000),
    ("cgroup", 0x2000000),
]:
    attempt(f"a new {name} namespace", in_child(lambda: call(number(272, 97), flag)))
    both = 0x10000000 | flag
    attempt(f"a new {name} and user namespace", in_child(lambda: call(number(272, 97), both)))
    clone3 = struct.pack("=QQQQQQQQ", both, 0, 0, 0, 17, 0, 0, 0)
    attempt(f"clone3 into a {name} namespace", in_child(lambda: call(435, clone3, len(clone3))))
attempt("another's namespace", in_child(lambda: call(number(308, 268), os.open("/proc/1/ns/net", os.O_RDONLY), 0)))
mount = number(165, 40)
attempt("a mount", in_child(lambda: call(mount, b"none", b"/tmp", b"tmpfs", 0, b"")))
attempt("a bind mount", in_child(lambda: call(mount, b"/etc", b"/agentnet/bin", b"", 4096, b"")))
attempt("a mount made writable", in_child(lambda: call(mount, b"", b"/agentnet/bin", b"", 4096 | 32, b"")))
attempt("an unmounted .git", in_child(lambda: call(number(166, 39), b"/workspace/.git", 2)))
attempt("an unmounted gate", in_child(lambda: call(number(166, 39), b"/agentnet/bin", 2)))
attempt("fsopen", in_child(lambda: call(430, b"tmpfs", 0)))
attempt("open_tree", in_child(lambda: call(428, -100, b"/agentnet/bin", 1)))
attempt("mount_setattr", in_child(lambda: call(442, -100, b"/agentnet/bin", 0, bytes(32), 32)))
attempt("pivot_root", in_child(lambda: call(number(155, 41), b"/", b"/")))
attempt("chroot", in_child(lambda: os.chroot("/tmp")))

# The kernel's own doors.
attempt("bpf", lambda: call(number(321, 280), 0, bytes(72), 72))
attempt("perf_event_open", lambda: call(number(298, 241), bytes(128), 0, -1, -1, 0))
attempt("io_uring", lambda: call(425, 8, bytes(120)))
attempt("add_key", lambda: call(number(248, 217), b"user", b"agentnet", b"x", 1, -3))
attempt("keyctl", lambda: call(number(250, 219), 0, -3, 1))
attempt("userfaultfd", lambda: call(number(323, 282), 0))
attempt("init_module", lambda: call(number(175, 105), bytes(8), 8, b""))
attempt("kexec_load", lambda: call(number(246, 104), 0, 0, 0, 0))
attempt("open_by_handle_at", lambda: call(number(304, 265), 3, bytes(16), 0))
# To what it is: where this works, the machine is none the worse for it.
attempt("a clock that is set", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
attempt("a host name", in_child(lambda: socket.sethostname("way")))
attempt("another user", in_child(lambda: os.setuid(0)))
attempt("another group", in_child(lambda: os.setgroups([0])))
attempt("a device", lambda: os.mknod("/tmp/way", 0o20666, os.makedev(1, 1)))


def capable():
    with open("/tmp/capable", "w"):
        pass
    os.setxattr("/tmp/capable", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))


attempt("a program with capabilities", capable)


def write(path, text):
    def run():
        with open(path, "r+b", buffering=0) as file:
            file.write(text)

    return run


def opened(path):
    # Nothing is written: where this works, the machine is none the worse for it.
    return lambda: os.close(os.open(path, os.O_WRONLY))


# The kernel's files.
for path in [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/disable_ipv6",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/pids.max",
    "/sys/fs/cgroup/release_agent",
]:
    attempt(f"{path} written", opened(path))
attempt("a cgroup of its own", lambda: os.mkdir("/sys/fs/cgroup/way"))
for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/net/tun", "/dev/kvm"]:
    attempt(f"{path} read", lambda: bool(open(path, "rb").read(1)))

# Limits.
for name in ["NOFILE", "CORE"]:
    kind = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(kind)[1]
    attempt(f"{name} raised", lambda: hard < 0 or resource.setrlimit(kind, (hard + 1, hard + 1)))
attempt("a core for the host's handler", lambda: resource.getrlimit(resource.RLIMIT_CORE)[1] != 1)
attempt("a better place in the queue", lambda: os.nice(-1))
attempt("real time", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
attempt("never killed for memory", write("/proc/self/oom_score_adj", b"-1000"))

# What is ours in the container.
for path in [
    "/agentnet/bin/agentnet-gate",
    "/workspace/.git",
    "/etc/ssh/ssh_config.d/00-agentnet.conf",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/agentnet/git/objects/info/alternates",
]:
    attempt(f"{path} written", lambda: os.path.lexists(path) and write(path, b"")())
    attempt(f"{path} removed", lambda: os.unlink(path))
    attempt(f"{path} replaced", lambda: os.rename("/tmp/capable", path))
for directory in ["/agentnet", "/agentnet/bin", "/agentnet/notify/in", "/agentnet/objects/0", "/agentnet/secrets", "/etc/ssh/ssh_config.d"]:
    attempt(f"a file in {directory}", lambda: os.close(os.open(f"{directory}/way", os.O_CREAT | os.O_WRONLY)))
for name in ["/workspace", "/agentnet/bin", "/agentnet/git", "/agentnet/notify/out"]:
    attempt(f"{name} moved", lambda: os.rename(name, f"{name}.gone"))

# What leaked: descriptors of whoever started us, abstract sockets of others, an engine's socket.
for pid in ["1", "self"]:
    leaked = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            what = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if int(fd) > 2 and not what.startswith("/proc/"):
            leaked.append(f"{fd} {what}")
    attempt(f"descriptors of {pid}: {leaked}", lambda: bool(leaked))
strange = [line.split()[-1] for line in open("/proc/net/unix") if "@" in line]
attempt(f"abstract sockets {strange}", lambda: bool(strange))
for path in ["/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock"]:
    attempt(f"{path} is there", lambda: os.path.exists(path))
status = dict(line.split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
for field, value in [("CapEff", 0), ("CapPrm", 0), ("CapBnd", 0), ("CapInh", 0), ("CapAmb", 0)]:
    attempt(f"{field} {status[field].strip()}", lambda: int(status[field], 16) != value)
attempt("new privileges", lambda: status["NoNewPrivs"].strip() != "1")
attempt("system calls without a filter", lambda: status["Seccomp"].strip() != "2")
print(f"tried {tried}")

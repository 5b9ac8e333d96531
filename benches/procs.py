"""CPU time and memory of process trees, listening sockets, quiet cores."""

import atexit
import glob
import os
import socket
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")


def proc_stat(pid):
    """(ppid, own ticks, reaped children's ticks) or None"""
    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def tree(root):
    parents = {}
    for path in glob.glob("/proc/[0-9]*"):
        pid = int(path[6:])
        stat = proc_stat(pid)
        if stat:
            parents.setdefault(stat[0], []).append(pid)
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(parents.get(pid, []))
    return found


def tree_cpu(root):
    """CPU seconds of a process and all its descendants, ended and reaped ones included."""
    total = 0
    for pid in tree(root):
        stat = proc_stat(pid)
        if stat:
            total += stat[1] + stat[2]
    return total / TICK


def memory(root):
    """(RSS, PSS) of a process and its descendants, in KiB. PSS divides shared pages among their holders."""
    rss = pss = 0
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Rss:"):
                        rss += int(line.split()[1])
                    elif line.startswith("Pss:"):
                        pss += int(line.split()[1])
        except OSError:
            pass
    return rss, pss


def machine_cpu():
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    idle = fields[3] + fields[4]
    steal = fields[7]
    return (sum(fields[:8]) - idle - steal) / TICK, steal / TICK


def listener_pid(port):
    """The process that listens on a local port: for CPU accounting of a server we did not start."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for path in glob.glob("/proc/[0-9]*"):
        try:
            for fd in os.listdir(path + "/fd"):
                if os.readlink(f"{path}/fd/{fd}") in inodes:
                    return int(path[6:])
        except OSError:
            pass
    return None


def wait_port(port, host="127.0.0.1", seconds=30, proc=None):
    """Waits until something listens there, or the process that should has ended."""
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            if proc and proc.poll() is not None:
                break
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on {host}:{port}"
                     + (f": {' '.join(proc.args[:2])} ended with {proc.returncode}" if proc and proc.returncode is not None
                        else f" after {seconds} s"))


def join_cgroup(name="larder-bench"):
    """Puts this process and all it starts into one cpu cgroup with the largest weight, so that
    other work on the machine takes next to nothing from a saturated run.  It also evens out
    the kernel's autogroups, which otherwise give each PostgreSQL backend (a session of its own)
    as much CPU as a whole proxy."""
    for root, knob, value in (("/sys/fs/cgroup/cpu", "cpu.shares", "262144"),
                              ("/sys/fs/cgroup", "cpu.weight", "10000")):
        path = os.path.join(root, name)
        try:
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, knob), "w") as f:
                f.write(value)
            with open(os.path.join(path, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))
            return
        except OSError as e:
            error = e
    raise SystemExit(f"--cgroup: {error}")


def spinners():
    """One endless loop of the lowest class per core: it keeps the cores from halting.  Without
    it a run with one client mostly measures how long a virtual machine's core takes to wake."""
    procs = []
    for cpu in os.sched_getaffinity(0):
        code = ("import os\nos.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
                f"os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass")
        procs.append(subprocess.Popen([sys.executable, "-c", code]))
    atexit.register(lambda: [p.kill() for p in procs])
    return [p.pid for p in procs]

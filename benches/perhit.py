#!/usr/bin/env python3
"""What one hit costs a running Larder: system calls, instructions, locked instructions, allocations.

usage: perhit.py --larder target/release/larder [--hits N] [--only calls|instructions]

Starts a throw-away PostgreSQL and Larder with one worker in front, and lets one client ask for the same row again and
again, one request, one reply, in the three protocols. Larder's own counters must say that every read was a hit.

calls         strace -c on the running process: receives, sends, epoll_waits, futex calls (a lock that had to wait).
instructions  callgrind, between two readings: user-space instructions; how many of them are locked (each mutex is two,
              taken and released, waited for or not; each reference count is one), and where; calls of the allocator.

Needs postgresql, strace, valgrind, objdump (binutils); as root, or with ptrace allowed.
"""

import argparse
import collections
import glob
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from measure import Target
from peers import ROOT
from stack import Stack

ALLOCATOR = re.compile(r"^_?(malloc|calloc|realloc|posix_memalign|aligned_alloc|memalign"
                       r"|mi_(heap_)?(malloc|zalloc|calloc|realloc)\w*)(@@?\w+)?$")


def message(tag, body=b""):
    return tag + struct.pack("!i", len(body) + 4) + body


class Client:
    """A client that asks one thing at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = struct.pack("!i", 196608) + b"user\0bench\0database\0bench\0\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.answer()

    def answer(self):
        """Everything up to ReadyForQuery."""
        got = b""
        at = 0
        while True:
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise SystemExit(f"larder closed the connection: {got[:300]!r}")
            got += chunk
            while len(got) >= at + 5:
                size = 1 + struct.unpack_from("!i", got, at + 1)[0]
                if len(got) < at + size:
                    break
                if got[at:at + 1] == b"E":
                    raise SystemExit(f"error: {got[at:at + size]!r}")
                if got[at:at + 1] == b"Z" and len(got) == at + size:
                    return got
                at += size

    def ask(self, request):
        self.socket.sendall(request)
        return self.answer()


def protocols():
    """{name: (sent once, sent for each read)}, the messages pgbench sends."""
    text = b"SELECT abalance FROM pgbench_accounts WHERE aid = $1"
    value = struct.pack("!hhi", 0, 1, 1) + b"7" + struct.pack("!h", 0)

    def batch(parse, name):
        return ((message(b"P", name + b"\0" + text + b"\0\0\0") if parse else b"")
                + message(b"B", b"\0" + name + b"\0" + value) + message(b"D", b"P\0")
                + message(b"E", b"\0" + struct.pack("!i", 0)) + message(b"S"))

    return {
        "simple": (b"", message(b"Q", text.replace(b"$1", b"7") + b"\0")),
        "extended": (b"", batch(True, b"")),
        "prepared": (message(b"P", b"s1\0" + text + b"\0\0\0") + message(b"S"), batch(False, b"s1")),
    }


class Bench:
    """Larder with one worker, and a client on it."""

    def __init__(self, args, stack, wrapper=()):
        self.args = args
        self.port = stack.port + 60
        stack.start_larder("larder", 60, {
            "LARDER_SERVER__WORKERS": "1", "LARDER_CACHE__TTL": "1h", "LARDER_CACHE__MODE": "on",
            "LARDER_CATALOG__REFRESH": "1h"}, wrapper)
        self.pid = stack.pids["larder"]
        self.stack = stack
        self.target = Target("larder", "127.0.0.1", self.port, pid=self.pid, admin=self.port + 1)
        self.client = Client(self.port)

    def warm(self, once, each):
        """Asks until the answer comes from memory: the catalog may still be loading."""
        if once:
            self.client.ask(once)
        for _ in range(300):
            before = self.target.counters()
            first = self.client.ask(each)
            if self.target.counters().get("hit", 0) > before.get("hit", 0):
                for _ in range(100):
                    self.client.ask(each)
                return first
            time.sleep(0.1)
        raise SystemExit(f"no hit: {self.target.counters()}, bypasses:"
                         f" {self.target.counters('larder_bypass_total')}")

    def hits(self, count, each, expected):
        """Exactly that many hits, or the end."""
        before = self.target.counters()
        for _ in range(count):
            if self.client.ask(each) != expected:
                raise SystemExit("an answer differs from the first")
        after = self.target.counters()
        made = {k: v - before.get(k, 0) for k, v in after.items() if v != before.get(k, 0)}
        if made != {"hit": count}:
            raise SystemExit(f"{count} reads were not {count} hits: {made}")

    def stop(self):
        self.client.socket.close()
        for entry in [e for e in self.stack.procs if e[0] == "larder"]:
            entry[1].send_signal(signal.SIGTERM)
            entry[1].wait(60)
            self.stack.procs.remove(entry)


def strace(pid, action):
    """{system call: count} of the process while action runs. What reads the counters afterwards is not in it: the
    action is the reads alone."""
    out = tempfile.NamedTemporaryFile("r", suffix=".strace")
    tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out.name, "-p", str(pid)],
                              stderr=subprocess.PIPE, text=True)
    line = tracer.stderr.readline()
    if "attached" not in line:
        raise SystemExit("strace: " + line)
    time.sleep(0.5)
    action()
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    calls = {}
    for line in out:
        fields = line.split()
        if len(fields) in (5, 6) and re.match(r"[\d.]+$", fields[0]) and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3])
    return calls


def system_calls(args, stack):
    bench = Bench(args, stack)
    print(f"\n### System calls per hit ({args.hits} hits, one client; idle: the same time without any)\n")
    rows, names = {}, []
    for protocol, (once, each) in protocols().items():
        expected = bench.warm(once, each)
        before = bench.target.counters()
        started = time.time()
        calls = strace(bench.pid, lambda: [bench.client.ask(each) for _ in range(args.hits)])
        took = time.time() - started
        hits = bench.target.counters()["hit"] - before["hit"]
        if hits != args.hits or bench.client.ask(each) != expected:
            raise SystemExit(f"{protocol}: {args.hits} reads were {hits} hits")
        rows[protocol] = calls
    rows["idle"] = strace(bench.pid, lambda: time.sleep(took))
    names = sorted({n for calls in rows.values() for n in calls}, key=lambda n: -sum(c.get(n, 0) for c in rows.values()))
    print("| protocol | " + " | ".join(names) + " |\n|---|" + "---:|" * len(names))
    for protocol, calls in rows.items():
        print(f"| {protocol} | " + " | ".join(f"{calls.get(n, 0) / args.hits:.3f}" for n in names) + " |")
    bench.stop()


def locked_addresses(binary):
    """Addresses of locked instructions: with a lock prefix, or an exchange with memory."""
    out = subprocess.run(["objdump", "-d", "--no-show-raw-insn", binary], capture_output=True, text=True, check=True)
    found = set()
    for line in out.stdout.splitlines():
        address, colon, rest = line.strip().partition(":\t")
        if colon and (rest.startswith("lock ") or (rest.startswith("xchg ") and "(" in rest)):
            found.add(int(address, 16))
    return found


class Profile:
    """One callgrind dump: instructions by function, calls of the allocator, locked instructions by place."""

    def __init__(self, path, binary, locked):
        self.total = 0
        self.functions, self.locks = collections.Counter(), collections.Counter()
        self.allocations = 0
        self.names = {}
        address = line_number = 0
        file = function = called = ob = ""
        skip = False
        for line in open(path):
            line = line.rstrip("\n")
            key, equals, value = line.partition("=")
            if equals and key in ("fl", "fi", "fe", "fn", "cfn", "cfi", "cfl", "ob", "cob"):
                value = self.name(key, value)
                if key == "fn":
                    function = value
                elif key == "cfn":
                    called = value
                elif key in ("fl", "fi", "fe"):
                    file = value
                elif key == "ob":
                    ob = value
                continue
            if equals and key == "calls":
                if ALLOCATOR.match(called.split("'")[0]):
                    self.allocations += int(value.split()[0])
                skip = True
                # the line behind it is the cost of the calls, with positions to follow
            elif line[:1] in "0123456789+-*" and line:
                fields = line.split()
                address = self.position(fields[0], address)
                line_number = self.position(fields[1], line_number)
                if skip:
                    skip = False
                elif len(fields) > 2:
                    cost = int(fields[2])
                    self.total += cost
                    self.functions[function] += cost
                    if address in locked and ob.endswith(os.path.basename(binary)):
                        place = f"{function} ({short(file)}:{line_number})" if line_number else function
                        self.locks[place] += cost

    def name(self, key, value):
        """Names are written once and then referred to by number, each kind with numbers of its own."""
        kind = key[-2:] if key[-2:] in ("fn", "ob") else "file"
        m = re.match(r"\((\d+)\)(?: (.*))?$", value)
        if not m:
            return value
        if m[2]:
            self.names[kind, m[1]] = m[2]
        return self.names.get((kind, m[1]), "?")

    @staticmethod
    def position(text, last):
        if text == "*":
            return last
        if text[0] in "+-":
            return last + int(text, 0)
        return int(text, 0)


def short(path):
    """A path without the machine's part."""
    path = path.replace(ROOT + "/", "")
    path = re.sub(r".*/(registry/src/[^/]+|library)/", "", path)
    return re.sub(r"^/rustc/[0-9a-f]+/", "", path)


def control(pid, *words):
    subprocess.run(["callgrind_control", *words, str(pid)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=120)


def instructions(args, stack):
    locked = locked_addresses(args.larder)
    dumps = os.path.join(stack.dir, "callgrind")
    for old in glob.glob(dumps + "*"):
        os.unlink(old)
    bench = Bench(args, stack, ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-instr=yes",
                                "--compress-pos=yes", f"--callgrind-out-file={dumps}"])
    few, many = args.hits // 10, args.hits // 10 * 3
    print(f"\n### Instructions per hit (user space; {many - few} hits, the cost of {few} taken off that of {many})\n")
    print("| protocol | instructions | of them locked | allocator calls |\n|---|---:|---:|---:|")
    details = []
    for number, (protocol, (once, each)) in enumerate(protocols().items()):
        expected = bench.warm(once, each)
        profiles = []
        for count in (few, many):
            control(bench.pid, "--instr=on")
            bench.client.ask(each)  # noticed at the next turn of the loop
            control(bench.pid, "--zero")
            for _ in range(count):
                bench.client.ask(each)
            control(bench.pid, f"--dump={protocol}{count}")
            control(bench.pid, "--instr=off")
            path = max(glob.glob(dumps + ".*"), key=lambda p: int(p.rpartition(".")[2]))
            profiles.append(Profile(path, args.larder, locked))
        bench.hits(10, each, expected)
        a, b = profiles
        per = many - few
        locks = {k: (n - a.locks[k]) / per for k, n in b.locks.items()}
        print(f"| {protocol} | {(b.total - a.total) / per:,.0f} | {sum(locks.values()):.1f} |"
              f" {(b.allocations - a.allocations) / per:.2f} |", flush=True)
        top = collections.Counter({k: (n - a.functions[k]) / per for k, n in b.functions.items()})
        details.append((protocol, top.most_common(args.top), sorted(locks.items(), key=lambda kv: -kv[1])))
    for protocol, top, locks in details:
        print(f"\n{protocol}, instructions by function:\n")
        for name, cost in top:
            print(f"    {cost:8.1f}  {name}")
        print(f"\n{protocol}, locked instructions by place:\n")
        for name, cost in locks:
            if cost >= 0.05:
                print(f"    {cost:8.2f}  {name}")
    print("\n(pingora's and the runtime's own clock threads tick on by time, not by hit.)")
    bench.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--larder", required=True, metavar="BINARY")
    p.add_argument("--hits", type=int, default=20000)
    p.add_argument("--only", choices=("calls", "instructions"))
    p.add_argument("--top", type=int, default=12, help="functions shown (default: 12)")
    p.add_argument("--base-port", type=int, default=25532)
    p.add_argument("--workdir", default=os.path.join(tempfile.gettempdir(), "larder-perhit"))
    p.add_argument("--pgbin", default=next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)), "/usr/bin"))
    args = p.parse_args()
    args.larder = os.path.abspath(args.larder)
    args.scale = 1
    for tool, wanted in (("strace", "calls"), ("callgrind_control", "instructions"), ("objdump", "instructions")):
        if not shutil.which(tool) and args.only in (None, wanted):
            sys.exit(f"{tool} is missing")
    stack = Stack(args)
    stack.start_postgres()
    if args.only != "instructions":
        system_calls(args, stack)
    if args.only != "calls":
        instructions(args, stack)


if __name__ == "__main__":
    main()

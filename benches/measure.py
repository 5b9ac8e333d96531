"""One pgbench run against one target, and what it cost each process."""

import os
import re
import resource
import subprocess
import time
import urllib.request

from procs import machine_cpu, tree_cpu

WORKLOADS = {
    # one row out of a hot set of 1000 keys: what a cache can win on a cheap query
    "point": "\\set aid random(1, 1000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n",
    # 100 rows of about 100 bytes, 100 different pages
    "rows100": "\\set lo random(0, 99) * 100 + 1\n\\set hi :lo + 99\n"
               "SELECT aid, bid, abalance, filler FROM pgbench_accounts"
               " WHERE aid BETWEEN :lo AND :hi;\n",
    # one query over the whole table
    "agg": "SELECT bid, count(*), avg(abalance) FROM pgbench_accounts GROUP BY bid;\n",
}
LIMIT_PORT = {"point": 0, "rows100": 1, "agg": 2}  # the limit server has a port per result shape


class Target:
    def __init__(self, name, host, port, db="bench", session_db=None, pid=None, shape_ports=False,
                 admin=None):
        self.name, self.host, self.port, self.db = name, host, port, db
        self.session_db, self.pid, self.shape_ports = session_db, pid, shape_ports
        self.admin = admin  # Larder's HTTP port

    def counters(self, metric="larder_queries_total"):
        """{label value: count} of one of Larder's metrics with a single label."""
        if not self.admin:
            return {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as r:
            text = r.read().decode()
        rows = re.findall(r'^%s\{\w+="([^"]*)"\} (\S+)' % metric, text, re.M)
        return {label: float(value) for label, value in rows}


def measure(stack, target, workload, mode, clients, seconds):
    """One pgbench run: a dict, with tps None when it failed."""
    script = os.path.join(stack.dir, workload + ".sql")
    port = target.port + (LIMIT_PORT[workload] if target.shape_ports else 0)
    db = target.session_db if mode == "prepared" and target.session_db else target.db
    argv = ["pgbench", "-n", "-M", mode, "-c", str(clients), "-j", str(min(2, clients)),
            "-T", str(seconds), "-f", script, "-h", target.host, "-p", str(port),
            "-U", "bench", db]
    env = dict(os.environ, PGSSLMODE="disable", PGGSSENCMODE="disable", PGPASSWORD="bench")
    pg = stack.pids["postgres"]
    relay = stack.pids.get("relay")
    own = target.pid
    spinning = set(getattr(stack.args, "spinner_pids", []))
    roots = set(stack.pids.values()) | ({own} if own else set()) | spinning
    before = {root: tree_cpu(root) for root in roots}
    busy, steal = machine_cpu()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcomes = target.counters()
    started = time.time()
    try:
        proc = subprocess.run(argv, capture_output=True, text=True, env=env,
                              timeout=seconds * 3 + 20)
        out, err, rc = proc.stdout, proc.stderr, proc.returncode
    except subprocess.TimeoutExpired:
        out, err, rc = "", "timeout", -1
    elapsed = time.time() - started
    after_usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy_after, steal_after = machine_cpu()
    time.sleep(0.05)
    cpu = {root: tree_cpu(root) - before[root] for root in roots}
    client_cpu = (after_usage.ru_utime + after_usage.ru_stime
                  - usage.ru_utime - usage.ru_stime)
    result = {
        "target": target.name, "workload": workload, "mode": mode, "clients": clients,
        "seconds": seconds, "tps": None, "latency_ms": None,
        "client_cpu": round(client_cpu, 3),
        "server_cpu": round(cpu[own], 3) if own else None,
        "pg_cpu": round(cpu[pg], 3),
        "relay_cpu": round(cpu[relay], 3) if relay else None,
        "foreign_cpu": round(busy_after - busy - client_cpu - sum(cpu.values()), 2),
        "steal": round(steal_after - steal, 2), "elapsed": round(elapsed, 2),
    }
    if target.admin:
        result["outcomes"] = {k: v - outcomes.get(k, 0) for k, v in target.counters().items()}
    tps = re.search(r"^tps = ([0-9.]+)", out, re.M)
    latency = re.search(r"^latency average = ([0-9.]+)", out, re.M)
    count = re.search(r"transactions actually processed: ([0-9]+)", out)
    if rc == 0 and tps and "aborted" not in out + err:
        result.update(tps=float(tps[1]), latency_ms=float(latency[1]), count=int(count[1]))
    else:
        lines = [line for line in err.splitlines() if "rror" in line or "atal" in line] or \
            err.splitlines() or ["?"]
        result["error"] = lines[0][:200]
    return result

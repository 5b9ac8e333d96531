"""The throw-away servers of the benchmark: PostgreSQL, the proxies in front of it, the limit server, the relay."""

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import time

from procs import proc_stat, wait_port

HERE = os.path.dirname(os.path.abspath(__file__))


class Stack:
    """The throwaway servers."""

    def __init__(self, args):
        self.args = args
        self.dir = args.workdir
        self.bin = args.pgbin
        self.port = args.base_port
        self.upstream_port = args.base_port  # the relay's, once there is one
        self.user = None
        if os.geteuid() == 0:
            for name in ("postgres", "nobody"):
                try:
                    self.user = pwd.getpwnam(name)
                    break
                except KeyError:
                    pass
        self.procs = []
        self.pids = {}
        atexit.register(self.stop)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & had it ignored
        for s in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, lambda *_: sys.exit(1))

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        self.own(path)
        return path

    def log(self, name):
        return os.path.join(self.dir, name + ".log")

    def spawn(self, name, argv, unprivileged=True, env=None):
        log = open(self.log(name), "wb")
        who = {}
        if unprivileged and self.user:
            who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True, env=env, **who)
        self.procs.append((name, proc))
        self.pids[name] = proc.pid
        return proc

    def stop(self):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)  # a second signal must not leave servers behind
        for name, proc in reversed(self.procs):
            if proc.poll() is None:  # SIGINT: the fast shutdown of PostgreSQL and pgpool
                proc.send_signal(signal.SIGINT if name in ("postgres", "pgpool") else signal.SIGTERM)
                try:
                    proc.wait(10)
                except subprocess.TimeoutExpired:
                    proc.kill()
                    proc.wait()
        self.procs = []

    def start_postgres(self):
        data = os.path.join(self.dir, "data")
        fresh = not os.path.exists(os.path.join(data, "PG_VERSION"))
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid,
               "extra_groups": []} if self.user else {}
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.own(self.dir)
        if fresh:
            subprocess.run([f"{self.bin}/initdb", "-D", data, "-U", "bench", "-A", "trust",
                            "--no-locale", "-E", "UTF8"], check=True, cwd="/",
                           stdout=subprocess.DEVNULL, **who)
        if os.path.exists(os.path.join(data, "postmaster.pid")):
            with open(os.path.join(data, "postmaster.pid")) as f:
                if proc_stat(int(f.readline())):
                    raise SystemExit(f"{data} is in use by another run")
        self.spawn("postgres", [f"{self.bin}/postgres", "-D", data, "-p", str(self.port),
                                "-c", "listen_addresses=127.0.0.1", "-c", "wal_level=logical",
                                "-c", "max_connections=300",
                                "-c", f"unix_socket_directories={self.dir}"])
        wait_port(self.port)
        for _ in range(100):
            if subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p",
                               str(self.port)]).returncode == 0:
                break
            time.sleep(0.1)
        if fresh:
            self.sql("CREATE DATABASE bench", "postgres")
            subprocess.run(["pgbench", "-i", "-q", "-s", str(self.args.scale), "-h", "127.0.0.1",
                            "-p", str(self.port), "-U", "bench", "bench"], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.sql("VACUUM ANALYZE")
            self.sql("CHECKPOINT")

    def sql(self, statement, db="bench", port=None):
        return subprocess.run(["psql", "-XAtq", "-h", "127.0.0.1", "-p", str(port or self.port),
                               "-U", "bench", "-d", db, "-c", statement], check=True,
                              capture_output=True, text=True).stdout.strip()

    def tool(self, name):
        """The binary of one of our own small programs, built if it is not fresh."""
        target = self.args.tools_target
        subprocess.run(["cargo", "build", "-q", "--release", "--manifest-path",
                        os.path.join(HERE, name, "Cargo.toml"), "--target-dir", target], check=True)
        return os.path.join(target, "release", name)

    def start_limit(self, mode, offset):
        name = "limit" if mode == "multi" else f"limit-{mode}"
        self.spawn(name, [self.tool("limit"), "--mode", mode, "--port", str(self.port + offset)],
                   unprivileged=False)
        wait_port(self.port + offset)

    def start_relay(self, milliseconds):
        """Puts PostgreSQL that far away (a round trip) from everything started after this."""
        argv = [self.tool("relay"), "--listen", f"127.0.0.1:{self.port + 1}",
                "--to", f"127.0.0.1:{self.port}", "--delay-us", str(round(milliseconds * 500))]
        if os.geteuid() == 0 and shutil.which("chrt"):
            argv = ["chrt", "-f", "1"] + argv  # a network does not queue for the CPU
        self.spawn("relay", argv, unprivileged=False)
        wait_port(self.port + 1)
        self.upstream_port = self.port + 1

    def start_larder(self, name, offset, settings, prefix=()):
        """One Larder; settings are environment variables, prefix a command to run it under."""
        env = dict(os.environ, LARDER_SERVER__DRAIN="1s", **settings)
        proc = self.spawn(name, [*prefix, self.args.larder, "serve",
                                 "--upstream", f"postgres://bench@127.0.0.1:{self.upstream_port}/bench",
                                 "--listen", f"127.0.0.1:{self.port + offset}",
                                 "--admin", f"127.0.0.1:{self.port + offset + 1}"],
                          unprivileged=False, env=env)
        wait_port(self.port + offset, proc=proc)
        wait_port(self.port + offset + 1, proc=proc)

    def start_pgbouncer(self):
        users = self.write("userlist.txt", '"bench" ""\n')
        ini = self.write("pgbouncer.ini", f"""
[databases]
bench = host=127.0.0.1 port={self.upstream_port} dbname=bench pool_mode=transaction
bench_session = host=127.0.0.1 port={self.upstream_port} dbname=bench pool_mode=session pool_size=64
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port + 40}
unix_socket_dir =
auth_type = trust
auth_file = {users}
max_client_conn = 2000
default_pool_size = 20
logfile =
pidfile =
log_connections = 0
log_disconnections = 0
""")
        self.spawn("pgbouncer", [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", ini])
        wait_port(self.port + 40)

    def start_pgpool(self):
        for sub in ("oiddir", "pgpool-log", "pgpool-run"):
            os.makedirs(os.path.join(self.dir, sub), exist_ok=True)
            self.own(os.path.join(self.dir, sub))
        hba = self.write("pool_hba.conf", "host all all 127.0.0.1/32 trust\n")
        pcp = self.write("pcp.conf", "")
        conf = self.write("pgpool.conf", f"""
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {self.port + 50}
socket_dir = '{self.dir}/pgpool-run'
pcp_listen_addresses = '127.0.0.1'
pcp_port = {self.port + 51}
pcp_socket_dir = '{self.dir}/pgpool-run'
backend_hostname0 = '127.0.0.1'
backend_port0 = {self.upstream_port}
backend_weight0 = 1
backend_data_directory0 = '{self.dir}/data'
backend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'
sr_check_period = 0
sr_check_user = 'bench'
health_check_period = 0
enable_pool_hba = off
num_init_children = {self.args.pgpool_children}
max_pool = 1
load_balance_mode = off
pid_file_name = '{self.dir}/pgpool-run/pgpool.pid'
logdir = '{self.dir}/pgpool-log'
memory_cache_enabled = on
memqcache_method = 'shmem'
memqcache_total_size = 256MB
memqcache_expire = 0
memqcache_auto_cache_invalidation = on
memqcache_oiddir = '{self.dir}/oiddir'
""")
        self.spawn("pgpool", [shutil.which("pgpool") or "/usr/sbin/pgpool", "-n", "-D",
                              "-f", conf, "-a", hba, "-F", pcp])
        wait_port(self.port + 50)

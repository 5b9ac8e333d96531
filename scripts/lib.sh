# Shared by the scripts beside it; sourced, not run.

# Where this working copy is, and where unpacked packages go if there is no root.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/target/deps

# Packages that `make deps` has unpacked without root.
if [ -f "$deps/env" ]; then
    # shellcheck source=/dev/null
    . "$deps/env"
fi

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The directory of PostgreSQL's server programs; empty if there is none.
pg_bindir() {
    local dir
    for dir in "${LARDER_TEST_PG_BINDIR:-}" ${PATH//:/ } "$(pg_config --bindir 2>/dev/null)" \
        $(printf '%s\n' "$deps"/root/usr/lib/postgresql/*/bin /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV); do
        if [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && [ -x "$dir/pgbench" ]; then
            printf '%s\n' "$dir"
            return
        fi
    done
}

# A TCP port on loopback that nobody listens on.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s\n' "$port"; return; }
    done
}

#!/bin/bash
# Shows Larder at work: a throw-away PostgreSQL, a Larder in front of it, the same reads direct and through it.
#
#   DEMO_ONCE=1       ends after the table (exit code 0 if everything was as promised, 1 if not)
#   DEMO_SECONDS=3    length of each run
#   DEMO_SCALE=2      pgbench's scale: 100,000 accounts each
#   DEMO_CLIENTS=8    connections of each run
#   DEMO_PROFILE      release (default) or debug
#   DEMO_LARDER        a program built already
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

seconds=${DEMO_SECONDS:-3} scale=${DEMO_SCALE:-2} clients=${DEMO_CLIENTS:-8} profile=${DEMO_PROFILE:-release}
bin=$(pg_bindir)
# A program that is built already needs no more than a PostgreSQL.
if [ -z "$bin" ] || [ -z "${DEMO_LARDER:-}" ]; then
    DEPS_NO_TESTS=1 scripts/deps.sh || [ -n "$bin" ] || die "What is missing could not be installed."
    . scripts/lib.sh
    bin=$(pg_bindir)
fi
[ -n "$bin" ] || die "PostgreSQL's server programs are missing: make deps"

psql=$bin/psql
[ -x "$psql" ] || psql=psql

# Larder refuses variables of its own prefix that it does not know.
unset LARDER_TEST_PG_BINDIR

larder=${DEMO_LARDER:-}
if [ -z "$larder" ]; then
    flags=(--locked)
    [ "$profile" = debug ] || flags+=(--profile "$profile")
    cargo build -q "${flags[@]}"
    larder=${CARGO_TARGET_DIR:-target}/$profile/larder
fi

# PostgreSQL does not run as root.
as=()
if [ "$(id -u)" -eq 0 ]; then
    user=nobody
    ! id -u postgres >/dev/null 2>&1 || user=postgres
    as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --)
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/larder-demo.XXXXXX")
chmod 755 "$work"
pg_pid='' larder_pid=''
cleanup() {
    trap - EXIT INT TERM HUP
    [ -z "$larder_pid" ] || { kill -INT "$larder_pid" 2>/dev/null && wait "$larder_pid" || true; }
    [ -z "$pg_pid" ] || { kill -INT "$pg_pid" 2>/dev/null && wait "$pg_pid" || true; }
    rm -rf "$work"
} 2>/dev/null
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "PostgreSQL with $((scale * 100000)) accounts …"
mkdir "$work/pg"
[ ${#as[@]} -eq 0 ] || chown "$user" "$work/pg"
(cd / && "${as[@]}" "$bin/initdb" -D "$work/pg/data" -U demo -A trust -E UTF8 --locale=C --no-sync) >"$work/initdb.log" 2>&1 ||
    die "$(cat "$work/initdb.log")"
pg_port=$(free_port)
# In a group of its own: Ctrl-C is for this script, which stops Larder first.
set -m
(cd / && exec "${as[@]}" "$bin/postgres" -D "$work/pg/data" -p "$pg_port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories="$work/pg" -c max_connections=200) >"$work/pg.log" 2>&1 &
pg_pid=$!
direct="postgres://demo@127.0.0.1:$pg_port/postgres"
for _ in $(seq 300); do
    "$psql" -qAtc 'SELECT 1' "$direct" >/dev/null 2>&1 && break
    kill -0 "$pg_pid" 2>/dev/null || die "$(cat "$work/pg.log")"
    sleep 0.1
done
"$bin/pgbench" -q -i -s "$scale" "$direct" >/dev/null 2>&1

port=$(free_port) admin=$(free_port)
"$larder" serve --upstream "$direct" --listen "127.0.0.1:$port" --admin "127.0.0.1:$admin" >"$work/larder.log" 2>&1 &
larder_pid=$!
set +m
through="postgres://demo@127.0.0.1:$port/postgres"
for _ in $(seq 300); do
    "$larder" health --admin "127.0.0.1:$admin" >/dev/null 2>&1 && break
    kill -0 "$larder_pid" 2>/dev/null || die "$(cat "$work/larder.log")"
    sleep 0.1
done

# The value of one series of Larder's metrics.
metric() {
    exec 3<>"/dev/tcp/127.0.0.1/$admin"
    printf 'GET /metrics HTTP/1.0\r\nHost: demo\r\nConnection: close\r\n\r\n' >&3
    tr -d '\r' <&3 | awk -v name="$1" 'index($0, name) == 1 { sum += $NF } END { printf "%d\n", sum }'
    exec 3<&-
}
sql() { "$psql" -qAt "$1" -c "$2"; }

# The first load of the catalog.
warm="SELECT abalance FROM pgbench_accounts WHERE aid = 1"
ready=
for _ in $(seq 200); do
    [ "$(printf '%s;\nSHOW larder.last;\n' "$warm" | "$psql" -qAt "$through" 2>/dev/null | tail -n 1)" = hit ] && ready=1 && break
    sleep 0.05
done
[ -n "$ready" ] || die "A read that should be a hit never is one. $(tail -n 5 "$work/larder.log")"

# Two reads. Asked again and again they are hits; with a number in them that never comes again, misses.
cat >"$work/point.hit" <<'SQL'
\set aid random(1, 1000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SQL
cat >"$work/point.miss" <<'SQL'
\set aid random(1, 1000)
\set n random(1, 1000000000000000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid AND aid <> -:n::bigint;
SQL
cat >"$work/sum.hit" <<'SQL'
\set bid random(1, 5)
SELECT count(*), sum(abalance) FROM pgbench_accounts WHERE bid <= :bid;
SQL
cat >"$work/sum.miss" <<'SQL'
\set bid random(1, 5)
\set n random(1, 1000000000000000)
SELECT count(*), sum(abalance) FROM pgbench_accounts WHERE bid <= :bid AND aid <> -:n::bigint;
SQL

failed=0
promise() { # what, whether
    if ! eval "$2"; then
        say "NOT AS PROMISED: $1"
        failed=1
    fi
}

bench() { # label, url, script
    local out
    out=$("$bin/pgbench" -n -M prepared -c "$clients" -j 1 -T "$seconds" -f "$3" "$2" 2>&1) || die "$out"
    awk -v label="$1" '/^latency average/ { latency = $4 } /^tps/ { tps = $3 }
        END { printf "  %-34s %12.0f %12.3f\n", label, tps, latency }' <<<"$out"
}

table() { # title, script
    say ""
    printf '  %-34s %12s %12s\n' "$1" "reads/s" "latency ms"
    bench "direct" "$direct" "$work/$2.hit"
    bench "Larder, miss (each key is new)" "$through" "$work/$2.miss"
    # Once through all keys, so that what follows are hits.
    "$bin/pgbench" -n -M prepared -c 1 -t 2000 -f "$work/$2.hit" "$through" >/dev/null 2>&1
    local hits misses
    hits=$(metric 'larder_queries_total{outcome="hit"}') misses=$(metric 'larder_queries_total{outcome="miss"}')
    bench "Larder, hit" "$through" "$work/$2.hit"
    hits=$(($(metric 'larder_queries_total{outcome="hit"}') - hits))
    misses=$(($(metric 'larder_queries_total{outcome="miss"}') - misses))
    say "  hit ratio of the last line: $hits of $((hits + misses)) ($((hits * 100 / (hits + misses > 0 ? hits + misses : 1))) %)"
    promise "nine of ten reads are hits" "[ $((hits * 10)) -ge $(((hits + misses) * 9)) ]"
}

say "$clients clients, $seconds s each, prepared statements, everything on this machine:"
table "one row by its key" point
table "a sum over many rows" sum

say ""
read="SELECT abalance FROM pgbench_accounts WHERE aid = 42"
say "An UPDATE through Larder, and the next read ($read):"
sql "$through" "$read" >/dev/null
before=$(sql "$through" "$read")
new=$((before + 1000))
answer=$(printf '%s;\nSHOW larder.last;\nUPDATE pgbench_accounts SET abalance = %s WHERE aid = 42;\n%s;\nSHOW larder.last;\n%s;\nSHOW larder.last;\n' \
    "$read" "$new" "$read" "$read" | "$psql" -qAt "$through" | paste -sd' ')
read -r a how_a b how_b c how_c <<<"$answer"
say "  before  $a ($how_a)"
say "  after   $b ($how_b), again $c ($how_c)"
promise "the read before is a hit" "[ '$how_a' = hit ]"
promise "the next read shows the new value" "[ '$b' = '$new' ] && [ '$how_b' != hit ]"
promise "the read after it is a hit with the new value" "[ '$c' = '$new' ] && [ '$how_c' = hit ]"
promise "PostgreSQL says the same" "[ '$(sql "$direct" "$read")' = '$c' ]"
promise "Larder is still there" "kill -0 $larder_pid 2>/dev/null"

[ -z "${DEMO_ONCE:-}" ] || exit "$failed"

say ""
say "Both are still running. Try:"
say "  psql $through      # then: $read; SHOW larder.last;"
say "  psql $direct      # past Larder"
say "Metrics: http://127.0.0.1:$admin/metrics. Ctrl-C ends everything."
wait "$larder_pid" || true
exit "$failed"

#!/bin/bash
# Everything docs/benchmarks.md shows: the peers side by side, the same point read with PostgreSQL 0.5 ms away, what one
# hit costs, and memory. Markdown on standard output.
#
#   benches/run.sh [--quick]        (about 15 minutes with --quick, 2 hours without)
#
# Needs target/release/larder (cargo build --release), postgresql, pgbouncer, pgpool2, strace, valgrind, python3, cargo.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
larder=$here/../target/release/larder
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
"$here/peers.sh" --larder "$larder" --standard --json "$results/near" "$@"
"$here/peers.sh" --larder "$larder" --clients 1 --distance 0.5 --spin --json "$results/far" "$@"
python3 "$here/peers.py" --load "$results/near" --load "$results/far" --goals-only
python3 "$here/perhit.py" --larder "$larder"
cd "$here/.." && cargo bench -q --bench perhit

#!/bin/bash
# Runs every fuzz target for SECONDS each (default 60), or those named, and ends with 1 at the first finding.
#
#   fuzz/run.sh [SECONDS [TARGET ...]]
#
# Needs cargo-fuzz (cargo install cargo-fuzz). No nightly toolchain: the sanitizer's flags are let through by
# RUSTC_BOOTSTRAP. New inputs go to fuzz/found/TARGET; a finding lies in fuzz/artifacts/TARGET and, once the cause
# is mended, belongs into fuzz/corpus/TARGET, where `cargo test --test corpus` replays it.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
seconds=${1:-60}
shift || true
export RUSTC_BOOTSTRAP=1
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
for target in "${targets[@]}"; do
    mkdir -p "fuzz/found/$target"
    cargo fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -print_final_stats=0
done

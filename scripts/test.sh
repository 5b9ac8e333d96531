#!/bin/bash
# Everything that must hold before a change goes in. Offline once the packages are there; as root or not.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

[ -n "$(pg_bindir)" ] || die "PostgreSQL's server programs are missing: make deps"

step() {
    say "==> $*"
    local start=$SECONDS
    "$@"
    say "    $((SECONDS - start)) s"
}

step cargo fmt --check
step cargo clippy --locked --all-targets -- -D warnings
step cargo test --locked
if python3 -c 'import yaml' 2>/dev/null; then
    step scripts/deploy.sh quick
else
    say "==> PyYAML is not installed: deploy/ is not checked (make test-deploy)"
fi
RUSTDOCFLAGS="-D warnings" step cargo doc --locked --no-deps --document-private-items
if cargo deny --version >/dev/null 2>&1; then
    step cargo deny --offline check licenses bans sources
else
    say "==> cargo deny is not installed: licences are not checked"
fi

#!/bin/bash
# Looks at the page in a real browser: a Larder with traffic, tests/page/look.mjs, and screenshots in target/page/shots.
#
#   CHROMIUM=/usr/bin/chromium   the browser, Debian's package `chromium`
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

browser=${CHROMIUM:-/usr/bin/chromium}
[ -x "$browser" ] || die "There is no $browser: apt-get install chromium, or say CHROMIUM=…"
have node && have npm || die "Node.js and npm are missing: apt-get install nodejs npm"

to=${CARGO_TARGET_DIR:-$root/target}/page
mkdir -p "$to"
# The driver alone: it is told where the browser is, and downloads none.
if ! cmp -s tests/page/package-lock.json "$to/made"; then
    cp tests/page/package*.json "$to/"
    (cd "$to" && npm ci --ignore-scripts --no-audit --no-fund)
    cp tests/page/package-lock.json "$to/made"
fi
CHROMIUM=$browser PAGE_MODULES=$to cargo test --locked --test integration page::the_page_in_a_browser -- --ignored --exact --nocapture
say "Screenshots: ${to#"$root"/}/shots"

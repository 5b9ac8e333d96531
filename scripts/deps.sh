#!/bin/bash
# Installs what the build, the tests and the demo need and what is missing, on Debian and its kin.
# As root with apt-get; without root the packages are unpacked under target/deps.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Where the loader or clang's own packages have it; libclang-cpp, which other packages bring, is another library.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] ||
        grep -qE 'libclang[-.][0-9s]' <<<"$(ldconfig -p 2>/dev/null; compgen -G '/usr/lib/llvm-*/lib/libclang*.so*')"
}

missing=()
have cc || missing+=(gcc libc6-dev)
have c++ || missing+=(g++)
have make || missing+=(make)
have cmake || missing+=(cmake)
has_libclang || missing+=(libclang-dev)
[ -n "$(pg_bindir)" ] || missing+=(postgresql)
have psql || missing+=(postgresql-client)

# What only tests need (DEPS_NO_TESTS=1: not wanted). Clients are driven where they are there: older releases do not have
# them all.
has_module() { /usr/bin/python3 -c "import $1" 2>/dev/null; }
clients=()
if [ -z "${DEPS_NO_TESTS:-}" ]; then
    have promtool || missing+=(prometheus)
    have pgbouncer || [ -x /usr/sbin/pgbouncer ] || clients+=(pgbouncer)
    has_module psycopg2 || clients+=(python3-psycopg2)
    has_module psycopg || clients+=(python3-psycopg)
    has_module psycopg_pool || clients+=(python3-psycopg-pool)
    has_module asyncpg || clients+=(python3-asyncpg)
    # make test-deploy, where neither helm nor kubectl is packaged.
    have go || clients+=(golang-go)
    [ -d /usr/share/gocode/src/github.com/Masterminds/sprig ] || clients+=(golang-github-masterminds-sprig-dev)
    [ -d /usr/share/gocode/src/gopkg.in/yaml.v3 ] || clients+=(golang-gopkg-yaml.v3-dev)
    has_module yaml || clients+=(python3-yaml)
fi
# For trying the other way: packages to treat as missing.
read -ra forced <<<"${DEPS_FORCE:-}"
missing+=("${forced[@]}")

if ! have cargo; then
    say "Rust is missing: see https://rustup.rs, or install rustup and run: rustup toolchain install 1.95"
    [ ${#missing[@]} -gt 0 ] || exit 1
fi
if [ ${#missing[@]} -eq 0 ] && [ ${#clients[@]} -eq 0 ]; then
    say "Nothing is missing."
    exit 0
fi
if ! have apt-get; then
    if [ ${#missing[@]} -eq 0 ]; then
        say "Not tested without, by Debian's names: ${clients[*]}"
        exit 0
    fi
    die "Missing, by Debian's names: ${missing[*]}. Install what your system calls them, then try again."
fi

# Adds the clients that the package lists have.
add_clients() {
    local package
    for package in "${clients[@]}"; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            missing+=("$package")
        else
            say "No package $package: what needs it is not tested."
        fi
    done
}

# Starting a server at installation is not wanted: the tests and the demo start their own.
if [ "$(id -u)" -eq 0 ] && [ -z "${DEPS_NO_ROOT:-}" ]; then
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get update -q
    add_clients
    [ ${#missing[@]} -eq 0 ] || apt-get install -q -y --no-install-recommends "${missing[@]}"
    exit 0
fi

add_clients
[ ${#missing[@]} -gt 0 ] || exit 0
by_hand="Run this as root: apt-get install --no-install-recommends ${missing[*]}"
mkdir -p "$deps/archives" "$deps/root"
wanted=$(apt-get -s -o Debug::NoLocking=1 --no-install-recommends install "${missing[@]}" 2>/dev/null | awk '/^Inst/ { print $2 }') || die "$by_hand"
if [ ${#forced[@]} -gt 0 ]; then
    wanted="$wanted ${forced[*]}"
fi
[ -n "${wanted// /}" ] || die "$by_hand"
# shellcheck disable=SC2086
(cd "$deps/archives" && apt-get download -q $wanted) || die "$by_hand"
for archive in "$deps"/archives/*.deb; do
    dpkg -x "$archive" "$deps/root"
done

# What the shell and make need to find it all.
usr=$deps/root/usr
places() { find "$usr" "$deps/root/lib" "$@" -printf '%h\n' 2>/dev/null | sort -u || true; }
libraries=$(places -name '*.so*' -not -path '*/postgresql/*' | paste -sd:)
clang=$(places -name 'libclang*.so*' | head -n 1)
builtin=$(places -path '*clang*/include/stddef.h' | head -n 1)
modules=$usr/lib/python3/dist-packages
postgres=$(compgen -G "$usr/lib/postgresql/*/bin" | sort -rV | head -n 1 || true)
{
    printf 'export PATH="%s%s:$PATH"\n' "$usr/bin" "${postgres:+:$postgres}"
    [ -z "$libraries" ] || printf 'export LD_LIBRARY_PATH="%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\n' "$libraries"
    [ -z "$clang" ] || printf 'export LIBCLANG_PATH="%s"\n' "$clang"
    [ ! -d "$modules" ] || printf 'export PYTHONPATH="%s${PYTHONPATH:+:$PYTHONPATH}"\n' "$modules"
    [ -z "$builtin" ] || printf 'export BINDGEN_EXTRA_CLANG_ARGS="-isystem %s"\n' "$builtin"
} >"$deps/env"
say "Unpacked under target/deps: ${wanted//$'\n'/ }"

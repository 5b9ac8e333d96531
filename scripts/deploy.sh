#!/bin/bash
# Checks deploy/: kustomize and the chart are rendered and validated against Kubernetes' own schema, and looked at for what
# a Larder in a pod must have; compose and systemd's units are read. `quick`: only what needs no tool that is not there.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
quick=${1:-}
out=$root/target/deploy
mkdir -p "$out/rendered"
rm -f "$out"/rendered/*

missing() {
    [ "$quick" = quick ] || die "$1"
    say "    not checked: $1"
}

python=python3
if [ "$quick" != quick ]; then
    python=$out/venv/bin/python
    [ -x "$python" ] || python3 -m venv "$out/venv"
    "$python" -c 'import kubernetes_validate, jsonschema, yaml' 2>/dev/null ||
        "$out/venv/bin/pip" install -q kubernetes-validate jsonschema pyyaml
fi

if have kubectl; then
    for base in deploy/kustomize/*/; do
        name=$(basename "$base")
        grep -qs 'kind: Kustomization' "$base/kustomization.yaml" || continue
        kubectl kustomize "$base" >"$out/rendered/kustomize-$name.yaml"
    done
else
    missing "kubectl is not here (kubectl kustomize)"
fi

# Debian: golang-go golang-github-masterminds-sprig-dev golang-gopkg-yaml.v3-dev
chart=deploy/helm/larder
if have helm; then
    for values in "$chart"/ci/*.yaml; do
        helm template shop "$chart" -n shop -f "$values" >"$out/rendered/helm-$(basename "$values")"
    done
fi
gocode=
for dir in /usr/share/gocode "$deps/root/usr/share/gocode"; do
    [ ! -d "$dir/src/github.com/Masterminds/sprig" ] || gocode=$dir
done
if have go && [ -n "$gocode" ]; then
    (cd tests/helm && GO111MODULE=off GOPATH=$gocode GOFLAGS='' go build -o "$out/render" render.go)
    for values in "$chart"/ci/*.yaml; do
        "$out/render" "$chart" shop shop "$values" >"$out/rendered/chart-$(basename "$values")"
    done
    "$out/render" -parent tests/helm/shop "$chart" shop shop "$chart/ci/sidecar-values.yaml" >"$out/rendered/chart-parent.yaml"
elif ! have helm; then
    missing "neither helm nor Go with sprig is here (make deps)"
fi

"$python" tests/deploy.py "$out/rendered"

if [ "$quick" != quick ] && have docker && docker compose version >/dev/null 2>&1; then
    docker compose -f deploy/compose/compose.yaml config -q
fi
if [ "$quick" != quick ] && have systemd-analyze; then
    mkdir -p "$out/units"
    for unit in deploy/systemd/*; do
        # The program need not be installed to read its unit.
        sed "s|^ExecStart=/usr/bin/larder|ExecStart=/bin/true|" "$unit" >"$out/units/$(basename "$unit")"
    done
    said=$(systemd-analyze verify --man=no "$out"/units/larder* 2>&1 | grep -F "$out/units" || true)
    [ -z "$said" ] || die "$said"
fi

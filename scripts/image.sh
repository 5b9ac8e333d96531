#!/bin/bash
# The image, without a daemon and without a registry: buildah, with chroot isolation, on a Debian made by debootstrap.
#
#   IMAGE_PREBUILT=1   takes target/release/larder as it is, instead of compiling inside
#   IMAGE_MIRROR=…     where debootstrap takes Debian from
#   IMAGE_TAG=…        default larder:0.1.0
#
# Where registries can be reached, `docker build .` is all that is needed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
for program in buildah debootstrap; do
    have "$program" || die "$program is missing: apt-get install buildah debootstrap"
done
[ "$(id -u)" -eq 0 ] || die "debootstrap needs root"

image=$root/target/image
store=$image/store
tag=${IMAGE_TAG:-larder:0.1.0}
base=localhost/larder-base:bookworm
buildah=(buildah --storage-driver vfs --root "$store" --runroot "$image/run")
mkdir -p "$image"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

if ! "${buildah[@]}" inspect --type image "$base" >/dev/null 2>&1; then
    [ -s "$image/base/etc/ssl/certs/ca-certificates.crt" ] ||
        debootstrap --variant=minbase --include=ca-certificates bookworm "$image/base" "${IMAGE_MIRROR:-http://deb.debian.org/debian}"
    container=$("${buildah[@]}" from scratch)
    "${buildah[@]}" copy -q "$container" "$image/base" /
    "${buildah[@]}" commit -q "$container" "$base"
    "${buildah[@]}" rm "$container" >/dev/null
fi

arguments=(--isolation chroot --layers --format docker --pull-never
    --build-arg "RUNTIME_IMAGE=$base" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" -t "$tag")
if [ -n "${IMAGE_PREBUILT:-}" ]; then
    [ -x target/release/larder ] || die "no target/release/larder: make build"
    mkdir -p "$image/prebuilt/larder/target/release"
    strip --strip-debug -o "$image/prebuilt/larder/target/release/larder" target/release/larder
    # In place of the stage that compiles.
    arguments+=(--build-context "build=$image/prebuilt")
else
    arguments+=(--build-arg "BUILD_IMAGE=${BUILD_IMAGE:-rust:1.95-bookworm}")
fi
"${buildah[@]}" build "${arguments[@]}" -f Dockerfile .

say "==> what the image's program says, as the image's user, on a root that cannot be written"
container=$("${buildah[@]}" from --pull-never "$tag")
trap '"${buildah[@]}" rm "$container" >/dev/null' EXIT
"${buildah[@]}" run --isolation chroot "$container" -- /usr/local/bin/larder --version
"${buildah[@]}" inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}} {{.OCIv1.Config.StopSignal}}' "$tag"
mount=$("${buildah[@]}" mount "$container")
du -sh "$mount"
find "$mount" -type f | sed "s|^$mount||" | sort
"${buildah[@]}" umount "$container" >/dev/null

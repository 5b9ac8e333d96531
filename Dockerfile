# syntax=docker/dockerfile:1
# Larder alone in a file system: the program, the C library it needs, certificate authorities. No shell, no package manager,
# nothing to write to. Every image it is made of is an argument. See docs/kubernetes.md.
ARG BUILD_IMAGE=rust:1.95-bookworm
# Where the libraries and the authorities come from: the same release of the same system as BUILD_IMAGE.
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake libclang-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /larder
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
RUN cargo build --locked --release --bin larder \
 && strip --strip-debug target/release/larder

FROM ${RUNTIME_IMAGE} AS files
RUN test -s /etc/ssl/certs/ca-certificates.crt \
 || (apt-get update && apt-get install -y --no-install-recommends ca-certificates)
COPY --from=build /larder/target/release/larder /rootfs/usr/local/bin/larder
COPY LICENSE /rootfs/usr/share/doc/larder/LICENSE
# What the program is linked with, where it looks for it, and nothing else.
RUN set -eu; cd /rootfs; \
    mkdir -p etc/ssl/certs etc/larder run/larder tmp; \
    cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/; \
    echo 'larder:x:65532:65532::/nonexistent:/sbin/nologin' > etc/passwd; \
    echo 'larder:x:65532:' > etc/group; \
    echo 'hosts: files dns' > etc/nsswitch.conf; \
    for library in $(ldd usr/local/bin/larder | awk '/=> \//{print $3} /^\t\/lib/{print $1}') \
        $(ls /lib/*-linux-gnu/libnss_dns.so.2 /lib/*-linux-gnu/libnss_files.so.2 /lib/*-linux-gnu/libresolv.so.2 2>/dev/null); do \
        mkdir -p ".$(dirname "$library")"; cp -L "$library" ".$library"; \
    done; \
    chown 65532:65532 run/larder

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Larder" \
      org.opencontainers.image.description="A caching sidecar for PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=files /rootfs /
USER 65532:65532
# In a container of its own Larder is reached over the network; in a pod, set it back to loopback. The admin listener has
# no password for looking: give it another address only where strangers cannot reach it.
ENV LARDER_LISTEN__ADDRESS=0.0.0.0:6432 \
    LARDER_ADMIN__ADDRESS=127.0.0.1:9432
EXPOSE 6432 9432
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/local/bin/larder", "health"]
ENTRYPOINT ["/usr/local/bin/larder"]
CMD ["serve"]

# syntax=docker/dockerfile:1
# Built from source; runs as a numeric user without a shell's help (HEALTHCHECK is Larder's own).
ARG BUILD_IMAGE=rust:1.95-bookworm
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

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="Larder" \
      org.opencontainers.image.description="A caching sidecar for PostgreSQL" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /larder/target/release/larder /usr/local/bin/larder
COPY LICENSE /usr/share/doc/larder/LICENSE
USER 65532:65532
# In a container of its own Larder is reached over the network; in a pod, set it back to loopback. The admin listener has
# no password: give it another address only where strangers cannot reach it.
ENV LARDER_LISTEN__ADDRESS=0.0.0.0:6432 \
    LARDER_ADMIN__ADDRESS=127.0.0.1:9432
EXPOSE 6432
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/local/bin/larder", "health"]
ENTRYPOINT ["/usr/local/bin/larder"]
CMD ["serve"]

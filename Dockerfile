# syntax=docker/dockerfile:1
# The image of the controller: `docker build -t plimsoll .`, or for several platforms
# `docker buildx build --platform linux/amd64,linux/arm64 .`

# The image has only the program, its shared libraries and the CA certificates; no shell, no package manager.
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# The caches are kept when the source changes. sharing=locked prevents concurrent writes, and the id separates platforms.
ARG TARGETPLATFORM
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=plimsoll-target-${TARGETPLATFORM},sharing=locked \
    cargo build --locked --release --package plimsoll --bin plimsoll \
    && install -D target/release/plimsoll /out/plimsoll \
    && ldd /out/plimsoll | grep -oE '/[^ ]+' | xargs cp --parents --dereference --target-directory=/out \
    && cp --parents /etc/ssl/certs/ca-certificates.crt /out

# The sample shop of the examples: `docker build --target shop -t plimsoll.local/shop:dev .`
FROM ${RUST_IMAGE} AS build-shop
WORKDIR /src
COPY . .
ARG TARGETPLATFORM
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=plimsoll-target-${TARGETPLATFORM},sharing=locked \
    cargo build --locked --release --package plimsoll-shop \
    && install -D target/release/plimsoll-shop /out/plimsoll-shop \
    && ldd /out/plimsoll-shop | grep -oE '/[^ ]+' | xargs cp --parents --dereference --target-directory=/out

FROM scratch AS shop
COPY --from=build-shop /out /
USER 65532:65532
ENTRYPOINT ["/plimsoll-shop"]

FROM scratch
LABEL org.opencontainers.image.title="plimsoll" \
      org.opencontainers.image.description="A Kubernetes operator for autoscaling by PromQL KPIs and for load balancing" \
      org.opencontainers.image.source="https://github.com/plimsoll-dev/plimsoll" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out /
# By number: `runAsNonRoot` can't be checked against a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/plimsoll"]

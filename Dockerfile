# syntax=docker/dockerfile:1
# The relay as an image: one binary, one volume, no root.

# The console: the same on every machine, so that it is built once for an image of several.
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS console
WORKDIR /src/admin-spa
COPY admin-spa/package.json admin-spa/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier
COPY admin-spa ./
COPY assets/openapi.json /src/assets/
RUN npm run build && node scripts/pack.mjs

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src

# Dependencies first, against empty sources: this layer is built again only when a manifest changes.
COPY Cargo.toml Cargo.lock ./
COPY durable/Cargo.toml durable/
COPY tests/support/Cargo.toml tests/support/
RUN mkdir -p src durable/src tests/it tests/support/src \
    && echo 'fn main() {}' | tee src/main.rs tests/it/main.rs > /dev/null \
    && touch src/lib.rs durable/src/lib.rs tests/support/src/lib.rs \
    && cargo build --release --locked --bin crs

COPY durable/src durable/src
COPY assets assets
COPY build.rs ./
COPY src src
COPY --from=console /src/admin-spa/embedded admin-spa/embedded
# Cargo goes by time, and a checkout may be older than the layer above.
RUN find src durable/src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin crs \
    && install -D target/release/crs /out/crs

# Debian rather than distroless: it comes from the same registry as the build image (mirrors of that one are
# what many operators can reach), gets security updates, and has a shell for the day something is wrong.
# Nothing is installed on top: TLS roots are in the binary, and the health check is the binary.
FROM debian:bookworm-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="crs-edge" \
      org.opencontainers.image.description="A relay that pools provider accounts behind keys of your own" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A fixed id, so that a volume keeps its owner from image to image.
RUN groupadd --gid 10001 crs \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin crs \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /out/crs /usr/local/bin/crs

ENV HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["crs", "health"]
ENTRYPOINT ["crs"]
CMD ["serve"]

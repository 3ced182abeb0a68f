# syntax=docker/dockerfile:1
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock clippy.toml ./
COPY src src
# Cargo.toml names the test targets: they are not built here, but cargo requires the files.
RUN mkdir -p tests/it && touch tests/layers.rs tests/it/main.rs
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --bin ratchet && cp target/dist/ratchet /ratchet

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/ratchet --create-home --shell /usr/sbin/nologin ratchet
COPY --from=build /ratchet /usr/local/bin/ratchet
USER 10001
WORKDIR /var/lib/ratchet
VOLUME /var/lib/ratchet
EXPOSE 9010
# The image has no curl: bash sends the request to /readyz, and a 200 means healthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9010 && printf 'GET /_ratchet/v1/readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r -t 4 answer <&3 && [[ $answer == 'HTTP/1.1 200'* ]]"]
ENTRYPOINT ["ratchet"]
CMD ["serve", "--listen", "0.0.0.0:9010", "--store", "dir:/var/lib/ratchet"]

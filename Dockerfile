# The release build with the dashboard inside. The image has no PostgreSQL: deploy/compose.yaml brings
# one, or give it a database,
#
#   docker build -t runtree .
#   docker run -p 127.0.0.1:8080:8080 -e RUNTREE_DATABASE_URL=postgresql://… \
#       -e RUNTREE_INSECURE_LISTEN_ANYWHERE=true runtree
#
# which lets whoever reaches the port do everything; beyond one's own machine say RUNTREE_AUTH=jwt
# and RUNTREE_AUTH_KEYS instead (docs/security.md). The names of images are whole, for who has no
# registry to search; buildah and podman keep HEALTHCHECK with --format docker only, because the OCI
# format has none (docs/operations.md).

FROM docker.io/library/debian:12-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential ca-certificates cmake \
        libcurl4-gnutls-dev libjansson-dev libmicrohttpd-dev libpq-dev libprotobuf-c-dev \
        librhonabwy-dev libuv1-dev ninja-build nodejs npm pkg-config protobuf-c-compiler python3 python3-yaml uthash-dev \
        zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY dashboard/package.json dashboard/package-lock.json dashboard/
RUN npm ci --prefix dashboard --no-audit --no-fund
COPY . .
RUN cmake --preset release \
    && cmake --build build-release \
    && cmake --install build-release --prefix /usr/local --strip

FROM docker.io/library/debian:12-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libcurl3-gnutls libjansson4 \
        libmicrohttpd12 libpq5 libprotobuf-c1 librhonabwy1.1 libuv1 zlib1g \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/runtree /usr/local/bin/runtree
COPY --chmod=755 deploy/image/runtree-health /usr/local/bin/runtree-health
ENV RUNTREE_LISTEN=0.0.0.0:8080
EXPOSE 8080
# A number, so that Kubernetes can see that it is not root's.
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["runtree-health"]
ENTRYPOINT ["runtree"]
CMD ["serve"]

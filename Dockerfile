# syntax=docker/dockerfile:1
# One target for each container of docker-compose.yml: ingress, projector, api, frontend.

# The same version as in rust-toolchain.toml, which is not copied: rustup would download the toolchain again.
FROM docker.io/library/rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --package ingress --package projector --package api && \
    install -D --target-directory=/out target/release/ingress target/release/projector target/release/api

# Contains glibc, libgcc and certificates, but no shell. It runs as user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot AS base

FROM base AS ingress
COPY --from=build /out/ingress /usr/local/bin/ingress
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/ingress"]

FROM base AS projector
COPY --from=build /out/projector /usr/local/bin/projector
EXPOSE 8081
ENTRYPOINT ["/usr/local/bin/projector"]

FROM base AS api
COPY --from=build /out/api /usr/local/bin/api
EXPOSE 8082
ENTRYPOINT ["/usr/local/bin/api"]

FROM docker.io/library/node:22-bookworm-slim AS build-frontend
WORKDIR /frontend
COPY frontend/package.json frontend/package-lock.json ./
COPY frontend/generate/package.json generate/
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY frontend/ ./
RUN npm run build

FROM docker.io/nginxinc/nginx-unprivileged:1.29-alpine-slim AS frontend
# Its entry point fills in the template at each start. Only /tmp is writable.
ENV NGINX_ENVSUBST_OUTPUT_DIR=/tmp NGINX_ENTRYPOINT_LOCAL_RESOLVERS=1
# Make it readable for the image's user, whatever the permissions in the checkout.
COPY --chmod=0644 deploy/nginx/frontend.conf /etc/nginx/templates/nginx.conf.template
COPY --from=build-frontend /frontend/dist /srv/frontend
EXPOSE 8080
CMD ["nginx", "-c", "/tmp/nginx.conf", "-g", "daemon off;"]

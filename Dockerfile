# A node, and the command fanfare. Build it from the root of the repository:
#   docker build -t fanfare .
# The base image has the glibc that the uWebSockets.js binary needs: the one for Node 24 needs 2.38, and Debian 13 has
# 2.41. Debian 12 has 2.36, and Alpine has musl. The tag names one version and is rebuilt for Debian's security updates.
# If you need the same bytes each time, pin its digest too (node:…@sha256:…; `docker buildx imagetools inspect <tag>`
# prints it).

# The packages that the node and the command need at run time. This step copies the manifests only, so a change of the
# code does not repeat the installation.
FROM node:24.22.3-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
COPY protocol/package.json protocol/
COPY broker/package.json broker/
COPY client/package.json client/
COPY tools/kit/package.json tools/kit/
# No package that we use needs its install script. uWebSockets.js contains a binary for each platform and version of
# Node and loads the one with this name. The others take 250 MB.
RUN npm ci --omit=dev --workspace protocol --workspace broker --workspace client --workspace tools/kit \
    --ignore-scripts --no-audit --no-fund \
  && find node_modules/uWebSockets.js -name 'uws_*.node' \
    ! -name "uws_$(node --print 'process.platform + "_" + process.arch + "_" + process.versions.modules').node" -delete

FROM node:24.22.3-trixie-slim AS build
WORKDIR /app
COPY . .
# The link leads from /usr/local/bin to the command.
RUN npm ci --workspace protocol --workspace broker --workspace client --workspace tools/kit --workspace tools/local-cluster \
    --workspace loadtest --workspace cli --include-workspace-root --ignore-scripts --no-audit --no-fund \
  && npx --no-install tsc --build broker/tsconfig.page.json cli \
  && find protocol/dist broker/dist client/dist tools/kit/dist cli/dist ! -type d ! -name '*.js' -delete \
  && chmod +x cli/dist/main.js \
  && mkdir bin \
  && ln -s ../../../app/cli/dist/main.js bin/fanfare

FROM node:24.22.3-trixie-slim
LABEL org.opencontainers.image.title="Fanfare" \
  org.opencontainers.image.description="A node of Fanfare, a pub/sub broker for real-time pages and services" \
  org.opencontainers.image.licenses="MIT"
# Nobody outside a container reaches its loopback, so the node listens on all addresses. It therefore starts only if
# FANFARE_AUTH is set. The admin port has no authentication: it stays on loopback (of the machine, with
# `--network host`) until FANFARE_ADMIN_HOST opens it.
ENV NODE_ENV=production FANFARE_HOST=0.0.0.0
WORKDIR /app
# All files belong to root: the node only reads them.
COPY --from=dependencies /app ./
COPY --from=build /app/protocol/dist protocol/dist
COPY --from=build /app/broker/dist broker/dist
COPY broker/lua broker/lua
# The command: `docker exec <container> fanfare`. Of the packages that only its manifest names, it needs commander. The
# others belong to `fanfare bench`, which has its own image (loadtest/Dockerfile): they would take 20 MB.
COPY --from=build /app/client/dist client/dist
COPY --from=build /app/tools/kit/dist tools/kit/dist
COPY --from=build /app/cli/node_modules/commander cli/node_modules/commander
COPY --from=build /app/cli/dist cli/dist
COPY --from=build /app/bin /usr/local/bin
COPY cli/package.json cli/
COPY LICENSE ./
# The user `node` of the base image, by number, so that Kubernetes can check that it is not root.
USER 1000:1000
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
  CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.FANFARE_ADMIN_PORT || 8081}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Without a shell or npm in between, signals reach the node.
ENTRYPOINT ["node", "broker/dist/main.js"]

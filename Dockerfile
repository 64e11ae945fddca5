# Build and final stage are the same base image, so that what was built for one libc and node runs on it.
FROM node:22-bookworm-slim AS build
WORKDIR /app
ENV CI=true
# Dependencies first: this layer is built again only when the lock file changes.
COPY pnpm-lock.yaml pnpm-workspace.yaml ./
RUN npx --yes pnpm@12 fetch
COPY . .
RUN npx --yes pnpm@12 install --offline --frozen-lockfile && node node_modules/typescript/bin/tsc -b
# Only what runs: production dependencies installed anew, no sources, tests, maps or other platforms' binaries.
RUN rm -r node_modules packages/*/node_modules \
 && npx --yes pnpm@12 install --offline --frozen-lockfile --prod \
 && find packages -type d \( -name src -o -name test \) -prune -exec rm -r {} + \
 && find packages -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.tsbuildinfo' -o -name 'tsconfig.json' \) -delete \
 && find node_modules -path '*/prebuilds/*' -type d -not -name "linux-$(node -p process.arch)*" -prune -exec rm -r {} +

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production PATH=/app/bin:$PATH KVD_DATA=/data KVD_LISTEN=0.0.0.0:15000
RUN mkdir /data && chown node:node /data
COPY --from=build /app/package.json ./
COPY --from=build /app/bin ./bin
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/packages ./packages
COPY --from=build /app/data ./data
USER node
VOLUME /data
EXPOSE 15000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:15000/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["/app/bin/kvd"]

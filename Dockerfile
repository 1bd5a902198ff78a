# lcm-merge on the CPU, docs/pipelines.md:
#   docker build -t lcm-merge .
#   docker run --rm -v "$PWD:/work" lcm-merge recipes/tiny.yaml
FROM node:24.21.0-bookworm-slim@sha256:0e0ff40c39bc087845bfb27465a0df4ea419520094bc35842ff83dd8cbe6f9b6 AS build
WORKDIR /app
COPY package.json package-lock.json ./
# no scripts: Node is in the image, and that of onnxruntime-node would fetch CUDA 12
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts
# onnxruntime-node carries the libraries of every platform
RUN find node_modules/onnxruntime-node/bin/napi-v6 -mindepth 2 -maxdepth 2 \
      ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} +

FROM node:24.21.0-bookworm-slim@sha256:0e0ff40c39bc087845bfb27465a0df4ea419520094bc35842ff83dd8cbe6f9b6
LABEL org.opencontainers.image.title="lcm-merge" org.opencontainers.image.licenses="Apache-2.0"
# onnxruntime reports to its maker otherwise
ENV NODE_ENV=production LCM_MERGE_CACHE=/cache ORT_DISABLE_TELEMETRY=1
WORKDIR /app
COPY package.json ./
COPY assets ./assets
COPY recipes ./recipes
COPY models ./models
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# /cache and /work may be written by whoever --user names
RUN ln -s /app/dist/cli.js /usr/local/bin/lcm-merge && install -d -m 1777 /cache /work
VOLUME /cache
WORKDIR /work
USER node
ENTRYPOINT ["lcm-merge"]

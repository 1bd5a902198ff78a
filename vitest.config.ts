import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

// the programs that tests start are run from source, some hundred times: Node keeps what it has stripped of types and compiled
process.env['NODE_COMPILE_CACHE'] ??= resolve('node_modules/.cache/node');

// the workers have all cores already: threads of one session would only wait for those of another
process.env['LCM_MERGE_THREADS'] ??= '1';

// some tests load onnxruntime themselves
process.env['ORT_DISABLE_TELEMETRY'] ??= '1';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'test/**/*.test.tsx'],
    testTimeout: 180_000,
    hookTimeout: 240_000,
    setupFiles: ['test/helpers/equal-bytes.ts'],
    maxWorkers: '100%',
  },
});

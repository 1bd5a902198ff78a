/**
 * The optional stage `npm run test:webgpu`: the tests that need a WebGPU device. Where none answers it says so, and how to get one, and
 * ends well: nothing was found wrong.
 */
import { spawnSync } from 'node:child_process';
import { UnavailableError } from '../../src/errors.ts';
import { probeDevice } from '../../src/runtime/probe.ts';

const absent = await probeDevice('webgpu').then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof UnavailableError) return error;
    throw error;
  },
);
if (absent) {
  console.log(`WebGPU stage skipped: ${absent.reason}\n${absent.remedy}`);
} else {
  const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', 'test/webgpu'], {
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
}

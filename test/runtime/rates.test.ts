import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FloatType } from '../../src/export/targets/target.ts';
import { graphCost, traffic } from '../../src/onnx/graph-cost.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { type InferenceHost, startHost } from '../../src/runtime/host.ts';
import { measureRates } from '../../src/runtime/rates.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/**
 * A device that needs `launch` milliseconds for every node and otherwise just the time that its rates allow; fp16 products run
 * twice as fast. The first run of a session takes a second more.
 */
function deviceOf({ flops, bytes, launch }: { flops: number; bytes: number; launch: number }) {
  const rows: number[] = [];
  const host: Pick<InferenceHost, 'load'> = {
    async load(model) {
      const path = join(await temporaryFolder(), 'model.onnx');
      await writeFile(path, model as Uint8Array);
      const info = await readModelInfo(path);
      const isHalf = info.values.some(({ name, type }) => name.includes('MatMul') && type === 'FLOAT16');
      let cold = 1000;
      return {
        async run({ a }) {
          const n = a?.dims[0] as number;
          rows.push(n);
          const { total } = graphCost(info, { n });
          const products = total.matrix_flops / (isHalf ? 2 * flops : flops);
          // products run from caches, everything else from memory
          const memory = total.matrix_flops > 0 ? 0 : traffic(total) / bytes;
          const milliseconds = cold + launch * total.nodes + (products + memory) * 1000;
          cold = 0;
          return { outputs: {}, milliseconds };
        },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
  };
  return { host: host as InferenceHost, rows };
}

describe('measureRates', () => {
  it.each([
    ['two cores', { flops: 2e11, bytes: 1e10, launch: 0.01 }],
    ['one slow core', { flops: 5e9, bytes: 2e9, launch: 0.05 }],
    ['a large card', { flops: 4e14, bytes: 4e12, launch: 0.005 }],
  ])('finds the rates of %s, never more', async (_, device) => {
    const { host } = deviceOf(device);
    const { matrix, copy } = await measureRates(host, 'cpu', ['float32', 'float16']);
    const shares = [
      (matrix.float32 as number) / device.flops,
      (matrix.float16 as number) / (2 * device.flops),
      copy / device.bytes,
    ];
    for (const share of shares) {
      expect(share).toBeGreaterThan(0.8);
      expect(share).toBeLessThanOrEqual(1.000001);
    }
  });

  it('does not hand a slow device large matrices', async () => {
    const { host, rows } = deviceOf({ flops: 1e9, bytes: 1e9, launch: 0 });
    await measureRates(host, 'cpu', ['float32']);
    expect(rows.filter((n) => n < 2896)).toEqual([256, 256, 256, 256]);
  });

  it('measures the CPU by what onnxruntime does there', async () => {
    await using host = startHost();
    const types: readonly FloatType[] = ['float32', 'float16'];
    const { matrix, copy } = await measureRates(host, 'cpu', types);
    expect(Object.keys(matrix)).toEqual(types);
    for (const rate of [...Object.values(matrix), copy]) {
      expect(rate).toBeGreaterThan(1e6);
      expect(rate).toBeLessThan(1e15);
    }
  });
});

/** Every weight is finite: the whole of every data file is read. */
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { firstNonFinite } from '../../merge/finite.ts';
import { readModelInfo } from '../../onnx/model-info.ts';
import { externalFaults } from '../../runtime/graph-contract.ts';
import { type Check, failed, passed } from '../check.ts';

export const weights: Check = {
  id: 'weights',
  proves: 'no weight of any graph is NaN or infinite',
  cost: 'one read of the package',
  from: 'quick',
  async run({ pkg, signal }) {
    let elements = 0;
    for (const path of Object.values(pkg.models)) {
      const info = await readModelInfo(path);
      const [fault] = await externalFaults(path, info); // also: no graph makes us read a file outside the package
      if (fault) return failed(`${path}: ${fault}.`);
      for (const { name, type, external } of info.initializers) {
        signal?.throwIfAborted();
        if (!external) continue;
        await using file = await open(join(dirname(path), external.location));
        const data = new Uint8Array(external.length);
        await file.read(data, 0, data.length, external.offset);
        const at = firstNonFinite(data, type === 'FLOAT16' ? 'fp16' : 'fp32');
        if (at >= 0) return failed(`${name} in ${path} is not finite at element ${at}.`, { element: at });
        elements += external.length / (type === 'FLOAT16' ? 2 : 4);
      }
    }
    return passed(`${elements} weights are finite.`, { elements });
  },
};

/** Every weight is finite: the whole of every data file is read. */
import { dirname, join } from 'node:path';
import { type ByteSource, openFile } from '../../formats/byte-source.ts';
import { firstNonFinite } from '../../merge/finite.ts';
import { readModelInfo } from '../../onnx/model-info.ts';
import { externalFaults } from '../../runtime/graph-contract.ts';
import { type Check, failed, passed } from '../check.ts';

export const weights: Check = {
  id: 'weights',
  proves: 'no weight of any graph is NaN or infinite',
  cost: 'one read of the package',
  from: 'standard',
  async run({ pkg, signal }) {
    let elements = 0;
    for (const path of Object.values(pkg.models)) {
      const info = path === pkg.models.unet ? pkg.info : await readModelInfo(path);
      const [fault] = await externalFaults(path, info); // also: no graph makes us read a file outside the package
      if (fault) return failed(`${path}: ${fault}.`);
      await using stack = new AsyncDisposableStack();
      const sources = new Map<string, ByteSource>();
      for (const { name, type, external } of info.initializers) {
        signal?.throwIfAborted();
        if (!external) continue;
        const { location, offset, length } = external;
        const source = sources.get(location) ?? stack.use(await openFile(join(dirname(path), location)));
        sources.set(location, source);
        const at = firstNonFinite(await source.read(offset, length), type === 'FLOAT16' ? 'fp16' : 'fp32');
        if (at >= 0) return failed(`${name} in ${path} is not finite at element ${at}.`, { element: at });
        elements += length / (type === 'FLOAT16' ? 2 : 4);
      }
    }
    return passed(`${elements} weights are finite.`, { elements });
  },
};

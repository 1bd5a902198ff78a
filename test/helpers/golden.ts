/** Golden safetensors files: their tensors as numbers and their metadata. */
import { toFloat64 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';

export interface Golden<Cases> {
  /** What the oracle wrote under `cases`. */
  readonly cases: Cases;
  tensor(name: string): Promise<Float64Array>;
}

/** Opens `path` for each tensor anew, so that nothing has to be closed. Files without cases have `undefined` there. */
export async function openGolden<Cases = undefined>(path: string): Promise<Golden<Cases>> {
  await using file = await openTensorFile(path);
  const { cases } = file.metadata as { cases?: string };
  return {
    cases: (cases === undefined ? undefined : JSON.parse(cases)) as Cases,
    async tensor(name) {
      await using again = await openTensorFile(path);
      const entry = again.tensors.get(name);
      if (!entry) throw new RangeError(`${path} has no tensor ${name}.`);
      return toFloat64(await readTensor(again, entry), entry.dtype);
    },
  };
}

/** What may be summed: floating-point weights. Quantized files hold integers that mean something else than their value. */
import { MergeError } from '../errors.ts';
import { DTYPES } from '../formats/dtype.ts';
import type { TensorEntry } from '../formats/tensor-file.ts';

/** @throws MergeError naming the tensor of the file `path` that does not hold floats. */
export function assertFloat(path: string, { name, dtype }: TensorEntry): void {
  if (DTYPES[dtype].float) return;
  throw new MergeError(
    `${path}: ${name} holds ${dtype} numbers, but weights are F16, BF16, F32 or F64. A quantized file cannot be merged; use the one it was made from.`,
    { file: path, tensor: name },
  );
}

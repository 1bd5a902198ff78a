/** Weight files of full size that take up no space: a header, and a hole where the numbers would be. */
import { open } from 'node:fs/promises';

export interface HollowTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Writes a safetensors file of F16 tensors, all zero, and returns its size in bytes. */
export async function writeHollow(path: string, tensors: readonly HollowTensor[]): Promise<number> {
  let end = 0;
  const entries = tensors.map(({ name, shape }) => {
    const begin = end;
    end += shape.reduce((n, dim) => n * dim, 2);
    return [name, { dtype: 'F16', shape, data_offsets: [begin, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  await using file = await open(path, 'w');
  await file.writeFile(Buffer.concat([prefix, header]));
  await file.truncate(8 + header.length + end);
  return 8 + header.length + end;
}

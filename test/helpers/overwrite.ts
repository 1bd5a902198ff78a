/** A package whose weights somebody has touched. */
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readModelInfo } from '../../src/onnx/model-info.ts';

/** Changes one initializer in place. */
export async function overwrite(
  folder: string,
  component: string,
  name: string,
  alter: (values: Float16Array) => unknown,
): Promise<void> {
  const model = join(folder, component, 'model.onnx');
  const place = (await readModelInfo(model)).initializers.find((initializer) => initializer.name === name)?.external;
  if (!place) throw new RangeError(`${component} has no ${name}.`);
  await using file = await open(join(dirname(model), place.location), 'r+');
  const bytes = new Uint8Array(place.length);
  await file.read(bytes, 0, bytes.length, place.offset);
  alter(new Float16Array(bytes.buffer));
  await file.write(bytes, 0, bytes.length, place.offset);
}

/** A LoRA with a key that fits nothing, as a training script of one's own, or an editor, leaves it. */
import { open, readFile, writeFile } from 'node:fs/promises';

/** Copies the safetensors file `from` to `to` with the tensor names that begin with `name` beginning with `wrong`. */
export async function misspellKey(from: string, to: string, name: string, wrong: string): Promise<void> {
  await using file = await open(from);
  const prefix = Buffer.alloc(8);
  await file.read(prefix, 0, 8, 0);
  const length = Number(prefix.readBigUInt64LE());
  const bytes = await readFile(from);
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, unknown>;
  const renamed = Object.entries(header).map(([key, value]) => [
    key.startsWith(name) ? wrong + key.slice(name.length) : key,
    value,
  ]);
  const text = Buffer.from(JSON.stringify(Object.fromEntries(renamed)));
  prefix.writeBigUInt64LE(BigInt(text.length));
  await writeFile(to, Buffer.concat([prefix, text, bytes.subarray(8 + length)]));
}

/**
 * Rows (batch items) through a graph of any batch, and numbers of several rows as one tensor. Needs nothing of Node.
 */
import type { LoadedGraph, Tensor } from './denoise.ts';
import type { HostTensor } from './host.ts';

/**
 * Evaluates rows (batch items) as the graph allows: all at once where its batch is open, else in groups of its size, the last
 * one filled up with a repetition that is thrown away.
 */
export async function runRows<Row>(
  { session, batch: size }: LoadedGraph,
  rows: readonly Row[],
  feeds: (batch: readonly Row[]) => Record<string, HostTensor>,
): Promise<{ outputs: (name: string) => Tensor[]; milliseconds: number }> {
  const step = size ?? rows.length;
  const results: Record<string, Tensor[]> = {};
  let milliseconds = 0;
  for (let at = 0; at < rows.length; at += step) {
    const wanted = rows.slice(at, at + step);
    const batch = Array.from({ length: step }, (_, i) => wanted[Math.min(i, wanted.length - 1)] as Row);
    const reply = await session.run(feeds(batch));
    milliseconds += reply.milliseconds;
    for (const [name, { dims, data }] of Object.entries(reply.outputs)) {
      const length = data.length / step;
      const parts = wanted.map((_, i) => ({
        dims: dims.slice(1),
        data: (data as Float32Array).slice(i * length, (i + 1) * length),
      }));
      results[name] = [...(results[name] ?? []), ...parts];
    }
  }
  return { outputs: (name) => results[name] ?? [], milliseconds };
}

/** One after another; a single part is not copied. */
export function joined<Data extends Float32Array | BigInt64Array>(
  type: new (length: number) => Data,
  parts: readonly Data[],
): Data {
  if (parts.length === 1) return parts[0] as Data;
  const all = new type(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    (all as { set(source: ArrayLike<unknown>, offset: number): void }).set(part as ArrayLike<unknown>, at);
    at += part.length;
  }
  return all;
}

/** A package that has passed, as far as publishing looks at it: made by hand, so that it takes no time. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex');

/** A lock that lcm-merge reads. */
export const lockOf = (name: string) =>
  JSON.stringify({
    lock_version: 1,
    tool: { name: 'lcm-merge', version: '0' },
    name,
    recipe: {
      personalized: [],
      motion: { gamma: 1, norm: 'per-frame' },
      sampler: { kind: 'lcm', steps: 4, guidance: 1 },
      output: { frames: 16, width: 64, height: 64, shapes: 'static' },
      verify: { prompt: '', negative: '', seed: 0, device: 'cpu', budgets: {} },
    },
    strengths: { alpha: [], beta: 0, gamma: 1 },
    motion: { mid: false, positions: 32 },
    inputs: [],
    rules: { unet: {}, text_encoder: {}, vae_decoder: {} },
    outputs: {},
  });

/** Writes it into `folder` with these files besides lock and verification. */
export async function makeVerified(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  name = 'ink',
): Promise<string> {
  const own = { 'lcm-merge.lock.json': lockOf(name), ...files };
  const digests = Object.fromEntries(Object.entries(own).map(([path, data]) => [path, sha256(data)]));
  const report = { verdict: 'passed', device: 'cpu', package: digests, verification: { 'report.html': sha256('<p>') } };
  const all = { ...own, 'verification/report.html': '<p>', 'verification/report.json': JSON.stringify(report) };
  for (const [path, data] of Object.entries(all)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), data);
  }
  return folder;
}

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

/** Writes it into `folder` with these files besides lock and verification; README.md is its model card. */
export async function makeVerified(
  folder: string,
  { 'README.md': card, ...files }: Readonly<Record<string, string | Uint8Array>>,
  name = 'ink',
): Promise<string> {
  const own = { 'lcm-merge.lock.json': lockOf(name), ...files };
  const verification = { 'report.html': '<p>', 'frames.webp': 'clip', 'fingerprint.json': '{}' };
  const report = {
    verdict: 'passed',
    device: 'cpu',
    package: digestsOf(own),
    verification: digestsOf(verification),
    ...(card !== undefined && { card: sha256(card) }),
  };
  const beside = Object.entries({ ...verification, 'report.json': JSON.stringify(report, null, 2) });
  const all = [
    ...Object.entries(own),
    ...beside.map(([path, data]) => [`verification/${path}`, data] as const),
    ...(card === undefined ? [] : [['README.md', card] as const]),
  ];
  for (const [path, data] of all) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), data);
  }
  return folder;
}

const digestsOf = (files: Readonly<Record<string, string | Uint8Array>>) =>
  Object.fromEntries(Object.entries(files).map(([path, data]) => [path, sha256(data)]));

/** Faults from outside while the program bakes: never half a package, never a lost one. Killed processes: test/faults/kill-bake.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { completePackage } from '../helpers/complete.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

/** Bakes the tiny recipe; `limits` are shell commands that come first. */
async function bake(out: string, limits = ':'): Promise<{ code: number; stderr: string }> {
  const command = `${limits}; exec "$0" src/cli.ts bake recipes/tiny.yaml -o "$1" --quiet`;
  const child = spawn('sh', ['-c', command, process.execPath, out], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, stderr };
}

describe('bake', () => {
  it('leaves nothing when a file grows beyond what the system allows, and keeps the older package', async () => {
    const out = join(folder, 'package');
    const halfWay = 'ulimit -f 4000'; // blocks of 512 or 1024 bytes; the UNet's weights have 18 MB
    const failed = await bake(out, halfWay);
    expect(failed).toMatchObject({
      code: 74,
      stderr: expect.stringMatching(/model\.onnx_data: cannot write it: .*limit/),
    });
    expect(await readdir(folder)).toEqual([]);
    expect(await bake(out)).toEqual({ code: 0, stderr: '' });
    const before = await completePackage(out);
    expect((await bake(out, halfWay)).code).toBe(74);
    expect(await completePackage(out)).toEqual(before);
    expect(await readdir(folder)).toEqual(['package']);
  });

  it('makes one whole package of two bakes into one folder at once', async () => {
    const out = join(folder, 'package');
    const ended = await Promise.all([bake(out), bake(out)]);
    expect(ended).toEqual(Array(2).fill({ code: 0, stderr: '' }));
    expect((await completePackage(out))?.name).toBe('tiny');
    expect(await readdir(folder)).toEqual(['package']);
  });
});

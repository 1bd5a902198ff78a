/** The Node example and the package's own name, without Python; test/interop/run.ts holds the frames against PyTorch. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { openGolden } from '../helpers/golden.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

it('examples/node/sample.mjs makes the frames of the reference run', async () => {
  const folder = await temporaryFolder();
  const into = await temporaryFolder();
  await drain(bake(await plan(tinyRecipe()), { into }));
  const sources = ['--import', resolve('test/helpers/import-sources.ts')];
  const example = [resolve('examples/node/sample.mjs'), into, '0', 'a red circle'];
  const { stdout } = await promisify(execFile)(process.execPath, [...sources, ...example], { cwd: folder });
  expect(stdout).toMatch(/^a-red-circle\.webp: 16 frames in \d+ ms on cpu\n$/);

  const made = sharp(join(folder, 'a-red-circle.webp'), { pages: -1 }).removeAlpha().raw();
  const { data, info } = await made.toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([64, 16 * 64]);
  // PyTorch's: [−1, 1] as [16, 3, 64, 64]; pixels of the WebP are [16, 64, 64, 3]
  const expected = await (await openGolden('models/tiny/reference.safetensors')).tensor('frames');
  let wrong = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const [frame, channel, at] = [Math.floor(i / (3 * 4096)), Math.floor(i / 4096) % 3, i % 4096];
    const byte = Math.min(255, Math.max(0, Math.round(((expected[i] as number) / 2 + 0.5) * 255)));
    if (Math.abs(byte - (data[(frame * 4096 + at) * 3 + channel] as number)) > 1) wrong += 1;
  }
  expect(wrong / expected.length).toBeLessThan(0.01);
});

it('can be imported by its own name where it is built', async () => {
  const { exports, type } = JSON.parse(await readFile('package.json', 'utf8'));
  expect({ type, exports }).toMatchObject({ type: 'module', exports: { '.': { default: './dist/index.js' } } });
  // the example names nothing that the index does not have
  const [, names] = /import \{ (.*) \} from 'lcm-merge'/.exec(await readFile('examples/node/sample.mjs', 'utf8')) ?? [];
  const index = await import('../../src/index.ts');
  expect(names?.split(', ').filter((name) => !(name in index))).toEqual([]);
});

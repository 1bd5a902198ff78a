import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { plan } from '../../src/merge/plan.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { accounting } from '../../src/verify/checks/accounting.ts';
import { recompute } from '../../src/verify/checks/recompute.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { type Family, writeFamily } from '../helpers/family.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Baked, bakeAndCheck } from '../helpers/tiny.ts';

/** Made by `python test/oracle/motion.py`. */
const GOLDEN = resolve('test/golden/motion');
const [MODULE, BASE] = [join(GOLDEN, 'adapter'), join(GOLDEN, 'other.safetensors')];
const LORA = { lora: join(GOLDEN, 'lora-animatediff.ckpt'), alpha: 0.5, expect: { modules: 56 } };

describe.each([
  ['γ on all weights', { module: MODULE, gamma: 0.5, mode: 'weights', positions: 48 }, { mode: 'residual' }],
  [
    'a module to start from',
    { module: MODULE, base: BASE, gamma: 0.5, blocks: { mid: 0.5 } },
    { blocks: { down: 0.75 } },
  ],
])('a package with a motion LoRA and %s', (_, section, change) => {
  let family: Family;
  let baked: Baked;
  const motion = { ...section, loras: [LORA] };

  beforeAll(async () => {
    family = await writeFamily();
    const into = join(await temporaryFolder(), 'package');
    await mkdir(into);
    baked = await bakeAndCheck(family.recipe({ motion, output: { dtype: 'fp16' } }), into);
  });

  const judge = async (check: typeof recompute, changes: object = {}) => {
    const pkg = await openPackage(baked.folder);
    return check.run({
      folder: baked.folder,
      pkg,
      lock: pkg.lock,
      files: await digestPackage(baked.folder),
      plan: await plan(family.recipe({ motion: { ...motion, ...changes }, output: { dtype: 'fp16' } })),
      profile: 'standard',
      budgets: {},
      signal: undefined,
    } as unknown as Parameters<typeof check.run>[0]);
  };

  it('passes as it was baked, and with no other strengths', async () => {
    expect(await judge(accounting)).toMatchObject({ verdict: 'passed' });
    expect(await judge(recompute)).toMatchObject({ verdict: 'passed' });
    for (const changes of [{ gamma: 0.75 }, { loras: [{ ...LORA, alpha: 0.25 }] }, change])
      expect(await judge(recompute, changes), JSON.stringify(changes)).toMatchObject({ verdict: 'failed' });
  });

  it('has a lock that names files without their folders, and says what was done with them', async () => {
    const { lock } = baked;
    expect(lock.recipe.motion).toEqual({
      ...motion,
      module: 'adapter',
      ...('base' in section && { base: 'other.safetensors' }),
      mode: 'mode' in section ? 'weights' : 'residual',
      norm: 'per-frame',
      loras: [{ ...LORA, lora: 'lora-animatediff.ckpt', scale: 'alpha/rank', blocks: {}, allow_unmatched: [] }],
      blocks: 'blocks' in section ? section.blocks : {},
      allow_unmatched: [],
    });
    const roles = Object.fromEntries(lock.inputs.map(({ role, file, modules }) => [role, [file, modules?.unet]]));
    expect(roles).toMatchObject({
      motion: ['adapter/diffusion_pytorch_model.fp16.safetensors', 7],
      'motion.loras[0]': ['lora-animatediff.ckpt', 56],
      ...('base' in section && { 'motion.base': ['other.safetensors', 7] }),
    });
    expect(lock.motion).toEqual({
      mid: true,
      ...('positions' in section ? { positions: 48, stretched_from: 32 } : { positions: 32 }),
    });
    const rule = 'base' in section ? 'motion.base + difference of motion' : 'motion';
    expect(lock.rules.unet).toMatchObject({
      [rule]: 126,
      [`${rule} + lora of motion.loras[0]`]: 56,
      'positional-encoding': 7,
    });
    expect(JSON.stringify(lock)).not.toContain(GOLDEN);
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import type { SamplerKind } from '../../src/architecture/sampler-config.ts';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { openPackage, type VideoPackage } from '../../src/runtime/package-folder.ts';
import { openGolden } from '../helpers/golden.ts';
import { sampleKept } from '../helpers/kept-graphs.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

/** Made by `python test/oracle/sampler_runs.py`: final latents of the merged tiny family in diffusers. */
interface Run {
  readonly sampler: SamplerKind;
  readonly steps: number;
  readonly seed: number;
  readonly prompt: string;
  readonly negative: string;
  readonly guidance: number;
  readonly frames: number;
  /** From PyTorch in float32 to PyTorch with models in float64: how well the run is conditioned. */
  readonly float32_relative_rms: number;
}

/** Four to twenty-five evaluations, each within 1e-5 of PyTorch's, under guidance; Karras' first σ carry an error 73-fold to the end (docs/samplers.md). */
const LIMIT = 3e-5;

const golden = await openGolden<Readonly<Record<string, Run>>>('test/golden/sampler-runs.safetensors');
let pkg: VideoPackage;

beforeAll(async () => {
  const recipe = tinyRecipe({ sampler: { original_steps: 100 }, output: { dtype: 'fp32', shapes: 'dynamic' } });
  const { folder } = await drain(bake(await plan(recipe), { into: await temporaryFolder() }));
  pkg = await openPackage(folder);
});

describe('a clip of any sampler', () => {
  it.each(Object.entries(golden.cases))(
    'ends where diffusers ends: %s',
    { timeout: 120_000 },
    async (name, { float32_relative_rms, ...run }) => {
      const { latents } = await drain(sampleKept(pkg, { ...run, width: 64, height: 64 }));
      expect(relativeRms(latents, await golden.tensor(name))).toBeLessThan(Math.max(LIMIT, 4 * float32_relative_rms));
    },
  );
});

/** Guidance where the memory is not enough for two prompts at once: a device that stands in for a small one refuses batches of two. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { RuntimeFailure } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { type GraphSessions, openGraphs } from '../../src/runtime/graph-sessions.ts';
import { openPackage, type VideoPackage } from '../../src/runtime/package-folder.ts';
import { sampleOn } from '../../src/runtime/pipeline.ts';
import { SMALL, writeSmall } from '../helpers/small.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, recipeIn } from '../helpers/tiny.ts';

const CLIP = { prompt: 'a red circle', negative: 'a blue square', guidance: 3, steps: 2, frames: 2 };

describe('too little memory for two prompts at once', () => {
  let pkg: VideoPackage;
  beforeAll(async () => {
    const folder = join(await temporaryFolder(), 'package');
    const recipe = recipeIn((await writeSmall()).folder, SMALL, {
      output: { shapes: 'dynamic', targets: ['portable'] },
    });
    await bakeAndCheck(recipe, folder);
    pkg = await openPackage(folder);
  });

  /** Runs of the UNet by their batch; those that `fits` does not let through fail as a device without memory does. */
  const sessionsWhere = (fits: (batch: number) => boolean) => {
    const batches: number[] = [];
    const sessions = openGraphs(pkg, { device: 'cpu', trials: [] });
    const session: GraphSessions['session'] = async (model, path) => {
      const real = await sessions.session(model, path);
      if (model !== 'unet') return real;
      return {
        ...real,
        run(feeds, flops) {
          const batch = feeds['sample']?.dims[0] ?? 0;
          batches.push(batch);
          if (fits(batch)) return real.run(feeds, flops);
          return Promise.reject(new RuntimeFailure('The memory is not enough for this.', { blame: 'memory' }));
        },
      };
    };
    return { batches, sessions: { ...sessions, session } };
  };

  it('evaluates them one after the other, says so, and gives the same clip', async () => {
    const roomy = sessionsWhere(() => true);
    await using _roomy = roomy.sessions;
    const together = await drain(sampleOn(roomy.sessions, CLIP));
    expect(roomy.batches).toEqual([2, 2]);

    const small = sessionsWhere((batch) => batch < 2);
    await using _small = small.sessions;
    const events: Event[] = [];
    const apart = await drain(sampleOn(small.sessions, CLIP), (event) => {
      events.push(event);
    });
    expect(small.batches).toEqual([2, 1, 1, 1, 1]);
    expect(events.filter(({ type }) => type === 'warning')).toMatchObject([
      { message: expect.stringMatching(/not enough.* one after the other\.$/) },
    ]);
    const off = apart.latents.map((x, i) => Math.abs(x - (together.latents[i] as number)));
    expect(Math.max(...off)).toBeLessThan(1e-2); // fp16 kernels may sum a batch of two in another order
  });

  it('fails where one does not fit either, or where there is but one', async () => {
    const none = sessionsWhere(() => false);
    await using _none = none.sessions;
    await expect(drain(sampleOn(none.sessions, CLIP))).rejects.toThrow(/memory is not enough/);
    expect(none.batches).toEqual([2, 1]);
    await expect(drain(sampleOn(none.sessions, { ...CLIP, guidance: 1 }))).rejects.toThrow(/memory is not enough/);
    expect(none.batches).toEqual([2, 1, 1]);
  });
});

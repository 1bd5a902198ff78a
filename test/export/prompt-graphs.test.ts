/** `output.prompt`: what the graphs of a plan take of a prompt. */
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../src/errors.ts';
import { COMPONENT_EXPORTS, type ComponentExport, graphsOf } from '../../src/export/graphs.ts';
import { makeLock } from '../../src/export/lock.ts';
import { plan } from '../../src/merge/plan.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

const UNET = COMPONENT_EXPORTS.find(({ component }) => component === 'unet') as ComponentExport;

const planned = (output: object) =>
  plan(tinyRecipe({ output: { frames: 3, targets: ['portable', 'cpu', 'cuda', 'webgpu'], ...output } }));

describe('output.prompt', () => {
  it.each([
    [{}, [1, 77, 64]],
    [{ prompt: { tokens: 154 } }, [1, 154, 64]],
    [{ prompt: { per_frame: true } }, [3, 77, 64]],
    [{ prompt: { tokens: 'dynamic', per_frame: true } }, [3, 'tokens', 64]],
    [{ prompt: { tokens: 'dynamic', per_frame: true }, shapes: 'dynamic' }, ['batch * frames', 'tokens', 64]],
  ] as const)('%j', async (output, shape) => {
    const made = await planned(output);
    const graphs = graphsOf(made, UNET).map(({ make }) => make());
    expect(graphs).toHaveLength(4);
    for (const { inputs } of graphs) expect(inputs[2]).toMatchObject({ name: 'encoder_hidden_states', shape });
    expect(makeLock(made, { inputs: [], outputs: {} }).recipe.output.prompt).toEqual({
      per_frame: false,
      ...('prompt' in output && output.prompt),
    });
  });

  it('makes the graphs that it has always made where it says what goes without saying', async () => {
    const [silent, said] = [await planned({}), await planned({ prompt: { tokens: 77, per_frame: false } })].map(
      (made) => graphsOf(made, UNET).map(({ make }) => make()),
    );
    expect(said).toEqual(silent);
  });

  it('is refused at its place when no number of chunks has so many tokens', async () => {
    const refused = planned({ prompt: { tokens: 100 } });
    await expect(refused).rejects.toThrow(MergeError);
    await expect(refused).rejects.toThrow(
      /recipe\.yaml:1:\d+: output\.prompt\.tokens is 100, but a prompt is encoded in chunks of 77 tokens .* such as 154, or for dynamic\.$/,
    );
  });
});

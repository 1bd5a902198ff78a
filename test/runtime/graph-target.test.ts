import { beforeEach, describe, expect, it, vi } from 'vitest';
import { attentionFault } from '../../src/runtime/attention-probe.ts';
import { targetFor } from '../../src/runtime/graph-target.ts';
import { startHost } from '../../src/runtime/host.ts';
import type { GraphFile } from '../../src/runtime/package-folder.ts';

vi.mock('../../src/runtime/host.ts', { spy: true });
vi.mock('../../src/runtime/attention-probe.ts', { spy: true });
beforeEach(() => vi.clearAllMocks());

/** A package with UNets for these targets. */
const packageFor = (...targets: GraphFile['target'][]) => {
  const files = targets.map((target) => ({ target, size: [], path: `unet/model.${target}.onnx` }));
  return { folder: 'pkg', graphs: { unet: files, text_encoder: [], vae_decoder: [] } };
};

describe('attentionFault', () => {
  it('finds nothing on the CPU', async () => {
    expect(await attentionFault('cpu')).toBeUndefined();
  });

  it.each([
    ['are all a tenth too large', (y: Float32Array) => y.map((value) => value * 1.1)],
    ['are right in all but one block of keys', (y: Float32Array) => y.map((value, i) => (i < 64 ? value + 1 : value))],
    ['are not all numbers', (y: Float32Array) => y.map((value, i) => (i === 3 ? Number.NaN : value))],
    ['are missing', () => new Float32Array()],
  ])('speaks of values that %s', async (_, spoil) => {
    const { startHost: start } = await vi.importActual<{ startHost: typeof startHost }>('../../src/runtime/host.ts');
    vi.mocked(startHost).mockImplementationOnce((signal) => {
      const host = start(signal);
      return {
        ...host,
        async load(...asked) {
          const session = await host.load(...asked);
          return {
            ...session,
            async run(feeds) {
              const reply = await session.run(feeds);
              const y = reply.outputs['y'] as { type: 'float32'; dims: number[]; data: Float32Array };
              return { ...reply, outputs: { y: { ...y, data: spoil(y.data) } } };
            },
          };
        },
      };
    });
    expect(await attentionFault('cpu')).toMatch(
      /^The driver of cpu .* compute fused attention wrongly here \(relative/,
    );
  });
});

describe('targetFor', () => {
  it('has the CPU take what there is, without a word', async () => {
    expect(await targetFor(packageFor('portable'), 'cpu')).toEqual({ target: 'cpu' });
  });

  it('says that a package has no graph for a device, and how to get one', async () => {
    const { target, warning } = await targetFor(packageFor('portable', 'cpu'), 'webgpu');
    expect(target).toBe('portable');
    expect(warning).toMatch(/^pkg has no graph made for webgpu; .* Bake with output\.targets: \[portable, webgpu\]/);
    expect(attentionFault).not.toHaveBeenCalled();
  });

  it('tries a WebGPU device once, and leaves its own graphs where the attention is wrong', async () => {
    vi.mocked(attentionFault).mockResolvedValueOnce('The driver errs');
    const wrong = {
      target: 'portable',
      warning: 'The driver errs. The portable graphs of pkg run on it instead: they do without.',
    };
    expect(await targetFor(packageFor('portable', 'webgpu'), 'webgpu')).toEqual(wrong);
    expect(await targetFor(packageFor('portable', 'webgpu'), 'webgpu')).toEqual(wrong);
    expect(attentionFault).toHaveBeenCalledOnce();
  });

  it('takes the graphs of a device that is sound', async () => {
    vi.resetModules(); // forgets what was found out
    const { targetFor: anew } = await import('../../src/runtime/graph-target.ts');
    const { attentionFault: fault } = await import('../../src/runtime/attention-probe.ts');
    vi.mocked(fault).mockResolvedValueOnce(undefined);
    expect(await anew(packageFor('portable', 'webgpu'), 'webgpu')).toEqual({ target: 'webgpu' });
    expect(await anew(packageFor('portable', 'cuda'), 'cuda')).toEqual({ target: 'cuda' });
  });
});

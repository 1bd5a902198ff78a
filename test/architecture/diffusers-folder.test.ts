import { describe, expect, it } from 'vitest';
import {
  componentFiles,
  configFiles,
  isShardIndex,
  motionAdapterFiles,
  pipelineFiles,
} from '../../src/architecture/diffusers-folder.ts';

const S = 'diffusion_pytorch_model';
const set = (...names: string[]) => new Set(names);

describe('the weights of a component', () => {
  // Of each row everything is there; the first is taken. The order of diffusers' own `from_pretrained` without a variant, then ours.
  it.each([
    [`${S}.safetensors`, `${S}.safetensors.index.json`, `${S}.fp16.safetensors`, `${S}.bin`],
    [`${S}.safetensors.index.json`, `${S}.fp16.safetensors`, `${S}.bin`],
    [`${S}.fp16.safetensors`, `${S}.safetensors.index.fp16.json`, `${S}.non_ema.safetensors`, `${S}.bin`],
    [`${S}.safetensors.index.fp16.json`, `${S}.non_ema.safetensors`],
    [`${S}.safetensors.fp16.index.json`, `${S}.bin`],
    [`${S}.non_ema.safetensors`, `${S}.bin`],
    [`${S}.bin`, `${S}.bin.index.json`, `${S}.fp16.bin`, 'model.safetensors'],
  ])('%s', (first, ...others) => {
    const names = set(...[...others, first].map((name) => `unet/${name}`));
    expect(pipelineFiles(names, ['unet'])).toEqual([`unet/${first}`]);
  });

  it("of a text encoder have transformers' names", () => {
    const names = set(
      'text_encoder/pytorch_model.bin',
      'text_encoder/model.safetensors',
      `text_encoder/${S}.safetensors`,
    );
    expect(pipelineFiles(names, ['text_encoder'])).toEqual(['text_encoder/model.safetensors']);
    names.delete('text_encoder/model.safetensors');
    expect(pipelineFiles(names, ['text_encoder'])).toEqual(['text_encoder/pytorch_model.bin']);
  });

  it('alone: from a pipeline, or from a folder of its own, with its config', () => {
    const own = set('config.json', `${S}.safetensors`);
    expect(componentFiles(own, 'vae_decoder')).toEqual(['config.json', `${S}.safetensors`]);
    expect(componentFiles(set(...own, 'vae/config.json', `vae/${S}.bin`), 'vae_decoder')).toEqual([
      'vae/config.json',
      `vae/${S}.bin`,
    ]);
    expect(motionAdapterFiles(own)).toEqual(['config.json', `${S}.safetensors`]);
    expect([componentFiles(set('config.json'), 'vae_decoder'), motionAdapterFiles(set('x.ckpt'))]).toEqual([[], []]);
  });
});

it('a folder without weights is no pipeline; its configs are configs all the same', () => {
  const names = set('unet/config.json', 'tokenizer/vocab.json', 'tokenizer/tokenizer.json', 'README.md');
  expect(pipelineFiles(names, ['unet', 'vae_decoder'])).toEqual([]);
  expect(configFiles(names)).toEqual(['unet/config.json', 'tokenizer/vocab.json', 'tokenizer/tokenizer.json']);
  names.add('tokenizer/merges.txt');
  expect(configFiles(names)).toEqual(['unet/config.json', 'tokenizer/vocab.json', 'tokenizer/merges.txt']);
});

it('an index is told by its name, with a variant in either place', () => {
  expect(['a.index.json', 'a.index.fp16.json', 'a.fp16.index.json'].every(isShardIndex)).toBe(true);
  expect(['config.json', 'a.index.safetensors', 'index.json'].some(isShardIndex)).toBe(false);
});

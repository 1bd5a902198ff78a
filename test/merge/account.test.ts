import { describe, expect, it } from 'vitest';
import { MergeError } from '../../src/errors.ts';
import { openAccount } from '../../src/merge/account.ts';

describe('openAccount', () => {
  it('puts every tensor in exactly one bucket', () => {
    const account = openAccount('file', ['a', 'b', 'c', 'd', 'extra.1', 'extra.2']);
    account.apply('a');
    account.apply('a'); // a tensor is counted once, and by the first that takes it
    account.ignore('vae-encoder', 'a');
    account.ignore('position-ids', 'b');
    account.apply('b');
    account.ignore('vae-encoder', 'c');
    account.ignore('vae-encoder', 'd');
    account.apply('elsewhere');
    expect(account.close({ allow: ['extra.*'] })).toEqual({
      tensors: 6,
      applied: 1,
      ignored: { 'position-ids': 1, 'vae-encoder': 2 },
      allowed_unmatched: ['extra.1', 'extra.2'],
    });
  });

  it('refuses what is left, with its reason, the nearest name, or neither', () => {
    const account = openAccount('style.safetensors', ['down_blocks.0.wieght', 'x.dora_scale', 'zzz']);
    const close = () =>
      account.close({
        allow: [],
        candidates: ['down_blocks.0.weight', 'up_blocks.0.weight'],
        explain: (tensor) => (tensor.endsWith('dora_scale') ? 'DoRA' : undefined),
      });
    expect(close).toThrow(MergeError);
    expect(close).toThrow(/^style\.safetensors: 3 of 3 tensors fit nothing in this model:\n/);
    expect(close).toThrow('down_blocks.0.wieght (did you mean down_blocks.0.weight?)');
    expect(close).toThrow('x.dora_scale (DoRA)');
    expect(close).toThrow('zzz (no such parameter)');
    expect(close).toThrow('allow_unmatched');
    expect(() => account.close({})).not.toThrow('allow_unmatched'); // a base has no such list
  });

  it('tells of the tensors of a module together, and gives the line that leaves them out', () => {
    const names = ['lora_unet_atn1.alpha', 'lora_unet_atn1.up.weight', 'lora_unet_atn1.odd'];
    const account = openAccount('style.safetensors', ['known', ...names], 'personalized[0]');
    account.apply('known');
    const moduleOf = (tensor: string) => tensor.slice(0, tensor.indexOf('.'));
    const explain = (tensor: string) =>
      tensor.endsWith('odd') ? 'it is odd' : `did you mean ${tensor.replace('atn1', 'attn1')}?`;
    let message = '';
    try {
      account.close({ allow: [], moduleOf, explain });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message.split('\n')).toEqual([
      'style.safetensors: 3 of 4 tensors fit nothing in this model:',
      '  lora_unet_atn1.* (2 tensors: did you mean lora_unet_attn1.*?)',
      '  lora_unet_atn1.odd (it is odd)',
      'Nothing was merged. Correct the names in the file, or take a file that was made for this model. Or leave these tensors out, by this line under personalized[0] in the recipe:',
      '  allow_unmatched: ["lora_unet_atn1.*", "lora_unet_atn1.odd"]',
      'The rest of the file is merged then.',
    ]);
    const [, line = ''] = /allow_unmatched: (.*)/.exec(message) ?? [];
    expect(account.close({ allow: JSON.parse(line) })).toMatchObject({
      applied: 1,
      allowed_unmatched: names.toSorted(),
    });
  });

  it('writes no line where a name has characters that mean something in a glob', () => {
    const close = () => openAccount('file', ['a[0].weight']).close({ allow: [] });
    expect(close).toThrow('list them (globs are fine) under allow_unmatched of this source');
  });

  it('lists the first dozen and counts the others', () => {
    const names = Array.from({ length: 40 }, (_, i) => `tensor.${String(i).padStart(2, '0')}`);
    const close = () => openAccount('file', names.toReversed()).close({ allow: ['tensor.3?'] });
    expect(close).toThrow(/30 of 40 tensors/);
    expect(close).toThrow(/tensor\.00[\s\S]*tensor\.11[\s\S]*… and 18 more/);
    expect(close).not.toThrow(/tensor\.12/);
  });
});

import { describe, expect, it } from 'vitest';
import { RecipeError } from '../../src/errors.ts';
import { clipShapes, describeShapes } from '../../src/recipe/clip-shapes.ts';
import { parseRecipe } from '../../src/recipe/load.ts';

const FILE = '/studio/recipes/x.yaml';

/** The shortest recipe; three lines. */
const SHORTEST = 'name: x\nbase: b\nmotion: { module: m }\n';

/** What parsing `text` complains about, without the file's name. */
function problems(text: string): readonly string[] {
  try {
    parseRecipe(text, FILE);
  } catch (error) {
    expect(error).toBeInstanceOf(RecipeError);
    return (error as RecipeError).problems.map((problem) => problem.replace(`${FILE}:`, ''));
  }
  return [];
}

describe('a valid recipe', () => {
  it('gets every default', () => {
    expect(parseRecipe(SHORTEST, FILE)).toEqual({
      file: FILE,
      text: SHORTEST,
      name: 'x',
      base: { model: '/studio/recipes/b' },
      personalized: [],
      motion: {
        module: '/studio/recipes/m',
        gamma: 1,
        mode: 'residual',
        norm: 'per-frame',
        loras: [],
        blocks: {},
        allow_unmatched: [],
      },
      sampler: {
        kind: 'lcm',
        steps: 4,
        guidance: 1,
        beta_schedule: 'linear',
        original_steps: 50,
        timestep_spacing: 'leading',
      },
      output: {
        frames: 16,
        width: 512,
        height: 512,
        dtype: 'fp16',
        weights: false,
        vae_encoder: false,
        targets: ['portable', 'cpu'],
        shapes: 'static',
        prompt: { per_frame: false },
      },
      verify: {
        prompt: 'a photo',
        negative: '',
        prompt_weights: false,
        seed: 0,
        device: 'auto',
        profile: 'standard',
        budgets: {},
      },
    });
  });

  it('keeps everything that is said, and makes every path absolute', () => {
    const text = `
name: everything
base: { model: ../m.safetensors, config: cfg, vae: /abs/vae.pt, text_encoder: ./te/../te.safetensors }
personalized:
  - lora: one.safetensors
    alpha: -0.5
    scale: raw
    text_encoder: 0
    blocks: { IN08: 0.5, OUT: 1, M00: 0, BASE: 2 }
    allow_unmatched: ['lora_te_*']
    expect: { modules: 204 }
  - { lora: two.safetensors, alpha: 2, scale: rslora }
lcm: { lora: lcm.safetensors, beta: 0.9, blocks: { IN00: 0 }, expect: { modules: 278 } }
motion:
  module: mm.ckpt
  gamma: 0.8
  mode: weights
  norm: pooled
  positions: { from: 16, to: 32 }
  loras: [{ lora: pan.ckpt, alpha: 0.7 }, { lora: ../zoom.safetensors, alpha: -1, scale: raw, blocks: { mid: 0 }, expect: { modules: 160 } }]
  allow_unmatched: [x]
sampler: { kind: ddim, steps: 51, guidance: 0, beta_schedule: scaled_linear, original_steps: 50, timestep_spacing: trailing }
output: { frames: 1, width: 8, height: 1024, dtype: fp32, vae_dtype: fp16, weights: true, vae_encoder: true, targets: [portable, portable], shapes: dynamic, max_shard_bytes: 1.5 GiB, prompt: { tokens: 154, per_frame: true } }
verify: { prompt: '', negative: blurry, prompt_weights: true, seed: 9007199254740991, device: webgpu, budgets: { denoise_ms: 1.5 } }
publish: { to: ../out }
`;
    const { text: _, ...recipe } = parseRecipe(text, FILE);
    expect(recipe).toEqual({
      file: FILE,
      name: 'everything',
      base: {
        model: '/studio/m.safetensors',
        config: '/studio/recipes/cfg',
        vae: '/abs/vae.pt',
        text_encoder: '/studio/recipes/te.safetensors',
      },
      personalized: [
        {
          lora: '/studio/recipes/one.safetensors',
          alpha: -0.5,
          scale: 'raw',
          text_encoder: 0,
          blocks: { IN08: 0.5, OUT: 1, M00: 0, BASE: 2 },
          allow_unmatched: ['lora_te_*'],
          expect: { modules: 204 },
        },
        {
          lora: '/studio/recipes/two.safetensors',
          alpha: 2,
          scale: 'rslora',
          text_encoder: 2, // alpha
          blocks: {},
          allow_unmatched: [],
        },
      ],
      lcm: {
        lora: '/studio/recipes/lcm.safetensors',
        beta: 0.9,
        scale: 'alpha/rank',
        blocks: { IN00: 0 },
        allow_unmatched: [],
        expect: { modules: 278 },
      },
      motion: {
        module: '/studio/recipes/mm.ckpt',
        gamma: 0.8,
        mode: 'weights',
        norm: 'pooled',
        positions: { from: 16, to: 32 },
        loras: [
          { lora: '/studio/recipes/pan.ckpt', alpha: 0.7, scale: 'alpha/rank', blocks: {}, allow_unmatched: [] },
          {
            lora: '/studio/zoom.safetensors',
            alpha: -1,
            scale: 'raw',
            blocks: { mid: 0 },
            allow_unmatched: [],
            expect: { modules: 160 },
          },
        ],
        blocks: {},
        allow_unmatched: ['x'],
      },
      sampler: {
        kind: 'ddim',
        steps: 51,
        guidance: 0,
        beta_schedule: 'scaled_linear',
        original_steps: 50,
        timestep_spacing: 'trailing',
      },
      output: {
        frames: 1,
        width: 8,
        height: 1024,
        dtype: 'fp32',
        vae_dtype: 'fp16',
        weights: true,
        vae_encoder: true,
        targets: ['portable'],
        shapes: 'dynamic',
        prompt: { tokens: 154, per_frame: true },
        max_shard_bytes: 1_610_612_736,
      },
      verify: {
        prompt: '',
        negative: 'blurry',
        prompt_weights: true,
        seed: Number.MAX_SAFE_INTEGER,
        device: 'webgpu',
        profile: 'standard',
        budgets: { denoise_ms: 1.5 },
      },
      publish: { to: '/studio/out' },
    });
  });

  it('resolves paths against the folder of a relative recipe path, from the working directory', () => {
    const recipe = parseRecipe(SHORTEST, 'sub/x.yaml');
    expect(recipe.file).toBe(`${process.cwd()}/sub/x.yaml`);
    expect(recipe.motion.module).toBe(`${process.cwd()}/sub/m`);
  });

  it('may share values by alias', () => {
    const recipe = parseRecipe(
      `${SHORTEST}lcm: { lora: &l same.safetensors }\npersonalized: [{ lora: *l, alpha: 1 }]\n`,
      FILE,
    );
    expect(recipe.personalized[0]?.lora).toBe('/studio/recipes/same.safetensors');
  });

  it('survives JSON', () => {
    const recipe = parseRecipe(SHORTEST, FILE);
    expect(JSON.parse(JSON.stringify(recipe))).toEqual(recipe);
  });
});

describe('text that is not a recipe', () => {
  it.each([
    ['nothing', '', ['1:1: The recipe is empty. It needs at least the keys name, base and motion.']],
    ['a comment', '# name: x\n', ['1:1: The recipe is empty. It needs at least the keys name, base and motion.']],
    ['a list', '\n- a', ['2:1: The recipe must be a mapping, but a list was found.']],
    ['plain text', 'foo', ['1:1: The recipe must be a mapping, but the text "foo" was found.']],
    [
      'two documents',
      `${SHORTEST}---\n${SHORTEST}`,
      ['4:1: A recipe is one YAML document, but a second one starts here. Put it into a file of its own.'],
    ],
    [
      'broken YAML, whatever else is wrong',
      'nam: x\na: b: c\n',
      ['2:4: This is not valid YAML: Nested mappings are not allowed in compact mappings.'],
    ],
    [
      'an open bracket',
      'name: [1,\n',
      [
        '2:1: This is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ].',
      ],
    ],
    [
      'two mistakes of syntax',
      'name: "\\q"\nbase:\n\tmodel: x\n',
      [
        '1:8: This is not valid YAML: Invalid escape sequence \\q.',
        '3:1: This is not valid YAML: Tabs are not allowed as indentation.',
      ],
    ],
    [
      'one mistake of syntax that makes nonsense of the rest',
      'name: x\nbase: ]\nmotion: { module: m }\n',
      ['2:7: This is not valid YAML: Unexpected flow-seq-end token in YAML stream: "]".'],
    ],
    [
      'keys that are not text',
      `${SHORTEST}? [a]\n: 1\n`,
      ['4:3: A key must be plain text, but a list, a mapping or an alias was found.'],
    ],
  ])('%s', (_, text, expected) => {
    expect(problems(text)).toEqual(expected);
  });

  it('more than a megabyte', () => {
    const comment = (bytes: number) => `${SHORTEST}#${'é'.repeat((bytes - SHORTEST.length - 2) / 2)}x`;
    expect(Buffer.byteLength(comment(1_000_000))).toBe(1_000_000);
    expect(problems(comment(1_000_000))).toEqual([]);
    expect(problems(comment(1_000_002))).toEqual([
      '1:1: A recipe has at most 1000000 bytes, but this file has 1000002. Is it a recipe?',
    ]);
  });
});

describe('YAML that means harm', () => {
  it('a bomb of aliases is not unfolded', () => {
    const ten = (alias: string) => `[${Array(10).fill(alias).join(', ')}]`;
    const bomb = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'].map((name, index, all) =>
      index === 0 ? `a: &a ${ten('1')}` : `${name}: &${name} ${ten(`*${all[index - 1]}`)}`,
    );
    // With the root, a holds 12 values, b 111, c 1,111 and d 11,111. The 10,001st is 8,767 values into d: its list, seven
    // of its ten c (7 × 1,111), then a list, eight b (8 × 111), a list, nine a (9 × 11): the last 1 of the anchor a.
    expect(problems(bomb.join('\n'))).toEqual(['1:35: The recipe holds more than 10000 values, aliases followed.']);
  });

  it('as many aliases as a recipe can use are', () => {
    const source = '  - { lora: *l, alpha: 1 }\n';
    const text = `${SHORTEST}lcm: { lora: &l x }\npersonalized:\n`;
    expect(parseRecipe(text + source.repeat(3000), FILE).personalized).toHaveLength(3000);
    expect(problems(text + source.repeat(4000))).toEqual([
      '3336:24: The recipe holds more than 10000 values, aliases followed.', // 8 + 3331 × 3 = 10,001
    ]);
  });

  it('an alias inside its own anchor ends', () => {
    expect(problems(`${SHORTEST}lcm: &a { lora: *a }`)).toEqual([
      '4:17: The recipe nests more than 32 deep; four is enough for a recipe.',
    ]);
  });

  it('endless nesting ends', () => {
    expect(problems('['.repeat(20_000))).toEqual([
      expect.stringMatching(/^1:\d+: The YAML nests too deeply to be read; four deep is enough for a recipe\.$/),
    ]);
  });

  it('no key reaches a prototype', () => {
    expect(
      problems(`${SHORTEST}__proto__: { polluted: 1 }\nlcm: { lora: l, blocks: { __proto__: 1 }, constructor: 1 }\n`),
    ).toEqual([
      '4:1: Unknown key __proto__.',
      '5:27: Unknown key lcm.blocks.__proto__.',
      '5:43: Unknown key lcm.constructor. Known here: lora, beta, scale, blocks, license, allow_unmatched, expect.',
    ]);
    expect(Object.prototype).not.toHaveProperty('polluted');
  });

  it('tags, merge keys and YAML 1.1 mean nothing', () => {
    expect(problems(`${SHORTEST}verify: { prompt: !!js/function "x", negative: !foo y }`)).toEqual([
      '4:19: This YAML tag is not understood, and a recipe needs none. Remove it.',
      '4:48: This YAML tag is not understood, and a recipe needs none. Remove it.',
    ]);
    expect(problems(`${SHORTEST}lcm: &l { lora: l }\nsampler: { <<: *l }`)).toEqual([
      '5:12: Unknown key sampler."<<". Known here: kind, steps, guidance, beta_schedule, original_steps, timestep_spacing.',
    ]);
    expect(parseRecipe(`%YAML 1.1\n---\n${SHORTEST}verify: { prompt: yes }`, FILE).verify.prompt).toBe('yes');
    expect(parseRecipe(`${SHORTEST}verify: { prompt: !!str 5 }`, FILE).verify.prompt).toBe('5');
  });

  it('an alias without an anchor is named', () => {
    expect(problems(`${SHORTEST}lcm: { lora: *nobody }`)).toEqual(['4:14: The alias *nobody has no anchor before it.']);
  });

  it('a message never carries what a terminal would obey', () => {
    expect(problems(`${SHORTEST}"\\e[31m": 1\noutput: { dtype: "\\e]0;\\a" }`)).toEqual([
      '4:1: Unknown key "\\u001b[31m". Known here: name, base, personalized, lcm, motion, sampler, output, verify, publish.',
      '5:18: output.dtype must be "fp16" or "fp32", but the text "\\u001b]0;\\u0007" was found.',
    ]);
  });

  it('a thousand mistakes are not all listed', () => {
    const found = problems(SHORTEST + Array.from({ length: 1000 }, (_, i) => `k${i}: 1\n`).join(''));
    expect(found).toHaveLength(101);
    expect(found[99]).toMatch(/^103:1: Unknown key k99\./);
    expect(found[100]).toBe(' There are 900 more problems after these.');
  });
});

describe('keys', () => {
  it.each([
    ['unknown, near a known one', 'lcm: { lora: l, betta: 1 }', '4:17: Unknown key lcm.betta. Did you mean "beta"?'],
    ['unknown at the top', 'smapler: { steps: 2 }', '4:1: Unknown key smapler. Did you mean "sampler"?'],
    [
      'unknown, near nothing',
      'publish: { to: x, from: y }',
      '4:19: Unknown key publish.from. Known here: to, private, pull_request.',
    ],
    [
      'unknown in a list',
      'personalized:\n  - lora: l\n    alpha: 1\n    alhpa: 2',
      '7:5: Unknown key personalized[0].alhpa. Did you mean "alpha"?',
    ],
    [
      'unknown, with odd characters',
      'verify: { "pro mpt": x }',
      '4:11: Unknown key verify."pro mpt". Did you mean "prompt"?',
    ],
    ['given twice', 'verify: { seed: 1, prompt: x, seed: 2 }', '4:31: The key verify.seed is given twice. Keep one.'],
    ['given twice at the top', 'name: y', '4:1: The key name is given twice. Keep one.'],
    ['missing in a list', 'personalized:\n  - lora: l', '5:5: The key personalized[0].alpha is missing.'],
    ['missing in a mapping', 'lcm:\n  beta: 1', '4:1: The key lcm.lora is missing.'],
    ['missing deep down', 'lcm: { lora: l, expect: {} }', '4:17: The key lcm.expect.modules is missing.'],
  ])('%s', (_, line, expected) => {
    expect(problems(`${SHORTEST}${line}\n`)).toEqual([expected]);
  });

  it('missing at the top', () => {
    expect(problems('# only this\nverify: {}\n')).toEqual([
      '2:1: The key name is missing.',
      '2:1: The key base is missing.',
      '2:1: The key motion is missing.',
    ]);
  });

  it('a key that is missing because it is misspelled is one problem', () => {
    expect(problems('name: x\nbase: { modle: b }\nmotion: { module: m }\n')).toEqual([
      '2:9: Unknown key base.modle. Did you mean "model"?',
    ]);
  });
});

describe('values', () => {
  it.each([
    ['lcm: { lora: l, beta: abc }', '4:23: lcm.beta must be a number, but the text "abc" was found.'],
    ['lcm: { lora: l, beta: .nan }', '4:23: lcm.beta must be a finite number, but NaN was found.'],
    ['lcm: { lora: l, beta: -.inf }', '4:23: lcm.beta must be a finite number, but -Infinity was found.'],
    ['lcm: { lora: l, beta: 1e999 }', '4:23: lcm.beta must be a finite number, but Infinity was found.'],
    [
      'lcm: { lora: l, beta: 0,8 }',
      '4:25: Unknown key lcm.8. Known here: lora, beta, scale, blocks, license, allow_unmatched, expect.',
    ],
    ['lcm: { lora: l, beta: true }', '4:23: lcm.beta must be a number, but true was found.'],
    ['lcm: { lora: l, beta: [1] }', '4:23: lcm.beta must be a number, but a list was found.'],
    ['lcm: { lora: l, beta: { a: 1 } }', '4:23: lcm.beta must be a number, but a mapping was found.'],
    ['lcm: { lora: l, beta: }', '4:23: lcm.beta must be a number, but nothing was found.'],
    ['lcm: { lora: "" }', '4:14: lcm.lora must not be empty.'],
    ['lcm: { lora: "a\\0b" }', '4:14: lcm.lora must not contain a NUL character.'],
    ['lcm: { lora: 5 }', '4:14: lcm.lora must be text, but 5 was found.'],
    ['lcm: l', '4:6: lcm must be a mapping, but the text "l" was found.'],
    ['sampler:', '4:9: sampler must be a mapping, but nothing was found.'],
    ['personalized: { lora: l }', '4:15: personalized must be a list, but a mapping was found.'],
    ['personalized: [l]', '4:16: personalized[0] must be a mapping, but the text "l" was found.'],
    [
      'lcm: { lora: l, scale: alpha/rnak }',
      '4:24: lcm.scale must be "alpha/rank", "raw" or "rslora", but the text "alpha/rnak" was found. Did you mean "alpha/rank"?',
    ],
    [
      'sampler: { kind: plms }',
      '4:18: sampler.kind must be "lcm", "ddim", "dpmpp_2m", "dpmpp_2m_karras" or "euler", but the text "plms" was found.',
    ],
    ['sampler: { steps: 0 }', '4:19: sampler.steps must be at least 1, but 0 was found.'],
    ['sampler: { kind: ddim, steps: 1001 }', '4:31: sampler.steps must be at most 1000, but 1001 was found.'],
    ['sampler: { steps: 4.5 }', '4:19: sampler.steps must be a whole number, but 4.5 was found.'],
    ['sampler: { guidance: -0.1 }', '4:22: sampler.guidance must be at least 0, but -0.1 was found.'],
    ['sampler: { original_steps: 1001 }', '4:28: sampler.original_steps must be at most 1000, but 1001 was found.'],
    [
      'sampler: { original_steps: 20, steps: 21 }',
      '4:39: sampler.steps (21) must not be greater than sampler.original_steps (20), from which the steps are picked.',
    ],
    [
      'sampler: { original_steps: 3 }', // steps is 4 by default
      '4:10: sampler.steps (4) must not be greater than sampler.original_steps (3), from which the steps are picked.',
    ],
    ['output: { frames: 0 }', '4:19: output.frames must be at least 1, but 0 was found.'],
    [
      'output: { frames: 17, width: 16384, height: 16384 }',
      '4:19: output.frames makes, with width and height, a clip of 4563402752 pixels; 4294967296 at most can be sampled.',
    ],
    ['sampler: { guidance: 1001 }', '4:22: sampler.guidance must be at most 1000, but 1001 was found.'],
    ['output: { frames: 1025 }', '4:19: output.frames must be at most 1024, but 1025 was found.'],
    ['output: { width: 100 }', '4:18: output.width must be a multiple of 8, but 100 was found.'],
    ['output: { height: 0 }', '4:19: output.height must be at least 8, but 0 was found.'],
    ['output: { height: 16392 }', '4:19: output.height must be at most 16384, but 16392 was found.'],
    [
      'output: { max_shard_bytes: 1.5 }',
      '4:28: output.max_shard_bytes must be a whole number or text, but 1.5 was found.',
    ],
    ['output: { max_shard_bytes: 0 }', '4:28: output.max_shard_bytes must be at least 1, but 0 was found.'],
    ...['7kb', '.5MB', '0.0001 kB', '99999999999GB', '1 800 MB'].map((size) => [
      `output: { max_shard_bytes: ${size} }`,
      '4:28: output.max_shard_bytes must be a number of bytes, or one with a unit (kB, MB, GB, KiB, MiB, GiB), such as 1800MB.',
    ]),
    ['output: { targets: [] }', '4:20: output.targets must not be empty.'],
    ['verify: { seed: -1 }', '4:17: verify.seed must be at least 0, but -1 was found.'],
    [
      'verify: { seed: 9007199254740992 }',
      '4:17: verify.seed must be at most 9007199254740991, but 9007199254740992 was found.',
    ],
    [
      'verify: { device: gpu }',
      '4:19: verify.device must be "auto", "cpu", "webgpu", "cuda", "dml" or "coreml", but the text "gpu" was found. Did you mean "cpu"?',
    ],
    ['verify: { budgets: { denoise_ms: 0 } }', '4:34: verify.budgets.denoise_ms must be at least 1, but 0 was found.'],
  ])('%s', (line, expected) => {
    expect(problems(`${SHORTEST}${line}\n`)).toEqual([expected]);
  });

  it.each([
    ['../x', 'must not begin with a dot, nor contain a slash, a backslash or a control character: it names files'],
    ['a/b', 'must not begin with a dot, nor contain a slash, a backslash or a control character: it names files'],
    ['a\\\\b', 'must not begin with a dot, nor contain a slash, a backslash or a control character: it names files'],
    ['a\\nb', 'must not begin with a dot, nor contain a slash, a backslash or a control character: it names files'],
    ['', 'must not be empty'],
    ['n'.repeat(129), 'must not be longer than 128 characters'],
  ])('the name "%s"', (name, expected) => {
    expect(problems(`base: b\nmotion: { module: m }\nname: "${name}"\n`)).toEqual([`3:7: name ${expected}.`]);
  });

  it('a base that is neither text nor a mapping', () => {
    expect(problems('name: x\nmotion: { module: m }\nbase: [b]\n')).toEqual([
      '3:7: base must be text or a mapping, but a list was found.',
    ]);
  });

  it('every mistake is reported, in file order', () => {
    expect(
      problems(`nmae: x
base: b
motion: { gamma: x, module: m, gamma: 2 }
sampler: { stpes: 3, guidance: -1 }
output: { targets: [coda], width: 7 }
`),
    ).toEqual([
      '1:1: Unknown key nmae. Did you mean "name"?',
      '3:18: motion.gamma must be a number, but the text "x" was found.',
      '3:32: The key motion.gamma is given twice. Keep one.',
      '4:12: Unknown key sampler.stpes. Did you mean "steps"?',
      '4:32: sampler.guidance must be at least 0, but -1 was found.',
      '5:21: output.targets[0] must be "portable", "cpu", "cuda" or "webgpu", but the text "coda" was found. Did you mean "cuda"?',
      '5:35: output.width must be at least 8, but 7 was found.',
    ]);
  });

  it('the error carries the file and the place of the first mistake', () => {
    expect(() => parseRecipe(`${SHORTEST}sampler:\n  steps: x\nsmapler: 1\n`, 'some/x.yaml')).toThrow(
      expect.objectContaining({
        kind: 'recipe',
        place: { file: 'some/x.yaml', line: 5, column: 10 },
        message: [
          'some/x.yaml:5:10: sampler.steps must be a number, but the text "x" was found.',
          'some/x.yaml:6:1: Unknown key smapler. Did you mean "sampler"?',
        ].join('\n'),
      }),
    );
  });
});

describe('block weights', () => {
  it.each([
    '{ IN00: 0, IN11: 1, M00: 2, OUT00: 3, OUT11: 4, IN: 5, M: 6, OUT: 7, BASE: 8 }',
    '{}',
    '{ down: 0, up_blocks.2.attentions.0: 1, mid_block: 2, text_model.encoder.layers.1: 3, conv_in: 4 }',
    '{ "*.attn2.*": 0, text_model.encoder.layers.1*: 1, "up_blocks.?.*": 2 }',
    ...[26, 25, 20, 17, 12].map((length) => `[${Array(length).fill(0.5)}]`),
  ])('personalized takes %s', (blocks) => {
    expect(problems(`${SHORTEST}personalized: [{ lora: l, alpha: 1, blocks: ${blocks} }]`)).toEqual([]);
  });

  it('are kept as they are written', () => {
    const blocks = Array.from({ length: 12 }, (_, i) => i / 10);
    expect(parseRecipe(`${SHORTEST}lcm: { lora: l, blocks: [${blocks}] }`, FILE).lcm?.blocks).toEqual(blocks);
  });

  it.each([0, 11, 13, 19, 27])('a list of %i numbers names no blocks', (length) => {
    expect(problems(`${SHORTEST}lcm: { lora: l, blocks: [${Array(length).fill(1)}] }`)).toEqual([
      `4:25: lcm.blocks must have 26, 25, 20, 17 or 12 numbers, but it has ${length}; which blocks each length names is in docs/formats.md.`,
    ]);
  });

  it('lists hold finite numbers', () => {
    expect(problems(`${SHORTEST}lcm: { lora: l, blocks: [${Array(11).fill(1)}, x] }`)).toEqual([
      '4:49: lcm.blocks[11] must be a number, but the text "x" was found.',
    ]);
    expect(problems(`${SHORTEST}lcm: { lora: l, blocks: 5 }`)).toEqual([
      '4:25: lcm.blocks must be a mapping or a list, but 5 was found.',
    ]);
  });

  it.each(['encoder.layers', 'down_blocks..1', '[x]*', 'up_blocks.0 '])('the path "%s" is unknown', (key) => {
    expect(problems(`${SHORTEST}lcm: { lora: l, blocks: { "${key}": 1 } }`)).toEqual([
      expect.stringMatching(/^4:27: Unknown key lcm\.blocks\.".*"\. /),
    ]);
  });

  it.each([
    ['IN12', 'Did you mean "IN10"?'],
    ['in08', 'Did you mean "IN08"?'],
    ['IN8', 'Did you mean "IN08"?'],
    ['MID', 'Did you mean "mid"?'],
    ['QKV', expect.stringContaining('Known here: IN00, IN01')],
  ])('%s is unknown', (name, hint) => {
    const [problem, ...rest] = problems(`${SHORTEST}motion2: 0\nlcm: { lora: l, blocks: { ${name}: 1 } }`).slice(1);
    expect(rest).toEqual([]);
    const [, place, sentence] = /^(\d+:\d+): Unknown key lcm\.blocks\.\w+\. (.*)$/.exec(problem!)!;
    expect([place, sentence]).toEqual(['5:27', hint]);
  });

  it.each([
    ['down_block.1', 'down_blocks.1'],
    ['donw_blocks.1.attentions', 'down_blocks.1.attentions'],
    ['mid_blocks', 'mid_block'],
  ])('of the path %s, %s was meant', (key, meant) => {
    expect(problems(`${SHORTEST}lcm: { lora: l, blocks: { ${key}: 1 } }`)).toEqual([
      expect.stringMatching(new RegExp(`^4:27: Unknown key .* Did you mean "${meant}"\\?$`)),
    ]);
  });

  it('BASE, the text encoder, is for personalized sources only', () => {
    expect(problems('name: x\nbase: b\nmotion: { module: m, blocks: { BASE: 1 } }')).toEqual([
      expect.stringMatching(
        /^3:32: Unknown key motion\.blocks\.BASE\. Known here: IN00, .*, OUT11, IN, M, OUT, down, down_blocks, .*, text_model\.$/,
      ),
    ]);
  });

  it('weights are finite numbers', () => {
    expect(problems(`${SHORTEST}lcm: { lora: l, blocks: { IN: .inf, OUT: x } }`)).toEqual([
      '4:31: lcm.blocks.IN must be a finite number, but Infinity was found.',
      '4:42: lcm.blocks.OUT must be a number, but the text "x" was found.',
    ]);
  });
});

describe('motion', () => {
  const motion = (keys: string) => problems(`name: x\nbase: b\nmotion: { module: m, ${keys} }`);

  it('takes a module to start from, rows of positions, and LoRAs', () => {
    expect(motion('base: mm.ckpt, gamma: 0.5, mode: residual, positions: 48, loras: [{ lora: l, alpha: 1 }]')).toEqual(
      [],
    );
    expect(motion('positions: { to: 48 }')).toEqual([]);
  });

  it.each([
    [
      'base: b, mode: weights',
      '3:37: motion.mode must not be "weights" beside motion.base: γ then multiplies the difference of the two modules, weight by weight.',
    ],
    ['positions: 0', '3:33: motion.positions must be at least 1, but 0 was found.'],
    ['positions: 1025', '3:33: motion.positions must be at most 1024, but 1025 was found.'],
    ['positions: x', '3:33: motion.positions must be a number or a mapping, but the text "x" was found.'],
    ['positions: { from: 8 }', '3:22: The key motion.positions.to is missing.'],
    [
      'positions: { from: 9, to: 8 }',
      '3:48: motion.positions.to (8) must not be less than motion.positions.from (9): rows are stretched, not pressed together.',
    ],
    ['loras: [{ lora: l }]', '3:30: The key motion.loras[0].alpha is missing.'],
    [
      'loras: [{ lora: l, alpha: 1, blocks: { BASE: 1 } }]',
      expect.stringMatching(/^3:61: Unknown key motion\.loras\[0\]\.blocks\.BASE\./),
    ],
  ])('%s', (keys, problem) => {
    expect(motion(keys)).toEqual([problem]);
  });
});

describe('references to the Hub', () => {
  it('stay as they are while paths become absolute', () => {
    const recipe = parseRecipe(
      'name: x\nbase: { model: hf://o/r@v1, config: c, vae: hf://o/r/vae.bin, text_encoder: hf://o/r/t.bin }\n' +
        'personalized: [{ lora: hf://o/r/a.safetensors, alpha: 1 }]\nlcm: { lora: l }\nmotion: { module: hf://o/m/mm.ckpt@refs/pr/1 }',
      FILE,
    );
    expect(recipe.base).toMatchObject({
      model: 'hf://o/r@v1',
      vae: 'hf://o/r/vae.bin',
      text_encoder: 'hf://o/r/t.bin',
      config: expect.stringMatching(/^\/.*\/c$/),
    });
    expect(recipe.personalized[0]?.lora).toBe('hf://o/r/a.safetensors');
    expect(recipe.motion.module).toBe('hf://o/m/mm.ckpt@refs/pr/1');
  });

  it('that cannot be one are told at their place, all of them', () => {
    expect(problems('name: x\nbase: hf://o\nlcm: { lora: hf://o/r/../x }\nmotion: { module: HF://o/r/m }')).toEqual([
      expect.stringMatching(/^2:7: "hf:\/\/o" does not name a repository by its owner and its name\. A reference/),
      expect.stringMatching(/^3:14: "hf:\/\/o\/r\/\.\.\/x" has "\.\." in its path\. A reference/),
      expect.stringMatching(/^4:19: "HF:\/\/o\/r\/m" must begin with hf:\/\/ in small letters\. A reference/),
    ]);
  });
});

describe('a personalized source', () => {
  const personalized = (text: string) => `${SHORTEST}personalized: [{ ${text} }]`;

  it('is an adapter or a whole model', () => {
    const [source] = parseRecipe(personalized('checkpoint: ../c, alpha: 1'), FILE).personalized;
    expect(source).toEqual({
      checkpoint: '/studio/c',
      alpha: 1,
      text_encoder: 1,
      scale: 'alpha/rank',
      blocks: {},
      allow_unmatched: [],
    });
  });

  it('is one of the two', () => {
    expect(problems(personalized('alpha: 1'))).toEqual([
      '4:16: personalized[0] has neither a lora nor a checkpoint; it needs one of them.',
    ]);
    expect(problems(personalized('lora: l, checkpoint: c, alpha: 1'))).toEqual([
      '4:39: personalized[0].checkpoint stands beside lora: a source has one of them.',
    ]);
  });
});

describe('output.shapes as a list', () => {
  const parse = (output: string) => parseRecipe(`${SHORTEST}output: ${output}\n`, 'r.yaml').output;

  it('has the default clip first', () => {
    const shapes = [
      { frames: 8, width: 256, height: 128 },
      { frames: 16, width: 512, height: 512 },
    ];
    const output = parse(JSON.stringify({ shapes }));
    expect(output).toMatchObject({ frames: 8, width: 256, height: 128, shapes });
    expect(clipShapes(output)).toEqual(shapes);
    expect(describeShapes(output)).toBe('8 frames of 256×128 or 16 frames of 512×512, a graph for each');
  });

  it.each([
    [
      '{ frames: 16, shapes: [{ frames: 8, width: 256, height: 128 }] }',
      '4:19: output.frames (16) differs from that of output.shapes[0] (8), which is the default. Leave it out.',
    ],
    ['{ shapes: [{ frames: 8, width: 256 }] }', '4:20: The key output.shapes[0].height is missing.'],
    ['{ prompt: { per_frames: true } }', '4:21: Unknown key output.prompt.per_frames. Did you mean "per_frame"?'],
    ['{ shapes: [] }', '4:19: output.shapes must not be empty.'],
    [
      '{ shapes: [{ frames: 8, width: 8, height: 8 }, { frames: 1024, width: 16384, height: 16384 }] }',
      '4:66: output.shapes[1].frames makes, with width and height, a clip of 274877906944 pixels; 4294967296 at most can be sampled.',
    ],
  ])('%s', (output, expected) => {
    expect(problems(`${SHORTEST}output: ${output}\n`)).toEqual([expected]);
  });
});

describe('what this version does not do yet', () => {
  it.each([
    [
      'lcm: { lora: OCI://h/r }',
      '4:14: This version does not read "OCI://h/r" yet, only local files and hf:// references. Download it and give its path.',
    ],
    [
      'lcm: { lora: https://host/lcm.safetensors }',
      '4:14: This version does not read "https://host/lcm.safetensors" yet, only local files and hf:// references. Download it and give its path.',
    ],
  ])('%s', (line, expected) => {
    expect(problems(`${SHORTEST}${line}\n`)).toEqual([expected]);
  });

  it.each([
    [
      '{ to: hf://o/r/x }',
      '4:16: publish.to is no place to publish to. "hf://o/r/x" names a path in a repository, and a package is a whole one: hf://o/r.',
    ],
    [
      '{ to: https://h/r }',
      '4:16: publish.to is no place to publish to. A folder, hf://owner/name or oci://registry/name:tag is one.',
    ],
    ['{ to: ../x, private: true }', '4:31: publish.private is only for the Hub (hf://owner/name).'],
    ['{ to: oci://r/a, pull_request: true }', '4:41: publish.pull_request is only for the Hub (hf://owner/name).'],
  ])('publish: %s', (publish, expected) => {
    expect(problems(`${SHORTEST}publish: ${publish}\n`)).toEqual([expected]);
  });

  it('takes the Hub, and what only it has', () => {
    const publish = { to: 'hf://o/r@next', private: true, pull_request: false };
    expect(parseRecipe(`${SHORTEST}publish: ${JSON.stringify(publish)}\n`, FILE).publish).toEqual(publish);
  });

  it('registries that are none', () => {
    const [problem] = problems(`${SHORTEST}publish: { to: oci://r/A }\n`);
    expect(problem).toMatch(/^4:16: publish\.to is no place to publish to\. .* where the name is expected/);
  });

  it('remote bases and motion modules, and motion LoRAs', () => {
    const later = (what: string) =>
      `This version does not read "${what}" yet, only local files and hf:// references. Download it and give its path.`;
    expect(
      problems(
        'name: x\nbase: https://a/b\nmotion:\n  module: oci://m\n  base: oci://b\n  loras: [{ lora: http://l, alpha: 1 }]',
      ),
    ).toEqual([
      `2:7: ${later('https://a/b')}`,
      `4:11: ${later('oci://m')}`,
      `5:9: ${later('oci://b')}`,
      `6:19: ${later('http://l')}`,
    ]);
    expect(problems('name: x\nbase: { model: b, vae: oci://v }\nmotion: { module: m }')).toEqual([
      `2:24: ${later('oci://v')}`,
    ]);
  });

  it('hides no other mistake', () => {
    expect(problems(`${SHORTEST}personalized:\n  - { checkpoint: oci://c, alpha: x, scael: raw }\n`)).toEqual([
      expect.stringMatching(/^5:19: This version does not read "oci:\/\/c" yet/),
      '5:35: personalized[0].alpha must be a number, but the text "x" was found.',
      '5:38: Unknown key personalized[0].scael. Did you mean "scale"?',
    ]);
  });

  it('an address in a prompt is just text', () => {
    expect(parseRecipe(`${SHORTEST}verify: { prompt: "hf://x" }`, FILE).verify.prompt).toBe('hf://x');
  });
});

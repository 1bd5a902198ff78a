import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Lock, makeLock } from '../../src/export/lock.ts';
import type { CardReport } from '../../src/export/model-card/card-report.ts';
import { hasCard, modelCard } from '../../src/export/model-card.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import type { License } from '../../src/recipe/licenses.ts';
import { markdownText } from '../../src/text/markdown.ts';
import { plainReport } from '../helpers/report-page.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';

const HASH = '0123456789abcdef'.repeat(4);
const COMMIT = HASH.slice(0, 40);

let tiny: Plan;
beforeAll(async () => {
  tiny = await plan(tinyRecipe());
});

/** The lock that a bake would leave, of a recipe that differs from the planned one. */
function lockOf(sections: Readonly<Record<string, Section>> = {}, changes: Partial<Lock> = {}): Lock {
  const made = makeLock(
    { ...tiny, recipe: tinyRecipe(sections) },
    {
      inputs: tiny.files.map(({ bytes }) => ({ bytes, sha256: HASH })),
      outputs: { 'unet/model.onnx_data': { bytes: 17e6, sha256: HASH } },
      effects: {
        sampled: 0.5,
        unchanged: 0.25,
        sources: { 'personalized[0]': 0.126, lcm: 0.05 },
        blocks: {},
        pairs: [],
      },
    },
  );
  return { ...made, ...changes };
}

function reportOf(changes: Partial<CardReport> = {}): CardReport {
  return { ...plainReport().report, machine: '2 cores of a test, linux x64', skipped: ['reproduce'], ...changes };
}

/** Parts of a card: metadata, text without blocks of code, those blocks. */
function partsOf(card: string) {
  const [, header = '', body = ''] = /^---\n(.*?\n)---\n(.*)$/s.exec(card) ?? [];
  const blocks: string[] = [];
  const text = body.replaceAll(/^(`{3,})(\w*)\n(.*?)\n\1$/gms, (_, _fence, language: string, code: string) => {
    blocks.push(`${language}\n${code}`);
    return `[code: ${language}]`;
  });
  return { header: parse(header) as Record<string, unknown>, text, blocks };
}

const sectionOf = (card: string, title: string) =>
  card.split(/^## /m).find((part) => part.startsWith(`${title}\n`)) ?? '';

describe('the model card', () => {
  it('has the metadata that the Hub reads', () => {
    const origins = {
      'base.model': { reference: 'hf://them/sd15@main', commit: COMMIT, files: {} },
      'lcm.lora': { reference: 'hf://us/loras/lcm.safetensors', commit: COMMIT, files: {} },
      'motion.module': { reference: 'hf://us/loras/motion.ckpt', commit: COMMIT, files: {} },
    };
    expect(partsOf(modelCard(lockOf({}, { origins }), reportOf())).header).toEqual({
      license: 'cc0-1.0',
      base_model: ['them/sd15', 'us/loras'],
      base_model_relation: 'merge',
      library_name: 'onnx',
      pipeline_tag: 'text-to-video',
      tags: ['text-to-video', 'onnx', 'animatediff', 'lcm', 'merge', 'lcm-merge'],
      widget: [{ text: 'a red circle', output: { url: 'verification/frames.webp' } }],
    });
    const { header } = partsOf(modelCard(lockOf({ lcm: undefined }, { licenses: {} })));
    expect(header).not.toHaveProperty('base_model');
    expect(header).not.toHaveProperty('widget');
    expect(header['tags']).not.toContain('lcm');
  });

  const ALL = ['base.model', 'personalized[0].lora', 'lcm.lora', 'motion.module'];
  const licensed = (...licenses: (string | License | undefined)[]) =>
    Object.fromEntries(
      licenses.flatMap((license, i) =>
        license ? [[ALL[i], typeof license === 'string' ? { license, from: 'hub' } : license]] : [],
      ),
    ) as Record<string, License>;
  const mine: License = { license: 'Mine & Co', link: 'https://example.com/', from: 'recipe' };

  it.each([
    [['creativeml-openrail-m', 'mit', 'mit', 'apache-2.0'], { license: 'creativeml-openrail-m' }],
    [['mit', 'mit', 'mit', undefined], { license: 'other', license_name: 'unknown' }],
    [
      ['cc-by-nc-4.0', 'openrail', 'openrail', 'openrail'],
      { license: 'other', license_name: 'cc-by-nc-4.0-and-openrail' },
    ],
    [[mine, mine, mine, mine], { license: 'other', license_name: 'mine-co', license_link: 'https://example.com/' }],
  ] as const)('of sources under %j states %j', (licenses, expected) => {
    const { license, license_name, license_link } = partsOf(
      modelCard(lockOf({}, { licenses: licensed(...licenses) })),
    ).header;
    expect({ license, license_name, license_link }).toEqual(expected);
  });

  it('says of each source which licence it has, who says so and what it demands', () => {
    const section = sectionOf(
      modelCard(lockOf({}, { licenses: licensed('creativeml-openrail-m', 'gpl-3.0', undefined, mine) })),
      'Licence',
    );
    expect(section).toContain(
      '| base.model | creativeml-openrail-m | its repository on the Hub | attribution, use restrictions |',
    );
    expect(section).toContain('| lcm.lora | **unknown** | – | – |');
    expect(section).toContain(
      '| motion.module | [Mine &#38; Co](<https://example.com/>) | the recipe | not known here |',
    );
    expect(section).toMatch(/The licence of lcm\.lora is \*\*unknown\*\*/);
    expect(section).toMatch(/\*\*They do not go together:\*\* gpl-3\.0 wants/);
    expect(section).not.toContain('The strictest');
    expect(section).toContain('no legal advice');
  });

  it('has strengths, what they did, and sources at their commit', () => {
    const card = modelCard(
      lockOf(
        {
          personalized: [{ lora: 'ink.safetensors', alpha: 0.8, text_encoder: 0.5, blocks: { IN08: 0.5, OUT: 2 } }],
          motion: { gamma: 0.5, norm: 'pooled' },
        },
        {
          origins: { 'base.model': { reference: 'hf://them/sd15', commit: COMMIT, files: {} } },
          inputs: [
            { role: 'base', file: 'a b/x.safetensors', origin: 'base.model', bytes: 5e6, sha256: HASH },
          ] as unknown as Lock['inputs'],
        },
      ),
    );
    expect(card).toContain(
      '| α | personalized | ink.safetensors | 0.8, text encoder 0.5 | alpha/rank, IN08 0.5, OUT 2 | 12.6 % |',
    );
    expect(card).toContain('| γ | motion module | animatelcm.ckpt | 0.5 | residual, GroupNorm pooled | – |');
    expect(card).toContain(
      `| base | [them/sd15/a b/x.safetensors](<https://huggingface.co/them/sd15/blob/${COMMIT}/a%20b/x.safetensors>) at ${HASH.slice(0, 12)} | \`${HASH.slice(0, 12)}\` | 5.00 MB |`,
    );
    expect(card).not.toContain(process.cwd());
  });

  it('tells what the gate found, and how long it took where', () => {
    const card = modelCard(lockOf(), reportOf());
    expect(card).toContain('it has passed the verification below');
    expect(card).toContain('![The clip that was verified: a red circle](verification/frames.webp)');
    expect(sectionOf(card, 'Verification')).toContain('Passed on cpu, in the profile standard: 4 of 4 checks passed.');
    expect(sectionOf(card, 'Verification')).toContain('| weights | passed | weights is sound. |');
    expect(sectionOf(card, 'Timing')).toContain('on **cpu** (2 cores of a test, linux x64), with unet/model.cpu.onnx');
    expect(sectionOf(card, 'Timing')).toContain('| each step | 45 ms, 46 ms, 44 ms, 47 ms |');
  });

  it('says so where it has not passed, did not run or was never verified', () => {
    const checks = [{ id: 'run', verdict: 'failed', reason: 'No memory.' }] as const;
    const failed = modelCard(lockOf(), reportOf({ verdict: 'failed', checks, timing: null }));
    expect(failed).toContain('**it has not passed the verification below**');
    expect(failed).toContain('| run | **failed** | No memory. |');
    expect(failed).not.toContain('frames.webp');
    const fresh = modelCard(lockOf());
    expect(fresh).toContain('Not verified yet.');
    expect(fresh).toContain('**it has not been verified yet**');
    expect(fresh).not.toContain('## Timing');
  });

  it.each([
    [{}, /^- The graphs take 16 frames of 64×64, and nothing else\./m, /are free/],
    [{ output: { shapes: 'dynamic' } }, /^- Frames, width and height are free/m, /nothing else/],
    [
      { output: { frames: 8, shapes: [8, 12].map((frames) => ({ frames, width: 64, height: 64 })) } },
      /take 8 frames of 64×64, 12 frames of 64×64, and/,
      /are free/,
    ],
    [{ sampler: { guidance: 7.5 } }, /for guidance 7\.5/, /has no effect/],
    [{ output: { prompt: { tokens: 154 } } }, /154 tokens together/, /one chunk/],
    [{ output: { targets: ['cuda', 'webgpu', 'cpu'] } }, /16-bit/, /no graphs made for/],
    [{ output: { dtype: 'fp32' } }, /no graphs made for cuda, webgpu/, /16-bit: /],
    [{ output: { vae_encoder: true } }, /no effect/, /no VAE encoder/],
  ])('limits of %j are those of this package', (sections, has, hasNot) => {
    const limits = sectionOf(modelCard(lockOf(sections), reportOf({ profile: 'full' })), 'Limitations');
    expect(limits).toMatch(has);
    expect(limits).not.toMatch(hasNot);
    expect(limits).not.toContain('through the profile');
  });

  it('knows what a browser cannot hold', () => {
    const outputs = { 'unet/model.onnx_data': { bytes: 2.6e9, sha256: HASH } };
    expect(modelCard(lockOf({}, { outputs }))).toContain('A browser cannot hold `unet/model.onnx_data` (2.60 GB)');
    expect(modelCard(lockOf())).toContain('on WebAssembly or, with the portable graph, on WebGPU');
  });
});

describe('text from elsewhere in a card', () => {
  const HOSTILE = [
    '](javascript:alert(1)) ![x](//evil.example/x)',
    'a | b `c` ``` ~~~ <script>alert(1)</script> </details> $$x$$',
    'a\n\n---\n# b\n```\nlicense: mit\n```\n<img src=x onerror=alert(1)>',
    'yes: [no, {a: *b}] #c !!d "e\' & %f',
    '\u202e\u2028 \\ \' " $(rm -rf /) `id`',
  ];
  /** One line, of letters alone. */
  const PLAIN = 'plain';

  const cardWith = (text: string) => {
    const sections = {
      personalized: [{ lora: `${text}.safetensors`, alpha: 1 }],
      verify: { prompt: text, negative: text },
      sampler: { guidance: 2 },
    };
    const name = text.replaceAll(/[/\\\p{Cc}]/gu, '');
    const license = { license: text, from: 'file' } as const;
    const { run } = reportOf();
    const lock = lockOf(
      { ...sections, name },
      { licenses: { 'lcm.lora': license }, tool: { name: 'lcm-merge', version: text } },
    );
    return modelCard(
      { ...lock, inputs: lock.inputs.map((input) => ({ ...input, role: text, file: text })) },
      {
        ...reportOf({ device: text, machine: text, fallback: [text], graphs: [text], skipped: [text] }),
        run: { ...run, prompt: text },
        checks: [{ id: text, verdict: 'unknown', reason: text }],
      },
    );
  };

  it.each(HOSTILE)('%j changes nothing around it', (text) => {
    const [hostile, plain] = [partsOf(cardWith(text)), partsOf(cardWith(PLAIN))];
    // what the text becomes, as a whole, as the end of a path and as a name, stands where the plain word does
    const forms = [
      text,
      basename(`${text}.safetensors`).replace(/\.safetensors$/, ''),
      text.replaceAll(/[/\\\p{Cc}]/gu, ''),
    ]
      .map((form) => markdownText(form))
      .sort((a, b) => b.length - a.length);
    const skeleton = forms.reduce((rest, form) => rest.replaceAll(form, PLAIN), hostile.text);
    expect(skeleton).toBe(plain.text);
    expect(hostile.blocks.map((block) => block.split('\n')[0])).toEqual(
      plain.blocks.map((block) => block.split('\n')[0]),
    );
    expect(hostile.header).toEqual({
      ...plain.header,
      widget: [{ text, output: { url: 'verification/frames.webp' } }],
    });
    const recipe = parse(hostile.blocks.at(-1)?.slice('yaml\n'.length) ?? '') as Lock['recipe'];
    expect(recipe.verify).toMatchObject({ prompt: text, negative: text });
  });

  it.skipIf(spawnSync('python3', ['--version']).status !== 0).each([PLAIN, ...HOSTILE])(
    'the program in Python with %j is one',
    (text) => {
      const [program = ''] = partsOf(cardWith(text)).blocks.filter((block) => block.startsWith('python\n'));
      const check =
        'import ast, sys, json; print(json.dumps([n.value for n in ast.walk(ast.parse(sys.stdin.read())) if isinstance(n, ast.Constant) and isinstance(n.value, str)]))';
      const { stdout, stderr } = spawnSync('python3', ['-c', check], {
        input: program.slice('python\n'.length),
        encoding: 'utf8',
        env: { ...process.env, PYTHONIOENCODING: 'utf-8' },
      });
      expect(stderr).toBe('');
      expect((JSON.parse(stdout) as string[]).filter((value) => value === text)).toHaveLength(2); // prompt and negative prompt
    },
  );
});

describe('whose card README.md is', () => {
  it('is the tool’s beside a lock that does not list it and has a recipe', () => {
    const lock = lockOf();
    expect(hasCard(lock)).toBe(true);
    expect(hasCard(undefined)).toBe(false);
    expect(hasCard({ ...lock, outputs: { ...lock.outputs, 'README.md': { bytes: 1, sha256: HASH } } })).toBe(false);
    expect(hasCard({ ...lock, recipe: {} as Lock['recipe'] })).toBe(false);
  });
});

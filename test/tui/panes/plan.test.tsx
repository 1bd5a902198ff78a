import { join } from 'node:path';
import { renderToString } from 'ink';
import { describe, expect, it } from 'vitest';
import { plan } from '../../../src/merge/plan.ts';
import type { PlanView } from '../../../src/tui/model.ts';
import { PlanPane } from '../../../src/tui/panes/plan.tsx';
import { misspellKey } from '../../helpers/bad-key.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { tinyRecipe } from '../../helpers/tiny.ts';

interface Drawing {
  readonly columns?: number;
  readonly stale?: boolean;
}

/** The lines inside the frame; none may be wider than it. */
function draw(view: PlanView, { columns = 60, stale = false }: Drawing = {}): string[] {
  const box = { width: columns, height: 60 };
  const text = renderToString(<PlanPane box={box} focused view={view} stale={stale} />, { columns });
  const lines = text.split('\n').slice(1, -1);
  expect(lines.filter((line) => line.length !== columns)).toEqual([]);
  return lines.map((line) => line.slice(2, -2).trimEnd());
}

const ATTENTION = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q';
const MISSPELT = ATTENTION.replace('attn1', 'atn1');

async function misspeltInk(): Promise<string> {
  const lora = join(await temporaryFolder(), 'ink.safetensors');
  await misspellKey('models/tiny/ink.safetensors', lora, ATTENTION, MISSPELT);
  return lora;
}

const ready = async (recipe = tinyRecipe()): Promise<PlanView> => ({
  recipe: 'tiny.yaml',
  status: 'ready',
  plan: await plan(recipe),
  out: 'out/tiny',
});

describe('the plan pane', () => {
  it('shows the sum, each file with what it gives and loses, and what is written', async () => {
    const lines = draw(await ready());
    expect(lines).toEqual(
      expect.arrayContaining([
        'tiny',
        'w′ = w0 + 0.8·τ(ink.safetensors) + 1·τ(lcm.safetensors)',
        'base.vae_decoder   –         110 of 188  diffusion_pyto…',
        'personalized[0]    α 0.8     612         ink.safetensors',
        'lcm                β 1       834         lcm.safetensors',
        'motion             γ 1       546         animatelcm.ckpt',
        '→ out/tiny  18.3 MB of weights',
        'unet             1253      278  16.9 MB',
        'text_encoder       36       12   293 kB',
        '  unet/ model.onnx model.cpu.onnx model.onnx_data',
      ]),
    );
    expect(lines.join(' ')).toContain(
      '· base.vae_decoder: 78 ignored by vae-encoder, the   recipe asks for no VAE encoder',
    );
  });

  it('shows sizes, modules and ranks where there is room', async () => {
    const lines = draw(await ready(), { columns: 120 });
    expect(lines).toContain('personalized[0]    α 0.8     696 kB   612         204      8     ink.safetensors');
  });

  it('shows warnings first, and what was left unmatched by the recipe’s leave', async () => {
    const personalized = [
      { lora: await misspeltInk(), alpha: 0.8, license: 'cc0-1.0', allow_unmatched: [`${MISSPELT}.*`] },
    ];
    const [name, ...lines] = draw(await ready(tinyRecipe({ personalized, lcm: undefined })), { columns: 120 });
    expect(name).toBe('tiny');
    expect(lines[0]).toMatch(/^! The recipe has no lcm LoRA/);
    expect(lines.slice(1, 3).join('')).toMatch(
      /^! personalized\[0\]: 3 unmatched, as its allow_unmatched says: *lora_unet_down/,
    );
    expect(lines).toContainEqual(
      expect.stringMatching(/^personalized.0. +α 0.8 +69\d kB +609 of 612 +203 +8 +ink\.safetensors$/),
    );
  });

  it('keeps the last plan while a new one is read, and says so', async () => {
    const view = await ready();
    const [head, ...rest] = draw(view, { stale: true });
    expect(head).toBe('… tiny, as it was before the last change');
    expect(rest).toEqual(draw(view).slice(1));
  });

  it('tells of a misspelt key: which file, which key, where it differs, and the line that leaves it out', async () => {
    const lora = await misspeltInk();
    const personalized = [{ lora, alpha: 0.8 }];
    const error = await plan(tinyRecipe({ personalized })).catch((thrown: unknown) => thrown);
    const { message } = error as Error;
    const view: PlanView = { recipe: 'tiny.yaml', status: 'wrong', problems: [message] };
    const lines = draw(view);
    expect(lines[0]).toBe('tiny.yaml');
    expect(lines[1]).toMatch(/^✗ /);
    const text = lines.join('').replaceAll(' ', ''); // names go on where a line ends
    for (const part of [
      lora,
      '3 of 612 tensors fit nothing',
      `${MISSPELT}.* (3 tensors: did you mean ${ATTENTION}.*?`,
      'It has "attn1" where "atn1" stands',
      `under personalized[0] in the recipe: allow_unmatched: ["${MISSPELT}.*"]`,
      'Nothing is written while this is so.',
    ])
      expect(text).toContain(part.replaceAll(' ', ''));
    const [, globs = ''] = /allow_unmatched: (\[.*\])/.exec(message) ?? [];
    const allowed = [{ lora, alpha: 0.8, allow_unmatched: JSON.parse(globs) }];
    await expect(plan(tinyRecipe({ personalized: allowed }))).resolves.toBeDefined();
  });

  it('says what to do where nothing was planned, and that it reads', async () => {
    const text = renderToString(<PlanPane box={{ width: 60, height: 9 }} focused view={undefined} />, { columns: 60 });
    expect(text).toContain('No recipe has been planned.');
    expect(draw({ recipe: 'tiny.yaml', status: 'reading' })[1]).toMatch(/^… Reading/);
  });
});

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../src/errors.ts';
import { namedInputs } from '../../src/recipe/input-files.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import type { KeyPath } from '../../src/recipe/located-yaml.ts';
import { barsOf, glyphOf } from '../../src/tui/block-bars.ts';
import {
  addSource,
  type Editor,
  type EditorCommand,
  formOf,
  hearProblems,
  isDirty,
  markSaved,
  obeyEditor,
  openEditor,
  problemsFrom,
  rowAt,
  rowsOf,
  setValue,
  setValues,
  typedValue,
} from '../../src/tui/editor.ts';
import type { Row } from '../../src/tui/form.ts';

const TINY = readFileSync(new URL('../../recipes/tiny.yaml', import.meta.url), 'utf8');
const FILE = '/studio/recipes/tiny.yaml';
const SHORTEST = 'name: x\nbase: b\nmotion: { module: m }\n';

const open = (text = TINY): Editor => openEditor(FILE, text);
const obey = (editor: Editor, ...commands: readonly EditorCommand[]): Editor => commands.reduce(obeyEditor, editor);
const at = (editor: Editor, ...cursor: KeyPath): Editor => ({ ...editor, cursor });
const rowOf = (editor: Editor, ...path: KeyPath): Row => {
  const row = rowsOf(editor).find((one) => JSON.stringify(one.path) === JSON.stringify(path));
  if (!row) throw new Error(`There is no row ${JSON.stringify(path)}.`);
  return row;
};
/** Lines of `after` that `before` has not. */
const fresh = (before: string, after: string): string[] =>
  after.split('\n').filter((line) => !before.split('\n').includes(line));
const typed = (editor: Editor, text: string): Editor => {
  const result = setValue(editor, text);
  if (typeof result === 'string') throw new Error(result);
  return result;
};

describe('the form', () => {
  it('has a row for each field, in the order of the schema, with what counts where the recipe says nothing', () => {
    const editor = open();
    expect(rowOf(editor, 'personalized', 0, 'alpha')).toMatchObject({
      section: 'personalized 1',
      label: 'α ink',
      kind: 'strength',
      value: 0.8,
      isDefault: false,
      help: 'α: its strength in the UNet.',
    });
    expect(rowOf(editor, 'personalized', 0, 'text_encoder')).toMatchObject({ value: 0.8, isDefault: true });
    expect(rowOf(editor, 'lcm', 'beta')).toMatchObject({ label: 'β lcm', kind: 'strength', value: 1 });
    expect(rowOf(editor, 'motion', 'gamma')).toMatchObject({ label: 'γ animatelcm', value: 1 });
    expect(rowOf(editor, 'motion', 'norm')).toMatchObject({ kind: 'choice', choices: ['per-frame', 'pooled'] });
    expect(rowOf(editor, 'sampler', 'guidance')).toMatchObject({
      kind: 'number',
      limits: { minimum: 0, maximum: 1000, step: 0.5 },
    });
    expect(rowOf(editor, 'output', 'width')).toMatchObject({ kind: 'number', value: 64, limits: { step: 8 } });
    expect(rowOf(editor, 'output', 'weights')).toMatchObject({ kind: 'flag', value: false, isDefault: true });
    expect(rowOf(editor, 'output', 'targets')).toMatchObject({ kind: 'data', value: ['portable', 'cpu'] });
    expect(rowOf(editor, 'verify', 'budgets', 'denoise_ms')).toMatchObject({
      label: 'budgets denoise ms',
      value: 60000,
    });
    expect(rowOf(editor, 'publish', 'to')).toMatchObject({ kind: 'file', value: undefined });
    expect([...new Set(rowsOf(editor).map(({ section }) => section))]).toEqual([
      '',
      'base',
      'personalized 1',
      'lcm',
      'motion',
      'sampler',
      'output',
      'verify',
      'publish',
    ]);
  });

  it('shows every input of the recipe as a file', () => {
    const text = `${SHORTEST.replace('base: b', 'base: { model: b, vae: v, config: c, text_encoder: t }').replace(
      'module: m',
      'module: m, base: n, loras: [{ lora: l, alpha: 1 }]',
    )}lcm: { lora: l }\npersonalized: [{ lora: l, alpha: 1 }, { checkpoint: c, alpha: 1 }]\nverify: { reference: r }\n`;
    const editor = open(text);
    for (const [path] of namedInputs(parseRecipe(text, FILE)))
      expect(rowOf(editor, ...path).kind, String(path)).toBe('file');
  });

  it('shows a plain base as its model, and no lora beside a checkpoint', () => {
    const editor = open(`${SHORTEST}personalized: [{ checkpoint: c, alpha: 1 }]\n`);
    expect(rowOf(editor, 'base', 'model')).toMatchObject({ value: 'b', isDefault: false });
    expect(rowsOf(editor).some(({ path }) => path[0] === 'personalized' && path[2] === 'lora')).toBe(false);
    expect(rowsOf(editor).some(({ path }) => path[0] === 'lcm' && path[1] === 'beta')).toBe(false);
  });

  it('puts what is wrong where it is, unknown keys and missing ones too, and stays whole', () => {
    const editor = open(
      'name: x\nbase: b\nmotion: { module: m, gama: 1 }\npersonalized: [{ lora: l }]\nsampler: { steps: many, kind: lmc }\n',
    );
    expect(rowOf(editor, 'motion', 'gama')).toMatchObject({
      kind: 'unknown',
      value: 1,
      problems: ['Unknown key motion.gama. Did you mean "gamma"?'],
    });
    expect(rowOf(editor, 'personalized', 0, 'alpha').problems).toEqual(['The key personalized[0].alpha is missing.']);
    expect(rowOf(editor, 'sampler', 'steps').problems).toEqual([expect.stringContaining('sampler.steps must be')]);
    expect(rowOf(editor, 'sampler', 'kind').problems).toEqual([expect.stringContaining('Did you mean "lcm"?')]);
    expect(formOf(editor).others).toEqual([]);
    expect(rowsOf(editor).flatMap(({ problems }) => problems)).toHaveLength(4);
  });

  it('says what is wrong with a text that is no YAML, and changes nothing in it', () => {
    const editor = open('name: [\nbase: b\n');
    expect(formOf(editor)).toMatchObject({
      rows: [],
      at: -1,
      others: [{ line: expect.any(Number) }, ...formOf(editor).others.slice(1)],
    });
    expect(obey(editor, 'more', 'remove').text).toBe(editor.text);
    expect(setValue(editor, 'x')).toBe('There is no field here.');
    expect(addSource(editor, 'lora', 'x').notice).toContain('cannot be changed before line');
    expect(rowsOf(open('')).find(({ path }) => path[0] === 'name')?.value).toBeUndefined();
  });

  it('shows what planning found, as long as it is about this text', () => {
    const editor = open();
    const missing = { path: ['lcm', 'lora'], line: 8, column: 9, sentence: 'The file does not exist.' };
    const heard = hearProblems(editor, TINY, [missing]);
    expect(rowOf(heard, 'lcm', 'lora').problems).toEqual(['The file does not exist.']);
    expect(hearProblems(editor, 'another', [missing])).toBe(editor);
    const turned = obey(at(heard, 'lcm', 'beta'), 'less');
    expect(rowOf(turned, 'lcm', 'lora').problems).toEqual([]);
  });
});

it('tells which field an error of planning is about: the key that it names, or the file', () => {
  const editor = open();
  const named = { path: ['sampler', 'steps'], line: 1, column: 1, sentence: 'Too many.' };
  expect(problemsFrom(editor, new MergeError('x', {}, [named]))).toEqual([named]);
  const about = (file: string) => problemsFrom(editor, new MergeError('Does not fit.', { file }));
  expect(about('/studio/models/tiny/lcm.safetensors')).toMatchObject([
    { path: ['lcm', 'lora'], sentence: 'Does not fit.' },
  ]);
  expect(about('/studio/models/tiny/base/unet/config.json')).toMatchObject([{ path: ['base', 'model'] }]);
  expect(about('/elsewhere')).toEqual([]);
  expect(problemsFrom(editor, new MergeError('x'))).toEqual([]);
});

describe('turning', () => {
  it.each<[path: KeyPath, command: EditorCommand, line: string]>([
    [['personalized', 0, 'alpha'], 'more', '    alpha: 0.85'],
    [['personalized', 0, 'alpha'], 'much-less', '    alpha: 0.55'],
    [['personalized', 0, 'text_encoder'], 'less', '    text_encoder: 0.75'],
    [['lcm', 'beta'], 'left', '  beta: 0.95'],
    [['verify', 'seed'], 'more', '  seed: 1'],
    [['motion', 'norm'], 'more', '  norm: pooled'],
    [['motion', 'norm'], 'less', '  norm: pooled'],
    [['output', 'weights'], 'toggle', 'output: { frames: 16, width: 64, height: 64, dtype: fp16, weights: true }'],
    [['output', 'width'], 'more', 'output: { frames: 16, width: 72, height: 64, dtype: fp16 }'],
    [['output', 'vae_dtype'], 'more', 'output: { frames: 16, width: 64, height: 64, dtype: fp16, vae_dtype: fp16 }'],
    [
      ['sampler', 'steps'],
      'much-more',
      'sampler: { kind: lcm, steps: 14, guidance: 1, beta_schedule: linear, original_steps: 50 }',
    ],
    [
      ['sampler', 'guidance'],
      'more',
      'sampler: { kind: lcm, steps: 4, guidance: 1.5, beta_schedule: linear, original_steps: 50 }',
    ],
  ])('%j with %s gives one line', (path, command, line) => {
    const turned = obey(at(open(), ...path), command);
    expect(fresh(TINY, turned.text)).toEqual([line]);
    expect(isDirty(turned)).toBe(true);
    expect(rowAt(turned)?.problems).toEqual([]);
  });

  it('stops at the limits, goes round in choices, and says what cannot be turned', () => {
    expect(obey(at(open(), 'verify', 'seed'), 'much-less').text).toBe(TINY);
    expect(obey(at(open(), 'motion', 'norm'), 'more', 'more').text).toContain('norm: per-frame');
    expect(obey(at(open(), 'verify', 'budgets', 'step_ms'), 'more').notice).toContain('has no number yet');
    expect(obey(at(open(), 'lcm', 'lora'), 'more').notice).toBe('Press Enter to type lora.');
    expect(obey(at(open(), 'lcm', 'lora'), 'more', 'up').notice).toBeUndefined();
  });

  it('is one step of undo for one knob, and steps lead back and forth', () => {
    const alpha = obey(at(open(), 'personalized', 0, 'alpha'), 'more', 'more', 'more');
    const beta = obey(at(alpha, 'lcm', 'beta'), 'less', 'less');
    expect(beta.undo).toHaveLength(2);
    const back = obey(beta, 'undo');
    expect(back.text).toBe(alpha.text);
    expect(back.cursor).toEqual(['lcm', 'beta']);
    expect(obey(back, 'undo').text).toBe(TINY);
    expect(isDirty(obey(back, 'undo'))).toBe(false);
    expect(obey(back, 'undo', 'redo', 'redo').text).toBe(beta.text);
    expect(obey(back, 'undo', 'undo').notice).toBe('There is nothing to undo.');
    expect(obey(at(back, 'motion', 'gamma'), 'more').redo).toEqual([]);
  });

  it('begins a step of its own after a move, and after saving', () => {
    const moved = obey(at(open(), 'lcm', 'beta'), 'more', 'up', 'down', 'more');
    expect(moved.undo).toHaveLength(2);
    const saved = markSaved(moved, moved.text);
    expect(isDirty(saved)).toBe(false);
    expect(obey(saved, 'more').undo).toHaveLength(3);
  });
});

describe('typing', () => {
  it.each<[path: KeyPath, text: string, lines: readonly string[]]>([
    [['personalized', 0, 'alpha'], '0,333', ['    alpha: 0.333']],
    [['verify', 'prompt'], 'a boy: with a rabbit', ['  prompt: "a boy: with a rabbit"']],
    [['base', 'model'], '../b', ['base: { model: ../b, license: cc0-1.0 }']],
    [['base', 'vae'], '../v', ['base: { model: ../models/tiny/base, license: cc0-1.0, vae: ../v }']],
    [['publish', 'to'], '../there', ['publish: { to: ../there }']],
    [['motion', 'positions'], '{ from: 24, to: 48 }', ['  positions: { from: 24, to: 48 }']],
    [
      ['output', 'targets'],
      '[portable]',
      ['output: { frames: 16, width: 64, height: 64, dtype: fp16, targets: [portable] }'],
    ],
    [
      ['output', 'max_shard_bytes'],
      '2GB',
      ['output: { frames: 16, width: 64, height: 64, dtype: fp16, max_shard_bytes: 2GB }'],
    ],
    [['personalized', 0, 'blocks'], '{ OUT: 0.5, "*.attn2.*": 1 }', ['    blocks: { OUT: 0.5, "*.attn2.*": 1 }']],
    [['lcm', 'expect', 'modules'], '', []],
  ])('%j %s', (path, text, lines) => {
    const changed = typed(at(open(), ...path), text);
    expect(fresh(TINY, changed.text)).toEqual(lines);
    expect(rowAt(changed)?.problems).toEqual([]);
  });

  it.each<[path: KeyPath, text: string, sentence: string]>([
    [['personalized', 0, 'alpha'], 'much', 'α ink must be a number, but "much" was typed.'],
    [['personalized', 0, 'alpha'], '', 'α ink is needed.'],
    [['sampler', 'steps'], '2.5', 'sampler.steps must be'],
    [['sampler', 'steps'], '60', 'sampler.steps (60) must not be greater than sampler.original_steps (50)'],
    [['sampler', 'kind'], 'lmc', 'kind must be one of lcm, '],
    [['output', 'width'], '65', 'output.width must be'],
    [['output', 'weights'], 'maybe', 'weights must be one of true, false'],
    [['output', 'targets'], '[cpu', 'targets must be YAML on one line'],
    [['output', 'targets'], '[gpu]', 'output.targets[0] must be'],
    [['name'], 'a/b', 'name must not begin with a dot'],
    [['personalized', 0, 'blocks'], '{ IN99: 1 }', 'Unknown key personalized[0].blocks.IN99.'],
  ])('refuses %j %s with a sentence', (path, text, sentence) => {
    expect(setValue(at(open(), ...path), text)).toEqual(expect.stringContaining(sentence));
  });

  it('begins with what is there', () => {
    expect(typedValue(at(open(), 'personalized', 0, 'alpha'))).toBe('0.8');
    expect(typedValue(at(open(), 'output', 'targets'))).toBe('[portable, cpu]');
    expect(typedValue(at(open(), 'publish', 'to'))).toBe('');
  });

  it('lets a recipe that has other mistakes be put right one by one', () => {
    const editor = open('name: x\nbase: b\nmotion: { module: m }\nsampler: { steps: many, guidance: lots }\n');
    const one = typed(at(editor, 'sampler', 'steps'), '8');
    expect(rowsOf(one).flatMap(({ problems }) => problems)).toHaveLength(1);
    expect(rowsOf(typed(at(one, 'sampler', 'guidance'), '1')).flatMap(({ problems }) => problems)).toEqual([]);
  });
});

describe('adding and removing', () => {
  it('adds sources of every kind, with the cursor on their file', () => {
    let editor = open(SHORTEST);
    for (const kind of ['lora', 'checkpoint', 'lcm', 'motion-lora'] as const)
      editor = addSource(editor, kind, `${kind}.safetensors`);
    expect(editor.text).toBe(
      [
        'name: x',
        'base: b',
        'motion: { module: m, loras: [{ lora: motion-lora.safetensors, alpha: 1 }] }',
        'personalized:',
        '  - lora: lora.safetensors',
        '    alpha: 1',
        '  - checkpoint: checkpoint.safetensors',
        '    alpha: 1',
        'lcm: { lora: lcm.safetensors, beta: 1 }',
        '',
      ].join('\n'),
    );
    expect(rowAt(editor)).toMatchObject({ section: 'motion LoRA 1', label: 'lora', value: 'motion-lora.safetensors' });
    expect(parseRecipe(editor.text, FILE).personalized).toHaveLength(2);
    expect(obey(editor, 'undo', 'undo', 'undo', 'undo').text).toBe(SHORTEST);
    expect(fresh(TINY, addSource(open(), 'lcm', '../other.safetensors').text)).toEqual([
      '  lora: ../other.safetensors',
    ]);
  });

  it('removes the source that a row belongs to, its list with the last, and elsewhere the key', () => {
    const without = obey(at(open(), 'personalized', 0, 'lora'), 'remove');
    expect(without.text).not.toContain('personalized');
    expect(parseRecipe(without.text, FILE).personalized).toEqual([]);
    const two = addSource(open(), 'lora', 'x.safetensors');
    expect(obey(at(two, 'personalized', 1, 'text_encoder'), 'remove').text).toBe(TINY);
    expect(obey(at(open(), 'lcm', 'expect', 'modules'), 'remove').text).not.toContain('lcm:');
    expect(obey(at(open(), 'verify', 'budgets', 'denoise_ms'), 'remove').text).not.toContain('budgets');
    expect(obey(at(open(), 'motion', 'module'), 'remove')).toMatchObject({
      text: TINY,
      notice: expect.stringContaining('is needed'),
    });
    const wrong = open(TINY.replace('gamma', 'gama'));
    expect(rowsOf(obey(at(wrong, 'motion', 'gama'), 'remove')).flatMap(({ problems }) => problems)).toEqual([]);
  });

  it('leaves out what fits nothing, beside what is left out already, in one step', () => {
    const file = resolve(dirname(FILE), '../models/tiny/ink.safetensors');
    const unmatched = { reason: `${file}: 3 of 612 tensors fit nothing.`, globs: ['lora_te_x.*'] };
    const failing = { message: 'all of it', place: { file }, located: [], unmatched };
    const heard = (editor: Editor) => hearProblems(editor, editor.text, problemsFrom(editor, failing));
    const wrong = at(heard(open()), 'lcm', 'beta');
    expect(rowOf(wrong, 'personalized', 0, 'lora').problems).toEqual([
      expect.stringMatching(/^3 of 612 tensors fit nothing\.\nNothing is merged so\. Press o /),
    ]);
    const left = obey(wrong, 'leave-out');
    expect(fresh(TINY, left.text)).toEqual(['    allow_unmatched: [lora_te_x.*]']);
    expect(rowAt(left)?.path).toEqual(['personalized', 0, 'allow_unmatched']);
    expect(obey(left, 'undo').text).toBe(TINY);
    const more = heard(open(TINY.replace('alpha: 0.8', 'alpha: 0.8\n    allow_unmatched: [a.*]')));
    expect(parseRecipe(obey(more, 'leave-out').text, FILE).personalized[0]?.allow_unmatched).toEqual([
      'a.*',
      'lora_te_x.*',
    ]);
    expect(obey(open(), 'leave-out')).toMatchObject({ text: TINY, notice: 'No tensors are known that fit nothing.' });
  });

  it('resets a field to its default', () => {
    const reset = obey(at(open(), 'lcm', 'beta'), 'reset');
    expect(reset.text).toBe(TINY.replace('  beta: 1\n', ''));
    expect(rowAt(reset)).toMatchObject({ value: 1, isDefault: true });
    expect(obey(reset, 'reset')).toEqual(reset);
  });

  it('takes several values in one step', () => {
    const chosen = setValues(open(), [
      { path: ['personalized', 0, 'alpha'], value: 0.4 },
      { path: ['lcm', 'beta'], value: 0.7 },
    ]);
    expect(fresh(TINY, chosen.text)).toEqual(['    alpha: 0.4', '  beta: 0.7']);
    expect(obey(chosen, 'last').cursor).not.toEqual(chosen.cursor);
    expect(chosen.cursor).toEqual(['personalized', 0, 'alpha']);
    expect(obey(chosen, 'undo').text).toBe(TINY);
  });
});

describe('moving', () => {
  it('stays within the rows', () => {
    const editor = obey(open(), 'first');
    expect(obey(editor, 'up', 'up').cursor).toEqual(['name']);
    expect(obey(editor, 'down').cursor).toEqual(['base', 'model']);
    expect(obey(editor, 'last', 'down').cursor).toEqual(['publish', 'to']);
    expect(obey(editor, 'last', 'first').cursor).toEqual(['name']);
    expect(formOf(obey(editor, 'page-down')).at).toBe(10);
  });

  it('begins on what is wrong and goes on to the next', () => {
    const editor = open('name: x\nbase: b\nmotion: { module: m, gama: 1 }\nsampler: { steps: many }\n');
    expect(editor.cursor).toEqual(['motion', 'gama']);
    expect(obey(editor, 'next-problem').cursor).toEqual(['sampler', 'steps']);
    expect(obey(editor, 'next-problem', 'next-problem').cursor).toEqual(['motion', 'gama']);
    expect(obey(open(), 'next-problem')).toMatchObject({
      cursor: ['personalized', 0, 'alpha'],
      notice: 'Nothing is wrong with the recipe.',
    });
  });

  it('finds a row nearby when its own has gone', () => {
    const editor = obey(addSource(open(), 'lora', 'x.safetensors'), 'undo');
    expect(rowAt({ ...editor, cursor: ['personalized', 1, 'alpha'] })?.section).toBe('personalized 1');
  });
});

describe('block weights', () => {
  const PATH = ['personalized', 0, 'blocks'] as const;
  const opened = (text = TINY) => obey(at(open(text), ...PATH), 'open');

  it('are 26 bars, 25 without a text encoder, with what groups and lists give', () => {
    expect(barsOf(undefined, PATH)?.bars).toHaveLength(26);
    expect(barsOf(undefined, ['lcm', 'blocks'])?.bars).toHaveLength(25);
    const { bars, others } = barsOf({ OUT: 0.5, OUT03: 0.2, 'up_blocks.1': 0 }, PATH)!;
    expect(bars.filter(({ weight }) => weight === 0.5)).toHaveLength(11);
    expect(bars.find(({ block }) => block === 'OUT03')).toEqual({ block: 'OUT03', weight: 0.2, isOwn: true });
    expect(bars.at(-1)).toEqual({ block: 'BASE', weight: 1, isOwn: false });
    expect(others).toBe(1);
    expect(barsOf([0.5, ...Array.from({ length: 25 }, () => 1)], PATH)?.bars.at(-1)?.weight).toBe(0.5);
    expect(barsOf('x', PATH)).toBeUndefined();
  });

  it('are drawn by height, and with a sign beyond 0 … 1', () => {
    expect([0, 0.5, 1, -0.1, 1.1].map(glyphOf).join('')).toBe('▁▅█−+');
  });

  it('are turned one by one, and what a block has anyhow is not written', () => {
    const turned = obey(opened(), 'right', 'down', 'down');
    expect(fresh(TINY, turned.text)).toEqual(['    blocks: { IN01: 0.8 }']);
    expect(turned.undo).toHaveLength(1);
    expect(obey(turned, 'up', 'up').text).toBe(TINY);
    expect(obey(turned, 'reset').text).toBe(TINY);
    const grouped = opened(TINY.replace('alpha: 0.8', 'alpha: 0.8\n    blocks: { IN: 0.5, IN00: 0.4 }'));
    expect(obey(grouped, 'up').text).toContain('blocks: { IN: 0.5 }');
    expect(obey(grouped, 'right', 'up').text).toContain('blocks: { IN: 0.5, IN00: 0.4, IN01: 0.6 }');
  });

  it('take typed numbers, and close again', () => {
    const base = obey(opened(), 'last');
    expect(typed(base, '-0.25').text).toContain('blocks: { BASE: -0.25 }');
    expect(setValue(base, 'x')).toBe('BASE must be a number, but "x" was typed.');
    expect(typedValue(base)).toBe('1');
    expect(obey(base, 'right').bar).toBe(25);
    expect(obey(base, 'much-less').bar).toBe(19);
    const closed = obey(base, 'close');
    expect(closed.bar).toBeUndefined();
    expect(obey(closed, 'down').cursor).toEqual(['personalized', 0, 'license']);
  });

  it('that are a list stay one, and say so where it has no number', () => {
    const list = `[${Array.from({ length: 17 }, () => 1).join(', ')}]`;
    const editor = opened(TINY.replace('alpha: 0.8', `alpha: 0.8\n    blocks: ${list}`));
    expect(obey(editor, 'down').notice).toBe('The list of block weights has no number for IN00.');
    expect(fresh(editor.text, obey(editor, 'right', 'down').text)).toEqual([
      `    blocks: ${list.replace('[1, 1', '[1, 0.9')}`,
    ]);
  });
});

it('stands any text and any command', () => {
  let state = 5;
  const random = (limit: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const nasty = '[]{}&*!|>"\'%@`#,:?-~<=\n\t \0\u001b0.';
  const commands: EditorCommand[] = [
    ...(['up', 'down', 'page-down', 'last', 'first', 'less', 'more', 'much-less', 'much-more'] as const),
    ...(['toggle', 'open', 'close', 'reset', 'remove', 'undo', 'redo'] as const),
  ];
  let edited = 0;
  for (let round = 0; round < 150; round++) {
    let text = TINY;
    for (let n = random(5); n > 0; n--) {
      const place = random(text.length);
      text = text.slice(0, place) + nasty[random(nasty.length)] + text.slice(place + random(12));
    }
    let editor = open(text);
    for (let step = 0; step < 15; step++) {
      const { rows } = formOf(editor);
      const row = rows[random(rows.length)];
      if (row && random(3) === 0) editor = at(editor, ...row.path);
      const result = random(8) === 0 ? setValue(editor, nasty[random(nasty.length)] as string) : editor;
      editor = obeyEditor(typeof result === 'string' ? editor : result, commands[random(commands.length)]!);
      if (isDirty(editor)) edited++;
    }
    while (editor.undo.length > 0) editor = obeyEditor(editor, 'undo');
    expect(editor.text).toBe(text);
  }
  expect(edited).toBeGreaterThan(100);
});

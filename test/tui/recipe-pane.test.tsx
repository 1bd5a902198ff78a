import { readFileSync } from 'node:fs';
import { renderToString } from 'ink';
import { expect, it } from 'vitest';
import { addSource, type Editor, type EditorCommand, obeyEditor, openEditor, rowsOf } from '../../src/tui/editor.ts';
import { RecipePane } from '../../src/tui/panes/recipe.tsx';

const TINY = readFileSync(new URL('../../recipes/tiny.yaml', import.meta.url), 'utf8');

const open = (text = TINY) => openEditor('/studio/recipes/tiny.yaml', text);
const obey = (editor: Editor, ...commands: readonly EditorCommand[]) => commands.reduce(obeyEditor, editor);
const lines = (editor: Editor | undefined, width: number, height: number): string[] =>
  renderToString(<RecipePane editor={editor} box={{ width, height }} focused />, { columns: width })
    .split('\n')
    .map((line) => line.replace(/^┃ | *┃$/g, ''));
const show = (editor: Editor | undefined, width = 80, height = 22) => lines(editor, width, height).join('\n');

it('draws sliders, choices, defaults and bars', () => {
  const text = show({ ...open(), cursor: ['personalized', 0, 'alpha'] });
  expect(text).toMatch(/▸ α ink +─{12}●─{11} 0\.80\n/);
  expect(text).toMatch(/ {2}scale +‹ alpha\/rank › default\n/);
  expect(text).toMatch(/ {2}text encoder +─{12}●─{11} 0\.80 default\n/);
  expect(text).toMatch(/ {2}blocks +█{26} all 1\n/);
  expect(text).toMatch(/ {2}blocks +█{25} all 1\n/);
  expect(text).toMatch(/ {2}vae +–\n/);
  expect(text).toContain('\nα: its strength in the UNet.\n');
});

it('widens a slider for what lies outside', () => {
  const text = show({ ...open(TINY.replace('alpha: 0.8', 'alpha: -0.125')), cursor: ['personalized', 0, 'alpha'] });
  expect(text).toMatch(/▸ α ink +●─{23} -0\.125\n/);
  expect(show({ ...open(TINY.replace('alpha: 0.8', 'alpha: 3')), cursor: ['personalized', 0, 'alpha'] })).toMatch(
    /─{23}● 3\.00\n/,
  );
});

it.each([
  [60, 18, 1],
  [60, 20, 3],
  [80, 22, 5],
  [118, 38, 7],
  [248, 68, 9],
])('keeps the row of the cursor in view at %i×%i, and at least ten rows', (width, height, every) => {
  const added = addSource(open(), 'motion-lora', '../models/motion.safetensors');
  for (const { label, path } of rowsOf(added).filter((_, i) => i % every === 0)) {
    const editor = { ...added, cursor: path };
    const screen = lines(editor, width, height);
    expect(screen).toHaveLength(height);
    expect(screen.filter((line) => line.startsWith(`▸ ${label}`))).toHaveLength(1);
    expect(screen.filter((line) => /^[▸ ] \S/.test(line)).length).toBeGreaterThanOrEqual(10);
    for (const line of screen) expect([...line].length).toBeLessThanOrEqual(width);
  }
});

it('marks what is not saved, and says what is wrong below its field and above how much that is', () => {
  const wrong = open(TINY.replace('gamma: 1', 'gama: 1'));
  expect(lines(wrong, 80, 22)[0]).toMatch(/^┏━ Recipe \/studio\/recipes\/tiny\.yaml ✗ 1 ━+┓$/);
  const at = { ...wrong, cursor: ['motion', 'gama'] };
  expect(show(at)).toMatch(/▸ gama +1\n {2}✗ Unknown key motion\.gama\. Did you mean "gamma"\?\n/);
  const fixed = obey(at, 'remove');
  expect(lines(fixed, 80, 22)[0]).toMatch(/^┏━ Recipe \/studio\/recipes\/tiny\.yaml ● unsaved ━+┓$/);
  expect(show(fixed)).not.toContain('✗');
});

it('says what is wrong with a text that is no YAML, where there is no row', () => {
  expect(show(open('name: [\n'))).toMatch(/^┏━ Recipe \S+ ✗ \d.*\n {2}✗ Line \d: This is not valid YAML/);
  expect(show(undefined)).toContain('No recipe is open. Choose one in Recipes and press Enter.');
});

it('shows the chosen bar with its number below, wherever it stands', () => {
  const opened = obey({ ...open(), cursor: ['personalized', 0, 'blocks'] }, 'open', 'right', 'down', 'down', 'right');
  expect(show(opened, 60, 18)).toMatch(/▸ blocks +█▇█{24}\n +▲ IN02 1 \(not set\)\n/);
  const last = obey(opened, 'last', 'up');
  expect(show(last, 60, 18)).toMatch(/▸ blocks +█▇█{23}\+\n +BASE 1\.1 ▲\n/);
});

it('cuts paths in the middle, and says why nothing happened', () => {
  const editor = open(TINY.replace('../models/tiny/ink.safetensors', `../models/${'deep/'.repeat(20)}ink.safetensors`));
  expect(show(editor, 60, 24)).toMatch(/ {2}lora +\.\.\/mo[^\n]*…[^\n]*deep\/ink\.safetensors\n/);
  expect(show(obey(editor, 'undo'))).toContain('! There is nothing to undo.');
});

it('keeps every field on one line, whatever stands in it', () => {
  const text = TINY.replace('prompt: a red circle', 'prompt: |\n    a red\n    circle').concat(
    '"un\\nknown": "x\\ny"\n',
  );
  const editor = { ...open(text), cursor: ['un\nknown'] };
  expect(lines(editor, 80, 22)).toHaveLength(22);
  expect(show(editor)).toMatch(/▸ un\\u000aknown +"x\\ny"/);
  expect(show({ ...editor, cursor: ['verify', 'prompt'] })).toMatch(/▸ prompt +"a red\\ncircle\\n"\n/);
});

it('shows nothing that a terminal would obey', () => {
  expect(show(open(TINY.replace('a red circle', '"a\\e[2Jb"')), 118, 68)).toContain('a\\u001b[2Jb');
});

it('says of a field as many whole sentences as there is room for', () => {
  const help = show({ ...open(), cursor: ['personalized', 0, 'blocks'] });
  expect(help).toMatch(/\nStrength per block, multiplied with the strength of the whole\.\n/);
  expect(help).not.toContain('…');
});

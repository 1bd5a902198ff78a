import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Event } from '../../src/events.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { type Json, readJson } from '../../src/recipe/edit.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import type { Finding, Part, Usable } from '../../src/survey/identify.ts';
import { contextOf } from '../../src/tui/commands.ts';
import { rowAt } from '../../src/tui/editor.ts';
import { textOf } from '../../src/tui/input.ts';
import type { Command } from '../../src/tui/keys.ts';
import { type Action, editorOf, planView, scrollOf, shownJob, wallOf } from '../../src/tui/model.ts';
import { sourcesShown } from '../../src/tui/source-list.ts';
import { INITIAL, reduce, type State } from '../../src/tui/state.ts';
import { foundPackage, tileEvent } from './comparisons.ts';
import { madePackage, RED_THEN_BLUE } from './reports.ts';

const FILES = ['a.yaml', 'b.yaml', 'recipes/tiny.yaml'];
const TINY = 'recipes/tiny.yaml';
const TEXT = readFileSync(TINY, 'utf8');
let tiny: Plan;

beforeAll(async () => {
  tiny = await plan(await loadRecipe(TINY));
});

/** A word is a command, at the time of its place in the list; what stands behind a colon is typed. */
type Step = Command | `:${string}` | Action;

function reached(...steps: readonly Step[]): State {
  return from(INITIAL, { type: 'found', entries: FILES.map((file) => ({ file })) }, ...steps);
}

function from(state: State, ...steps: readonly Step[]): State {
  return steps.reduce<State>((before, step, at) => reduce(before, actionOf(step, at)), state);
}

function actionOf(step: Step, at: number): Action {
  if (typeof step !== 'string') return step;
  return step.startsWith(':')
    ? { type: 'typed', text: step.slice(1) }
    : { type: 'command', command: step as Command, at };
}

const opened: Action = { type: 'opened', recipe: TINY, text: TEXT };
const planned = (text = TEXT): Action => ({ type: 'planned', recipe: TINY, text, plan: tiny, out: 'out/tiny' });
/** The recipe is open, with the cursor on its α. */
const atAlpha = (...steps: readonly Step[]) => from(reached('last', 'open', opened, planned()), ...steps);
const passed: Action = { type: 'made', made: madePackage('/out/tiny', { integrity: 'passed' }, 'passed'), at: 9 };
const refused: Action = {
  type: 'made',
  made: madePackage('/out/tiny.failed', { integrity: 'passed', frames: 'failed', timing: 'unknown' }, 'failed'),
  at: 9,
};

describe('the list of files', () => {
  const measures = { widths: [], context: [] };
  const usable = (path: string, part: Part): Usable => ({ path, part, title: part, measures });
  const FINDINGS: readonly Finding[] = [
    usable('models/tiny/base', 'base'),
    usable('models/tiny/animatelcm.ckpt', 'motion'),
    usable('models/x.safetensors', 'lcm'),
    usable('models/tiny/ink.safetensors', 'personalized'),
    usable('models/oil.safetensors', 'personalized'),
    { path: 'models/half.safetensors', title: 'not to be read', reason: 'It ends early.', damaged: true },
  ];
  const sources: Action = { type: 'sources', recipe: TINY, findings: FINDINGS };
  const paths = (state: State) => sourcesShown(state).map(({ path }) => path);
  const taken = (state: State) => readJson(editorOf(state)?.text ?? '') as Record<string, Json[]>;

  it('has what can be added, what cannot last, and narrows down to what is typed', () => {
    const asked = atAlpha('add-source');
    expect(asked.effects).toEqual([{ do: 'find-sources', recipe: TINY }]);
    expect(contextOf(asked)).toBe('palette');
    expect(paths(asked)).toEqual([]);
    const listed = from(asked, sources);
    expect(paths(listed)).toEqual([
      '../models/tiny/ink.safetensors',
      '../models/oil.safetensors',
      '../models/x.safetensors',
      '../models/tiny/base',
      '../models/half.safetensors',
    ]);
    expect(paths(from(listed, ':oil'))).toEqual(['../models/oil.safetensors', 'oil']);
    expect(from(listed, 'down', 'down', ':o').choice).toBe(0);
  });
  it('adds each as what it is, its path from the recipe; a typed path as a LoRA', () => {
    const listed = from(atAlpha('add-source'), sources);
    expect(taken(from(listed, ':oil', 'commit'))['personalized']?.[1]).toMatchObject({
      lora: '../models/oil.safetensors',
      alpha: 1,
    });
    expect(taken(from(listed, 'down', 'down', 'commit'))['lcm']).toMatchObject({
      lora: '../models/x.safetensors',
      beta: 1,
    });
    expect(taken(from(listed, 'down', 'down', 'down', 'commit'))['personalized']?.[1]).toMatchObject({
      checkpoint: '../models/tiny/base',
    });
    expect(taken(from(listed, ':/elsewhere/y.pt', 'commit'))['personalized']?.[1]).toMatchObject({
      lora: '/elsewhere/y.pt',
    });
    expect(from(listed, ':half', 'commit').input?.problem).toBe('../models/half.safetensors: It ends early.');
    expect(from(listed, 'close')).toMatchObject({ input: undefined, editors: listed.editors });
  });
  it('changes the file of a field among those that fit it, beginning with the one it has', () => {
    const listed = from(atAlpha('up', 'set-value'), sources);
    expect(paths(listed)).toEqual([
      '../models/tiny/ink.safetensors',
      '../models/oil.safetensors',
      '../models/x.safetensors',
      '../models/half.safetensors',
    ]);
    expect(sourcesShown(listed)[listed.choice]).toMatchObject({ path: '../models/tiny/ink.safetensors', isNow: true });
    expect(editorOf(from(listed, 'commit'))?.text).toBe(TEXT);
    expect(editorOf(from(listed, 'down', 'commit'))?.text).toBe(TEXT.replace('tiny/ink', 'oil'));
    expect(editorOf(from(listed, 'cursor-end', ':2', 'commit'))?.text).toContain('ink.safetensors2');
  });
});

describe('the list of recipes', () => {
  it('begins by looking for recipes and packages', () => {
    expect(from(INITIAL, { type: 'begin' }).effects).toEqual([{ do: 'find-recipes' }, { do: 'find-packages' }]);
  });
  it('is moved in, and stops at its ends', () => {
    expect(reached().recipes.selected).toBe('a.yaml');
    expect(reached('up').recipes.selected).toBe('a.yaml');
    expect(reached('down', 'down', 'down', 'down').recipes.selected).toBe(TINY);
    expect(reached('last', 'page-up').recipes.selected).toBe('a.yaml');
  });
  it('survives being empty', () => {
    const state = from(INITIAL, { type: 'found', entries: [] }, 'down', 'last', 'open', 'make', 'duplicate');
    expect(state).toMatchObject({ pane: 'recipes', open: undefined, job: undefined });
    expect(state.notice?.text).toBe('Choose a recipe first.');
  });
  it('is filtered while one types, and whole again after Esc', () => {
    const filtered = reached('filter', ':tny');
    expect(filtered.recipes).toMatchObject({ filter: 'tny', selected: TINY });
    expect(from(filtered, 'commit').recipes.filter).toBe('tny');
    expect(from(filtered, 'close').recipes).toMatchObject({ filter: '', selected: TINY });
  });
  it('is whole again after Esc when the filter was taken, too', () => {
    expect(from(reached('filter', ':tny', 'commit'), 'back').recipes).toMatchObject({ filter: '', selected: TINY });
  });
  it('brings a line back that could not be acted on, with the reason', () => {
    const renamed = reached('rename', ':ink', 'commit');
    expect(renamed).toMatchObject({ input: undefined, effects: [{ do: 'rename', name: 'ink' }] });
    const back = from(renamed, { type: 'refused', problems: ['ink.yaml exists already.'] });
    expect(back.input).toMatchObject({ before: 'ink', problem: 'ink.yaml exists already.' });
    const made = reached('new-recipe', ':nowhere', 'commit');
    expect(made.effects).toEqual([{ do: 'new', folder: 'nowhere' }]);
    const broken = from(made, { type: 'broken', kind: 'new', problems: ['There is no such folder.'], at: 1 });
    expect(broken).toMatchObject({
      work: undefined,
      input: { before: 'nowhere', problem: 'There is no such folder.' },
    });
  });
  it('asks for what is done with files, and opens what comes of it', () => {
    expect(reached('duplicate').effects).toEqual([{ do: 'duplicate', recipe: 'a.yaml' }]);
    const renaming = reached('rename', 'erase-line', ':ink 2');
    expect(from(renaming, 'commit').effects).toEqual([{ do: 'rename', recipe: 'a.yaml', name: 'ink 2' }]);
    const created = from(reached('open'), { type: 'created', recipe: 'ink 2.yaml', replaces: 'a.yaml' });
    expect(created).toMatchObject({ pane: 'recipe', open: 'ink 2.yaml' });
    expect(created.effects).toEqual([
      { do: 'find-recipes', select: 'ink 2.yaml' },
      { do: 'open', recipe: 'ink 2.yaml' },
    ]);
  });
  it('makes a recipe from a folder as work that can be stopped', () => {
    const state = reached('new-recipe', 'erase-line', ':~/styles', 'commit');
    expect(state).toMatchObject({ work: { kind: 'new' }, effects: [{ do: 'new', folder: '~/styles' }] });
    expect(from(state, 'interrupt').effects).toEqual([{ do: 'stop' }]);
  });
});

describe('the recipe that is open', () => {
  it('is read, and planned as soon as it is there', () => {
    const asked = reached('last', 'open');
    expect(asked).toMatchObject({ pane: 'recipe', open: TINY, effects: [{ do: 'open', recipe: TINY }] });
    const state = from(asked, opened);
    expect(state.effects).toEqual([{ do: 'plan', recipe: TINY, text: TEXT }]);
    expect(planView(state)).toEqual({ view: { recipe: TINY, status: 'reading' }, stale: false });
    expect(planView(from(state, planned())).view).toMatchObject({ status: 'ready', out: 'out/tiny' });
  });
  it('is planned anew with every turn, the plan before staying in sight until then', () => {
    const turned = atAlpha('more');
    const text = TEXT.replace('alpha: 0.8', 'alpha: 0.85');
    expect(rowAt(editorOf(turned) as never)?.path).toEqual(['personalized', 0, 'alpha']);
    expect(editorOf(turned)?.text).toBe(text);
    expect(turned.effects).toEqual([{ do: 'plan', recipe: TINY, text }]);
    expect(planView(turned)).toMatchObject({ view: { status: 'ready' }, stale: true });
    const late = from(turned, {
      type: 'not-planned',
      recipe: TINY,
      text: TEXT,
      problems: ['late'],
      failure: { message: 'late', place: {}, located: [] },
    });
    expect(late.planning).toBe(turned.planning);
    expect(planView(from(turned, planned(text))).stale).toBe(false);
  });
  it('is not planned again by moving about in it', () => {
    expect(atAlpha('down', 'up').effects).toEqual([]);
  });
  it('takes typed values, and says in the line what is wrong with one', () => {
    const typing = atAlpha('set-value');
    expect(textOf(typing.input as never)).toBe('0.8');
    const wrong = from(typing, ':x', 'commit');
    expect(wrong.input?.problem).toContain('number');
    const right = from(wrong, 'erase-line', ':0.4', 'commit');
    expect(right.input).toBeUndefined();
    expect(editorOf(right)?.text).toContain('alpha: 0.4');
    expect(editorOf(from(right, 'undo'))?.text).toBe(TEXT);
    expect(editorOf(from(right, 'undo', 'redo'))?.text).toContain('alpha: 0.4');
  });
  it('is saved in place of what was read, and then no longer unsaved', () => {
    const turned = atAlpha('more');
    const { text = '' } = editorOf(turned) ?? {};
    expect(from(turned, 'save').effects).toEqual([{ do: 'save', recipe: TINY, text, replaces: TEXT }]);
    const saved = from(turned, 'save', { type: 'saved', recipe: TINY, text });
    expect(from(saved, 'save')).toMatchObject({ effects: [], notice: { text: 'There is nothing to save.' } });
    expect(from(saved, 'quit').exit).toBe(0);
    expect(from(turned, 'quit')).toMatchObject({ exit: undefined, cover: 'quit' });
  });
  it('is saved before it is handed to an editor, and read again afterwards', () => {
    const turned = atAlpha('more');
    const saving = { recipe: TINY, text: editorOf(turned)?.text ?? '', replaces: TEXT };
    const asked = from(turned, 'edit-text');
    expect(asked).toMatchObject({ external: undefined, effects: [{ do: 'save', ...saving, edit: true }] });
    expect(from(asked, { type: 'saved', ...saving, edit: true }).external).toBe(TINY);
    expect(from(asked, { type: 'saved', ...saving }).external).toBeUndefined();
    const handed = atAlpha('edit-text');
    expect(handed.external).toBe(TINY);
    const back = from(handed, { type: 'edited' });
    expect(back.effects).toEqual([{ do: 'open', recipe: TINY }, { do: 'find-recipes' }]);
    const theirs = TEXT.replace('steps: 4', 'steps: 8');
    const reread = from(back, { type: 'opened', recipe: TINY, text: theirs });
    expect(editorOf(reread)).toMatchObject({ text: theirs, saved: theirs });
    expect(editorOf(from(reread, 'undo'))?.text).toBe(TEXT);
    const mistaken = from(back, { type: 'opened', recipe: TINY, text: TEXT.replace('steps: 4', 'steps: x') });
    expect(editorOf(mistaken)?.cursor).toEqual(['sampler', 'steps']);
  });
  it('is not said to be right before it was looked at', () => {
    const turned = atAlpha('more', 'next-problem');
    expect(turned.notice?.text).toBe('The recipe is still being checked.');
    const looked = from(turned, planned(editorOf(turned)?.text), 'next-problem');
    expect(editorOf(looked)?.notice).toBe('Nothing is wrong with the recipe.');
  });
  it('is not lost by Ctrl-C before that was asked', () => {
    const once = atAlpha('more', 'interrupt');
    expect(once).toMatchObject({ exit: undefined, cover: 'quit' });
    expect(from(once, 'interrupt').exit).toBe(130);
    expect(from(once, 'close')).toMatchObject({ exit: undefined, cover: undefined });
    expect(atAlpha('interrupt').exit).toBe(130);
  });
  it('keeps the changes of each recipe while others are looked at', () => {
    const other: Action = { type: 'opened', recipe: 'a.yaml', text: 'name: a\n' };
    const back = from(atAlpha('more'), 'go-recipes', 'first', 'open', other, 'go-recipes', 'last', 'open');
    expect(back.open).toBe(TINY);
    expect(editorOf(back)?.text).toContain('alpha: 0.85');
  });
});

describe('a job', () => {
  it('takes the recipe of the pane in which it is asked for, and shows itself', () => {
    expect(reached('down', 'make')).toMatchObject({
      pane: 'bake',
      job: { recipe: 'b.yaml', status: 'running', startedAt: 2 },
      effects: [
        { do: 'open', recipe: 'b.yaml' },
        { do: 'make', recipe: 'b.yaml' },
      ],
    });
    const again = from(
      reached('make', { type: 'stopped', kind: 'make', at: 5 }),
      'go-recipes',
      'last',
      'go-bake',
      'make',
    );
    expect(again.job).toMatchObject({ recipe: 'a.yaml', status: 'running' });
  });
  it('saves what is unsaved first', () => {
    const made = atAlpha('more', 'make');
    expect(made.effects).toMatchObject([{ do: 'make', recipe: TINY, save: { recipe: TINY, replaces: TEXT } }]);
  });
  it('is one at a time', () => {
    const state = reached('make', 'go-recipes', 'down', 'make');
    expect(state).toMatchObject({ job: { recipe: 'a.yaml' }, effects: [], notice: { mark: 'warning' } });
  });
  it('follows its events', () => {
    const state = reached(
      'make',
      { type: 'event', event: { type: 'stage-started', stage: 'bake', subject: 'tiny' }, at: 10 },
      {
        type: 'event',
        event: { type: 'progress', stage: 'bake', done: 1, total: 4, unit: 'bytes', detail: 'x' },
        at: 20,
      },
      { type: 'event', event: { type: 'warning', stage: 'bake', message: 'careful' }, at: 30 },
    );
    expect(state.job).toMatchObject({
      at: 30,
      stages: [{ stage: 'bake', startedAt: 10, subject: 'tiny', progress: { done: 1, total: 4, at: 20 } }],
      log: [{ mark: 'warning', text: 'careful' }],
    });
  });
  it('leads from its pane to the clip when it has passed, to the gate when it was refused', () => {
    expect(reached('make', passed)).toMatchObject({ pane: 'run', work: undefined, job: { status: 'passed', at: 9 } });
    expect(reached('make', refused)).toMatchObject({ pane: 'gate', job: { status: 'refused' } });
    expect(reached('make', 'go-recipes', passed).pane).toBe('recipes');
  });
  it('offers its package for publication, and looks for packages anew', () => {
    const state = reached('make', passed);
    expect(state.publication).toMatchObject({ folder: '/out/tiny' });
    expect(state.effects).toEqual([{ do: 'find-packages' }]);
  });
  it('that breaks says why, and another one may begin', () => {
    const state = reached('make', { type: 'broken', kind: 'make', problems: ['no'], at: 4 });
    expect(state).toMatchObject({ work: undefined, job: { status: 'failed', log: [{ mark: 'failed', text: 'no' }] } });
    expect(from(state, 'make').job).toMatchObject({ status: 'running', log: [] });
  });
  it('does not take what comes after its end', () => {
    const state = from(reached('make', passed), 'go-bake');
    const late: Action = { type: 'event', event: { type: 'warning', stage: 'run', message: 'late' }, at: 99 };
    expect(from(state, late, { type: 'clock', at: 99 })).toEqual(state);
  });
});

describe('stopping and leaving', () => {
  it('stops with the first Ctrl-C from anywhere and leaves with the second', () => {
    const stopping = reached('make', 'go-recipes', 'interrupt');
    expect(stopping).toMatchObject({
      job: { status: 'stopping' },
      work: { stopping: true },
      effects: [{ do: 'stop' }],
    });
    expect(from(stopping, 'interrupt').exit).toBe(130);
    expect(reached('interrupt').exit).toBe(130);
    expect(reached('make', 'help', 'interrupt').work?.stopping).toBe(true);
    expect(reached('filter', ':x', 'interrupt')).toMatchObject({ exit: 130, input: undefined });
  });
  it('stops with x where something is seen of it', () => {
    expect(reached('make', 'stop')).toMatchObject({ job: { status: 'stopping' }, effects: [{ do: 'stop' }] });
    expect(reached('go-bake', 'stop').effects).toEqual([]);
  });
  it('quits at once when nothing would be lost, and asks otherwise', () => {
    expect(reached('quit').exit).toBe(0);
    const asking = reached('make', 'quit');
    expect(asking).toMatchObject({ exit: undefined, cover: 'quit', job: { status: 'running' } });
    expect(contextOf(asking)).toBe('quit');
    expect(from(asking, 'close')).toMatchObject({ exit: undefined, cover: undefined, job: { status: 'running' } });
  });
  it('waits for the work to clean up when told to leave', () => {
    const stopped: Action = { type: 'stopped', kind: 'make', at: 9 };
    const leaving = reached('make', 'quit', 'leave');
    expect(leaving).toMatchObject({ exit: undefined, job: { status: 'stopping' } });
    expect(from(leaving, stopped).exit).toBe(0);
    expect(from(reached('make', { type: 'terminated' }), stopped).exit).toBe(0);
  });
  it('has nothing left to ask when the work ends by itself', () => {
    expect(reached('make', 'quit', passed)).toMatchObject({ cover: undefined, exit: undefined });
  });
});

describe('clips', () => {
  const clip: Action = { type: 'clip', folder: '/out/tiny', frames: RED_THEN_BLUE };
  const tick = (at: number): Action => ({ type: 'tick', at });
  it('play by the clock, round and round', () => {
    const frames = [clip, tick(0), tick(130), tick(250), tick(380)];
    expect([2, 3, 4, 5].map((n) => reached('make', passed, ...frames.slice(0, n)).clip)).toMatchObject([
      { at: 0 },
      { at: 1 },
      { at: 0 },
      { at: 1 },
    ]);
  });
  it('stand still while paused or stepped through', () => {
    const paused = reached('make', passed, clip, 'play', tick(0), tick(500));
    expect(paused.clip).toMatchObject({ at: 0, playing: false });
    expect(from(paused, 'earlier-frame').clip).toMatchObject({ at: 1, playing: false });
    expect(from(paused, 'play').clip).toMatchObject({ playing: true });
  });
  it('of another package than the one that is looked at come too late', () => {
    expect(reached('make', passed, { ...clip, folder: '/out/other' } as Action).clip).toBeUndefined();
    expect(reached(clip).clip).toBeUndefined();
  });
  it('of an earlier job go when the next one begins', () => {
    expect(reached('make', passed, clip, 'go-recipes', 'make').clip).toBeUndefined();
  });
});

describe('comparing', () => {
  const packages: Action = { type: 'packages', packages: [foundPackage('out/ink'), foundPackage('out/oil')] };
  const comparing = () => reached(packages, 'go-compare', 'toggle', 'down', 'toggle', 'open');
  it('begins with the packages that are marked', () => {
    expect(comparing()).toMatchObject({
      work: { kind: 'compare' },
      effects: [{ do: 'compare', request: { kind: 'packages', packages: ['out/ink', 'out/oil'] } }],
    });
    const refused = reached(packages, 'go-compare', 'open');
    expect(refused).toMatchObject({ work: undefined, comparison: { notice: expect.stringContaining('Mark two') } });
  });
  it('shows the strengths of a knob side by side, and takes one of them into the recipe', () => {
    const typing = atAlpha('strengths');
    expect(textOf(typing.input as never)).toMatch(/^personalized\[0\]\.alpha=/);
    expect(from(typing, 'erase-line', ':alpha=', 'commit').input?.problem).toBeDefined();
    const state = from(typing, 'erase-line', ':alpha=0.4,1', 'commit');
    expect(state).toMatchObject({ pane: 'compare', work: { kind: 'compare' } });
    expect(state.effects).toMatchObject([{ do: 'compare', request: { kind: 'sweep', recipe: TINY, total: 2 } }]);
    const settings = [{ path: ['personalized', 0, 'alpha'], value: 0.4 }];
    const heard = from(state, { type: 'event', event: { ...tileEvent(0, 2), settings } as Event, at: 5 });
    expect(wallOf(heard)?.tiles.map((tile) => tile !== undefined)).toEqual([true, false]);
    const chosen = from(heard, { type: 'compared' }, 'choose-tile');
    expect(chosen.pane).toBe('recipe');
    expect(editorOf(chosen)?.text).toContain('alpha: 0.4');
    expect(editorOf(from(chosen, 'undo'))?.text).toBe(TEXT);
  });
  it('offers two knobs for a sweep, the one under the cursor first', () => {
    const text = textOf(atAlpha('sweep').input as never);
    expect(text).toMatch(/^personalized\[0\]\.alpha=\S+ lcm\.beta=\S+$/);
  });
  it('is stopped, and shown what was made until then', () => {
    const state = from(comparing(), 'interrupt', { type: 'stopped', kind: 'compare', at: 3 });
    expect(state).toMatchObject({ work: undefined, comparison: { run: { status: 'stopped' } } });
    expect(contextOf(state)).toBe('wall');
    expect(contextOf(from(state, 'back'))).toBe('compare');
  });
});

describe('publishing', () => {
  const packages: Action = { type: 'packages', packages: [foundPackage('out/ink')] };
  it('looks at what would be sent only when it is looked at', () => {
    const elsewhere = reached(packages, 'go-publish', 'set-target', ':/srv/ink', 'commit');
    expect(elsewhere.effects).toEqual([{ do: 'preview', wish: { folder: 'out/ink', to: '/srv/ink' } }]);
    const later = from(elsewhere, 'go-recipes', 'go-publish');
    expect(later.effects).toEqual([]); // it has been asked for
  });
});

describe('the palette', () => {
  it('runs the command that is found', () => {
    const typing = reached('last', 'open', opened, planned(), 'palette', ':go to gate');
    expect(contextOf(typing)).toBe('palette');
    expect(from(typing, 'commit')).toMatchObject({ pane: 'gate', input: undefined });
    expect(from(typing, 'close')).toMatchObject({ pane: 'recipe', input: undefined });
  });
  it('says so when there is none', () => {
    expect(reached('palette', ':zzzz', 'commit').notice?.text).toContain('zzzz');
  });
});

describe('scrolling', () => {
  const measured: readonly Step[] = [
    { type: 'measured', area: 'plan', limit: 12 },
    { type: 'measured', area: 'bake', limit: 12 },
  ];
  it('stays within what was measured', () => {
    expect(scrollOf(reached(...measured, 'go-plan', 'up'), 'plan')).toBe(0);
    expect(scrollOf(reached(...measured, 'go-plan', 'down', 'page-down'), 'plan')).toBe(11);
    expect(
      scrollOf(reached(...measured, 'go-plan', 'last', { type: 'measured', area: 'plan', limit: 3 }), 'plan'),
    ).toBe(3);
  });
  it('begins at the top, but keeps to the end of a log until one looks back', () => {
    const grown: Step = { type: 'measured', area: 'bake', limit: 20 };
    const state = reached(...measured, 'go-bake');
    expect([scrollOf(state, 'plan'), scrollOf(state, 'bake'), scrollOf(from(state, grown), 'bake')]).toEqual([
      0, 12, 20,
    ]);
    const back = from(state, 'up', grown);
    expect(scrollOf(back, 'bake')).toBe(11);
    expect(scrollOf(from(back, 'last', { type: 'measured', area: 'bake', limit: 30 }), 'bake')).toBe(30);
  });
});

describe('panes', () => {
  it('follow each other in a circle', () => {
    expect(reached('next-pane').pane).toBe('recipe');
    expect(reached('previous-pane').pane).toBe('publish');
    expect(reached('previous-pane', 'next-pane').pane).toBe('recipes');
  });
});

describe('a package of another time', () => {
  const findings = madePackage('', { integrity: 'passed', frames: 'failed' }, 'failed').report;
  const packages: Action = { type: 'packages', packages: [foundPackage('out/old'), foundPackage('out/new')] };
  const viewed: Action = { type: 'viewed', folder: 'out/new', findings };
  const clip: Action = { type: 'clip', folder: '/out/tiny', frames: RED_THEN_BLUE };

  it('is asked for where packages are chosen', () => {
    expect(from(reached(packages), 'go-compare', 'down', 'view').effects).toEqual([{ do: 'view', folder: 'out/new' }]);
    expect(from(reached(packages), 'go-publish', 'view').effects).toEqual([{ do: 'view', folder: 'out/old' }]);
    expect(from(reached(), 'go-compare', 'view').notice?.text).toBe('There is no package to look at.');
  });
  it('is shown instead of what the job made, until one goes back', () => {
    const state = from(atAlpha('make', passed, clip), packages, 'go-compare', viewed);
    expect([state.pane, state.clip, shownJob(state)?.folder]).toEqual(['run', undefined, 'out/new']);
    expect(shownJob(state)).toMatchObject({ status: 'refused', checks: [{ id: 'integrity' }, { id: 'frames' }] });
    expect(state.job?.folder).toBe('/out/tiny');
    const back = from(state, clip, 'back');
    expect([back.pane, back.clip, shownJob(back)?.folder]).toEqual(['compare', undefined, '/out/tiny']);
    expect(back.effects).toEqual([{ do: 'read-clip', folder: '/out/tiny' }]);
  });
  it('gives way to the next job', () => {
    const state = from(atAlpha(), packages, 'go-compare', viewed, clip, 'make');
    expect([state.viewed, state.clip, shownJob(state)?.status]).toEqual([undefined, undefined, 'running']);
  });
  it('may be one that was never verified', () => {
    const state = from(reached(packages), { type: 'viewed', folder: 'out/new', findings: undefined });
    expect(shownJob(state)).toMatchObject({ folder: 'out/new', checks: [] });
  });
});

describe('a recipe that somebody else has changed', () => {
  const theirs = `${TEXT}# by somebody else\n`;
  it('is read again, and what was here is brought back over it', () => {
    const dirty = atAlpha('more');
    const mine = editorOf(dirty)?.text ?? '';
    expect(from(dirty, 'read-again').effects).toContainEqual({ do: 'open', recipe: TINY, again: true });
    const read = from(dirty, { type: 'opened', recipe: TINY, text: theirs });
    expect(editorOf(read)?.text).toBe(theirs);
    expect(from(read, 'undo', 'save').effects).toContainEqual({
      do: 'save',
      recipe: TINY,
      text: mine,
      replaces: theirs,
    });
  });
  it('is as its file says when it is read again, and as it was here after undo; a late first reading changes nothing', () => {
    const dirty = atAlpha('more');
    expect(editorOf(from(dirty, opened))?.text).toBe(editorOf(dirty)?.text);
    const read = from(dirty, { type: 'opened', recipe: TINY, text: TEXT, again: true });
    expect(editorOf(read)?.text).toBe(TEXT);
    expect(editorOf(from(read, 'undo'))?.text).toBe(editorOf(dirty)?.text);
  });
  it('is saved under another name beside it', () => {
    const typing = atAlpha('more', 'save-as');
    expect(typing.input && textOf(typing.input)).toBe('tiny.yaml');
    const text = editorOf(typing)?.text;
    expect(from(typing, 'erase-line', ':mine', 'commit').effects).toEqual([
      { do: 'save-as', recipe: TINY, to: 'recipes/mine.yaml', text },
    ]);
    const elsewhere = from(typing, 'erase-line', ':a/mine', 'commit');
    expect([elsewhere.effects, elsewhere.input?.problem]).toEqual([[], expect.stringContaining('without a folder')]);
  });
});

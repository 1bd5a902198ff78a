import { beforeAll, describe, expect, it } from 'vitest';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import type { Command } from '../../src/tui/keys.ts';
import { type Action, contextOf, INITIAL, reduce, type State, scrollOf } from '../../src/tui/state.ts';
import { madePackage, RED_THEN_BLUE } from './reports.ts';

const RECIPES = ['a.yaml', 'b.yaml', 'recipes/c.yaml'];
let tiny: Plan;

beforeAll(async () => {
  tiny = await plan(await loadRecipe('recipes/tiny.yaml'));
});

/** The state after these actions; a word is a command given at the time of its place in the list. */
function reached(...actions: readonly (Command | Action)[]): State {
  return from({ ...INITIAL, recipes: RECIPES }, ...actions);
}

function from(state: State, ...actions: readonly (Command | Action)[]): State {
  return actions.reduce<State>(
    (before, action, at) =>
      reduce(before, typeof action === 'string' ? { type: 'command', command: action, at } : action),
    state,
  );
}

const passed: Action = { type: 'made', made: madePackage('/out/tiny', { integrity: 'passed' }, 'passed'), at: 9 };
const refused: Action = {
  type: 'made',
  made: madePackage('/out/tiny.failed', { integrity: 'passed', frames: 'failed', timing: 'unknown' }, 'failed'),
  at: 9,
};

describe('choosing a recipe', () => {
  it('moves within the list and stops at its ends', () => {
    expect(reached('up').selected).toBe(0);
    expect(reached('down', 'down', 'down', 'down').selected).toBe(2);
    expect(reached('last').selected).toBe(2);
    expect(reached('last', 'page-up').selected).toBe(0);
  });
  it('survives an empty list', () => {
    const state = from(INITIAL, { type: 'found', recipes: [] }, 'down', 'last', 'open', 'make');
    expect(state).toMatchObject({ selected: 0, pane: 'recipes', plan: undefined, job: undefined });
  });
  it('opens the plan of the one that is selected', () => {
    expect(reached('down', 'open')).toMatchObject({ pane: 'plan', plan: { recipe: 'b.yaml', status: 'reading' } });
  });
  it('takes the answer to the last wish only', () => {
    const late: Action = { type: 'not-planned', recipe: 'a.yaml', problems: ['late'] };
    const state = reached('open', 'back', 'down', 'open', late);
    expect(state.plan).toEqual({ recipe: 'b.yaml', status: 'reading' });
    const ready: Action = { type: 'planned', recipe: 'b.yaml', plan: tiny, out: 'out/tiny' };
    expect(from(state, ready, late).plan).toEqual({ recipe: 'b.yaml', status: 'ready', plan: tiny, out: 'out/tiny' });
  });
});

describe('a job', () => {
  it('takes the recipe of the pane in which it is asked for, and shows itself', () => {
    expect(reached('down', 'make')).toMatchObject({
      pane: 'bake',
      job: { recipe: 'b.yaml', status: 'running', startedAt: 1 },
    });
    const planned = reached('open', 'back', 'last', 'go-plan', 'make');
    expect(planned.job?.recipe).toBe('a.yaml');
    expect(from(planned, { type: 'stopped', at: 5 }, 'go-recipes', 'go-bake', 'make').job).toMatchObject({
      recipe: 'a.yaml',
      status: 'running',
    });
    expect(reached('go-gate', 'make').job).toBeUndefined();
  });
  it('is one at a time', () => {
    const state = reached('make', 'back');
    expect(from(state, 'go-recipes', 'down', 'make').job).toBe(state.job);
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
      {
        type: 'event',
        event: { type: 'check', stage: 'verify', id: 'graph', verdict: 'passed', reason: 'fine', seconds: 1 },
        at: 40,
      },
    );
    expect(state.job).toMatchObject({
      at: 40,
      stages: [{ stage: 'bake', startedAt: 10, subject: 'tiny', progress: { done: 1, total: 4, at: 20 } }],
      log: [{ mark: 'warning', text: 'careful' }],
      checks: [{ id: 'graph', verdict: 'passed' }],
    });
    const end: Action = {
      type: 'event',
      event: { type: 'stage-finished', stage: 'bake', milliseconds: 5, summary: 'done' },
      at: 50,
    };
    expect(from(state, end).job?.stages[0]).toMatchObject({
      finished: { milliseconds: 5, summary: 'done' },
      progress: { done: 1 },
    });
  });
  it('leads from its pane to the frames when it has passed', () => {
    const state = reached('make', passed);
    expect(state).toMatchObject({ pane: 'run', job: { status: 'passed', folder: '/out/tiny', at: 9 } });
    expect(state.job?.log).toMatchObject([{ mark: 'passed', text: 'Passed: /out/tiny' }]);
    expect(reached('make', 'go-recipes', passed).pane).toBe('recipes');
  });
  it('says where it was published to', () => {
    const { made, ...action } = passed;
    expect(reached('make', { ...action, made: { ...made, published: '/srv/tiny' } }).job?.log.at(-1)?.text).toBe(
      'Published to /srv/tiny',
    );
  });
  it('leads to the gate when it was refused, with the reasons and where the package is kept', () => {
    const state = reached('make', refused);
    expect(state).toMatchObject({ pane: 'gate', job: { status: 'refused' } });
    expect(state.job?.log.map(({ mark, text }) => [mark, text])).toEqual([
      ['failed', 'frames: frames is failed.'],
      ['unknown', 'timing: timing is unknown.'],
      ['failed', 'Has not passed and must not be used. It is kept in /out/tiny.failed'],
    ]);
  });
  it('that breaks says why, and another one may begin', () => {
    const state = reached(
      'make',
      { type: 'not-planned', recipe: 'a.yaml', problems: ['no'] },
      { type: 'broken', problems: ['no'], at: 4 },
    );
    expect(state).toMatchObject({
      plan: { status: 'wrong', problems: ['no'] },
      job: { status: 'failed', log: [{ mark: 'failed', text: 'no' }] },
    });
    expect(from(state, 'make').job).toMatchObject({ status: 'running', log: [] });
  });
  it('keeps a log of bounded length, numbered through', () => {
    const warnings = Array.from(
      { length: 700 },
      (_, i): Action => ({ type: 'event', event: { type: 'warning', stage: 'bake', message: `${i}` }, at: i }),
    );
    const { log = [] } = reached('make', ...warnings).job ?? {};
    expect(log).toHaveLength(500);
    expect(log.at(-1)).toMatchObject({ n: 700, text: '699' });
    expect(log[0]).toMatchObject({ n: 201, text: '200' });
  });
  it('does not take what comes after its end', () => {
    const state = reached('make', passed);
    expect(
      from(
        state,
        { type: 'event', event: { type: 'warning', stage: 'run', message: 'late' }, at: 99 },
        { type: 'clock', at: 99 },
      ),
    ).toEqual(state);
  });
});

describe('stopping and leaving', () => {
  it('stops a job with Esc in its pane, elsewhere Esc goes back', () => {
    expect(reached('make', 'back')).toMatchObject({ pane: 'bake', job: { status: 'stopping' } });
    expect(reached('make', 'go-gate', 'back')).toMatchObject({ pane: 'recipes', job: { status: 'running' } });
    expect(reached('make', passed, 'go-bake', 'back')).toMatchObject({ pane: 'recipes', job: { status: 'passed' } });
  });
  it('stops with the first Ctrl-C from anywhere and leaves with the second', () => {
    const stopping = reached('make', 'go-recipes', 'help', 'interrupt');
    expect(stopping).toMatchObject({ job: { status: 'stopping' }, exit: undefined, cover: undefined });
    expect(from(stopping, 'interrupt').exit).toBe(130);
    expect(reached('interrupt').exit).toBe(130);
  });
  it('forgets a plan that a stopped job was still reading', () => {
    expect(reached('make', 'interrupt', { type: 'stopped', at: 7 })).toMatchObject({
      plan: undefined,
      job: { status: 'stopped', at: 7 },
    });
  });
  it('quits at once without a job, and asks with one', () => {
    expect(reached('quit').exit).toBe(0);
    const asking = reached('make', 'quit');
    expect(asking).toMatchObject({ exit: undefined, cover: 'confirm', job: { status: 'running' } });
    expect(contextOf(asking)).toBe('confirm');
    expect(from(asking, 'close')).toMatchObject({ exit: undefined, cover: undefined, job: { status: 'running' } });
  });
  it('waits for the job to clean up when told to leave', () => {
    const leaving = reached('make', 'quit', 'leave');
    expect(leaving).toMatchObject({ exit: undefined, job: { status: 'stopping' } });
    expect(from(leaving, { type: 'stopped', at: 9 }).exit).toBe(0);
    expect(from(reached('make', { type: 'terminated' }), { type: 'stopped', at: 9 }).exit).toBe(0);
  });
  it('has nothing left to ask when the job ends by itself', () => {
    expect(reached('make', 'quit', passed)).toMatchObject({ cover: undefined, exit: undefined });
  });
});

describe('the clip', () => {
  const clip: Action = { type: 'clip', frames: RED_THEN_BLUE };
  it('plays round and round', () => {
    const frames = [clip, { type: 'next-frame' }, { type: 'next-frame' }] as const;
    expect([1, 2, 3].map((n) => reached(...frames.slice(0, n)).clip)).toMatchObject([{ at: 0 }, { at: 1 }, { at: 0 }]);
  });
  it('stands still while it is paused or stepped through', () => {
    const paused = reached(clip, 'play', { type: 'next-frame' });
    expect(paused.clip).toMatchObject({ at: 0, playing: false });
    expect(from(paused, 'earlier-frame').clip).toMatchObject({ at: 1, playing: false });
    expect(reached(clip, 'later-frame').clip).toMatchObject({ at: 1, playing: false });
    expect(from(paused, 'play').clip).toMatchObject({ playing: true });
  });
  it('of an earlier job goes when the next one begins', () => {
    expect(reached('make', passed, clip, 'go-recipes', 'make').clip).toBeUndefined();
  });
});

describe('scrolling', () => {
  const measured: readonly Action[] = [
    { type: 'measured', area: 'plan', limit: 12 },
    { type: 'measured', area: 'bake', limit: 12 },
  ];
  it('stays within what was measured', () => {
    expect(scrollOf(reached(...measured, 'go-plan', 'up'), 'plan')).toBe(0);
    expect(scrollOf(reached(...measured, 'go-plan', 'down', 'page-down'), 'plan')).toBe(11);
    expect(scrollOf(reached(...measured, 'go-plan', 'last'), 'plan')).toBe(12);
    expect(
      scrollOf(reached(...measured, 'go-plan', 'last', { type: 'measured', area: 'plan', limit: 3 }), 'plan'),
    ).toBe(3);
  });
  it('begins at the top, but keeps to the end of a log until one looks back', () => {
    const grown: Action = { type: 'measured', area: 'bake', limit: 20 };
    const state = reached(...measured, 'go-bake');
    expect([scrollOf(state, 'plan'), scrollOf(state, 'bake'), scrollOf(from(state, grown), 'bake')]).toEqual([
      0, 12, 20,
    ]);
    const back = from(state, 'up', grown);
    expect(scrollOf(back, 'bake')).toBe(11);
    expect(scrollOf(from(back, 'last', { type: 'measured', area: 'bake', limit: 30 }), 'bake')).toBe(30);
  });
  it('starts anew with a new plan', () => {
    expect(scrollOf(reached(...measured, 'go-plan', 'last', 'go-recipes', 'open'), 'plan')).toBe(0);
  });
});

describe('panes', () => {
  it('follow each other in a circle', () => {
    expect(reached('next-pane').pane).toBe('plan');
    expect(reached('previous-pane').pane).toBe('gate');
    expect(reached('previous-pane', 'next-pane').pane).toBe('recipes');
  });
});

import { describe, expect, it } from 'vitest';
import { startJob } from '../../src/tui/job.ts';
import { INITIAL, type State } from '../../src/tui/model.ts';
import { tabLabels } from '../../src/tui/tabs.tsx';

/** Three recipes, one of them chosen; a job that has baked 41%. */
const BAKING: State = {
  ...INITIAL,
  recipes: { ...INITIAL.recipes, entries: ['a', 'b', 'c'].map((file) => ({ file })) },
  pane: 'bake',
  work: { kind: 'make', stopping: false },
  job: {
    ...startJob('a', 0),
    stages: [
      {
        stage: 'bake',
        subject: 'a',
        startedAt: 0,
        progress: { done: 41, total: 100, unit: 'bytes', at: 1 },
      },
    ],
  },
};

const line = (columns: number, state = BAKING) => {
  const { labels, gap } = tabLabels(state, columns);
  return labels.join(' '.repeat(gap));
};

describe('tabLabels', () => {
  it('says as much as there is room for, and always which number leads where', () => {
    expect(line(120)).toBe('1 Recipes 3  2 Recipe  3 Plan  ▸4 Bake 41%  5 Run  6 Gate  7 Compare  8 Publish');
    expect(line(66)).toBe('1 List 3 2 Recipe 3 Plan ▸4 Bake 41% 5 Run 6 Gate 7 Comp 8 Publ');
    expect(line(60, { ...BAKING, pane: 'run' })).toBe('1 List 2 Recipe 3 Plan 4 41% ▸Run 6 Gate 7 Comp 8 Publ');
    expect(line(40, { ...BAKING, pane: 'run' })).toBe('1  2  3  4 41%  ▸Run  6  7  8');
  });
  it('fits in 60 columns with a mark on every pane that can have one, and in 40', () => {
    for (const pane of ['recipes', 'recipe', 'plan', 'bake', 'run', 'gate', 'compare', 'publish'] as const) {
      const state: State = {
        ...BAKING,
        pane,
        work: { kind: 'publish', stopping: false },
        job: { ...startJob('a', 0), status: 'failed' },
        planning: { recipe: 'a', text: '', reading: true },
      };
      expect(line(60, state).length).toBeLessThanOrEqual(60);
      expect(line(60, state)).toContain('3 Plan…'.slice(pane === 'plan' ? 2 : 0));
      expect(line(40, state).length).toBeLessThanOrEqual(40);
    }
  });
});

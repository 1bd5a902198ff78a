/** The first line: which panes there are, where one is, and how each stands. */
import { Box } from 'ink';
import { isDirty } from './editor.ts';
import { currentStage, gateMark, jobMark } from './job.ts';
import { PANES, type PaneName, TITLES } from './layout.ts';
import { MARKS } from './marks.ts';
import { editorOf, type State, shownJob, wallOf } from './model.ts';
import { Words } from './theme.tsx';

export interface TabsProps {
  readonly state: State;
  readonly columns: number;
}

/** `▸1 Recipes 3  2 Recipe ●  3 Plan ✓`; where that does not fit, titles but the one that counts are left out. */
export function Tabs({ state, columns }: TabsProps) {
  const whole = PANES.map((pane) => words(pane, state, true));
  const room = columns - whole.reduce((sum, text) => sum + text.length, 0);
  const fits = room >= PANES.length - 1;
  const labels = fits ? whole : PANES.map((pane) => words(pane, state, pane === state.pane));
  return (
    <Box height={1} flexShrink={0} gap={fits && room < 2 * (PANES.length - 1) ? 1 : 2} overflow="hidden">
      {PANES.map((pane, i) => (
        <Box key={pane} flexShrink={0}>
          <Words style={pane === state.pane ? ['bold', 'inverse'] : undefined}>{labels[i] as string}</Words>
        </Box>
      ))}
    </Box>
  );
}

function words(pane: PaneName, state: State, titled: boolean): string {
  const here = pane === state.pane;
  const parts = [`${here ? '▸' : ''}${PANES.indexOf(pane) + 1}`, titled ? TITLES[pane] : '', BADGES[pane](state)];
  return parts.filter((word) => word !== '').join(' ');
}

const BADGES: Readonly<Record<PaneName, (state: State) => string>> = {
  recipes: ({ recipes }) => (recipes.entries ? String(recipes.entries.length) : ''),
  recipe: (state) => {
    const editor = editorOf(state);
    return editor && isDirty(editor) ? '●' : '';
  },
  plan: ({ planning }) => {
    if (!planning) return '';
    return MARKS[planning.reading ? 'working' : planning.answer?.status === 'ready' ? 'passed' : 'failed'][0];
  },
  bake: ({ job }) => {
    if (!job) return '';
    const { done = 0, total = 0 } = currentStage(job)?.progress ?? {};
    return job.status === 'running' && total > 0 ? `${Math.floor((done / total) * 100)}%` : MARKS[jobMark(job)][0];
  },
  run: (state) => {
    const { clip } = state;
    const job = shownJob(state);
    if (clip?.status === 'ready') return String(clip.frames.count);
    return job?.preview && !clip ? `${job.preview.step}/${job.preview.total}` : '';
  },
  gate: (state) => {
    const mark = gateMark(shownJob(state));
    return mark ? MARKS[mark][0] : '';
  },
  compare: (state) => {
    const wall = wallOf(state);
    const there = wall?.tiles.filter((tile) => tile !== undefined).length ?? 0;
    if (state.work?.kind === 'compare') return `${there}/${wall?.total ?? '…'}`;
    return there > 0 ? String(there) : '';
  },
  publish: ({ work }) => (work?.kind === 'publish' ? MARKS.working[0] : ''),
};

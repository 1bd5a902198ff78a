/** The first line: which panes there are, where one is, and how each stands. */
import { Box, useIsScreenReaderEnabled } from 'ink';
import { isDirty } from './editor.ts';
import { currentStage, gateMark, jobMark } from './job.ts';
import { PANES, type PaneName, SHORT_TITLES, TITLES } from './layout.ts';
import { MARKS } from './marks.ts';
import { editorOf, type State, shownJob, wallOf } from './model.ts';
import { Words } from './theme.tsx';

export interface TabsProps {
  readonly state: State;
  readonly columns: number;
}

/** Columns between tabs, and where there is room. */
const GAP = 1;
const WIDE_GAP = 2;

/** As much about every pane as there is room for in one line. */
export function Tabs({ state, columns }: TabsProps) {
  if (useIsScreenReaderEnabled()) return null; // the pane says its title
  const { labels, gap } = tabLabels(state, columns);
  return (
    <Box height={1} flexShrink={0} gap={gap} overflow="hidden">
      {PANES.map((pane, i) => (
        <Box key={pane} flexShrink={0}>
          <Words style={pane === state.pane ? ['bold', 'inverse'] : undefined}>{labels[i] as string}</Words>
        </Box>
      ))}
    </Box>
  );
}

/** The first way of writing that fits in `columns`; else the last one. */
export function tabLabels(state: State, columns: number): { readonly labels: readonly string[]; readonly gap: number } {
  const written = WAYS.map((way) => PANES.map((pane) => way(pane, BADGES[pane](state), pane === state.pane)));
  const widthOf = (labels: readonly string[]) => labels.reduce((sum, label) => sum + label.length, 0);
  const room = (labels: readonly string[]) => columns - widthOf(labels);
  const labels = written.find((all) => room(all) >= GAP * (PANES.length - 1)) ?? (written.at(-1) as string[]);
  return { labels, gap: room(labels) >= WIDE_GAP * (PANES.length - 1) ? WIDE_GAP : GAP };
}

type Way = (pane: PaneName, badge: string, isHere: boolean) => string;

const words = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');
const numbered = (pane: PaneName, isHere: boolean): string => `${isHere ? '▸' : ''}${numberOf(pane)}`;

/** From the most that can be said to the least. */
const WAYS: readonly Way[] = [
  // ▸1 Recipes 3  2 Recipe ●  3 Plan ✓  4 Bake 41%
  (pane, badge, isHere) => words(numbered(pane, isHere), TITLES[pane], badge),
  // ▸1 List 3  2 Recipe ●  3 Plan ✓  4 Bake 41%
  (pane, badge, isHere) => words(numbered(pane, isHere), SHORT_TITLES[pane], badge),
  // ▸List 2 Recipe● 3 Plan✓ 4 41%: one needs no number to where one is
  (pane, badge, isHere) => {
    if (isHere) return `▸${SHORT_TITLES[pane]}${markOf(badge)}`;
    return words(String(numberOf(pane)), isProgress(badge) ? badge : SHORT_TITLES[pane] + markOf(badge));
  },
  // ▸List 2● 3✓ 4 41%
  (pane, badge, isHere) => {
    if (isHere) return `▸${SHORT_TITLES[pane]}${markOf(badge)}`;
    return isProgress(badge) ? words(String(numberOf(pane)), badge) : numberOf(pane) + markOf(badge);
  },
];

const numberOf = (pane: PaneName): number => PANES.indexOf(pane) + 1;
/** Without what only counts. */
const markOf = (badge: string): string => (/^\D$/.test(badge) ? badge : '');
const isProgress = (badge: string): boolean => /[%/]/.test(badge);

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

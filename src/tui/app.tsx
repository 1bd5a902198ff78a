/** The screen: tabs, panes and keys, drawn from the store's state; keys and clocks go back into it. */
import { Box, useApp, useInput, usePaste, useWindowSize } from 'ink';
import { type ReactNode, useEffect, useEffectEvent, useSyncExternalStore } from 'react';
import { CLIP_FPS } from '../runtime/frames.ts';
import { currentStage, isBusy } from './job.ts';
import { commandFor, footer, keyNames } from './keys.ts';
import { type Arrangement, arrange, PANES, type PaneBox, type PaneName, SMALLEST, TITLES } from './layout.ts';
import { JOB_MARKS, MARKS } from './marks.ts';
import { BakePane } from './panes/bake.tsx';
import { GatePane } from './panes/gate.tsx';
import { HelpPane } from './panes/help.tsx';
import { PlanPane } from './panes/plan.tsx';
import { RecipesPane } from './panes/recipes.tsx';
import { RunPane } from './panes/run.tsx';
import { contextOf, type ScrollArea, type State, scrollOf } from './state.ts';
import type { Store } from './store.ts';
import { Words } from './theme.tsx';

/** Times elapsed are shown in seconds. */
const CLOCK = 1000;

export function App({ store }: { readonly store: Store }) {
  const { dispatch, now } = store;
  const state = useSyncExternalStore(store.subscribe, store.state);
  const { columns, rows } = useWindowSize();
  const { exit } = useApp();
  const arrangement = arrange(columns, rows);

  useInput((input, key) => {
    for (const name of keyNames(input, key)) {
      const command = commandFor(name, contextOf(store.state()));
      if (command) dispatch({ type: 'command', command, at: now() });
    }
  });
  usePaste(() => undefined); // pasted text is no series of commands
  useEffect(() => {
    if (state.exit !== undefined) exit(state.exit);
  }, [state.exit, exit]);
  useEvery(isBusy(state.job) ? CLOCK : undefined, () => dispatch({ type: 'clock', at: now() }));
  const moving = state.clip?.status === 'ready' && state.clip.playing && isShown('run', state, arrangement);
  useEvery(moving ? 1000 / CLIP_FPS : undefined, () => dispatch({ type: 'next-frame' }));

  return (
    <Box flexDirection="column" width={columns} height={rows} overflow="hidden">
      {arrangement.kind === 'too-small' ? (
        <Words>{`This terminal has ${columns}×${rows} cells; lcm-merge needs ${SMALLEST.columns}×${SMALLEST.rows}.`}</Words>
      ) : (
        <>
          <Tabs state={state} narrow={columns < NARROW} />
          <Body state={state} store={store} arrangement={arrangement} whole={{ width: columns, height: rows - 2 }} />
          <Footer state={state} />
        </>
      )}
    </Box>
  );
}

/** Calls back every so many milliseconds, or not at all. */
function useEvery(milliseconds: number | undefined, callback: () => void): void {
  const saved = useEffectEvent(callback);
  useEffect(() => {
    if (milliseconds === undefined) return;
    const timer = setInterval(() => saved(), milliseconds);
    return () => clearInterval(timer);
  }, [milliseconds]);
}

function isShown(pane: PaneName, { cover, pane: focused }: State, { kind }: Arrangement): boolean {
  return cover !== 'help' && (kind === 'columns' || (kind === 'tabs' && focused === pane));
}

/** Here the titles of all tabs do not fit beside each other. */
const NARROW = 66;

/** `▸1 Recipes 3   2 Plan ✓   3 Job 41%`; where it is narrow, titles but the one that counts are left out. */
function Tabs({ state, narrow }: { readonly state: State; readonly narrow: boolean }) {
  return (
    <Box height={1} flexShrink={0} gap={1}>
      {PANES.map((pane, i) => {
        const here = pane === state.pane;
        const words = [`${here ? '▸' : ' '}${i + 1}`, narrow && !here ? '' : TITLES[pane], badgeOf(pane, state)];
        return (
          <Box key={pane} flexShrink={0}>
            <Words
              style={here ? ['bold', 'inverse'] : undefined}
            >{`${words.filter((word) => word !== '').join(' ')} `}</Words>
          </Box>
        );
      })}
    </Box>
  );
}

function badgeOf(pane: PaneName, { recipes, plan, job, clip }: State): string {
  const stage = job && currentStage(job);
  const { done = 0, total = 0 } = stage?.progress ?? {};
  switch (pane) {
    case 'recipes':
      return recipes ? String(recipes.length) : '';
    case 'plan':
      return plan ? MARKS[({ reading: 'working', ready: 'passed', wrong: 'failed' } as const)[plan.status]][0] : '';
    case 'bake':
      if (!job) return '';
      return job.status === 'running' && total > 0
        ? `${Math.floor((done / total) * 100)}%`
        : MARKS[JOB_MARKS[job.status]][0];
    case 'run':
      if (clip?.status === 'ready') return String(clip.frames.count);
      return job?.preview && !clip ? `${job.preview.step}/${job.preview.total}` : '';
    case 'gate':
      return job?.folder === undefined ? '' : MARKS[JOB_MARKS[job.status]][0];
  }
}

interface BodyProps {
  readonly state: State;
  readonly store: Store;
  readonly arrangement: Exclude<Arrangement, { kind: 'too-small' }>;
  /** Without tabs and keys. */
  readonly whole: PaneBox;
}

function Body({ state, store, arrangement, whole }: BodyProps) {
  const scroll = (area: ScrollArea) => ({
    offset: scrollOf(state, area),
    onLimit: (limit: number) => store.dispatch({ type: 'measured', area, limit }),
  });
  const draw: Readonly<Record<PaneName, (box: PaneBox, focused: boolean) => ReactNode>> = {
    recipes: (box, focused) => (
      <RecipesPane box={box} focused={focused} recipes={state.recipes} selected={state.selected} />
    ),
    plan: (box, focused) => <PlanPane box={box} focused={focused} view={state.plan} {...scroll('plan')} />,
    bake: (box, focused) => <BakePane box={box} focused={focused} job={state.job} {...scroll('bake')} />,
    run: (box, focused) => <RunPane box={box} focused={focused} clip={state.clip} preview={state.job?.preview} />,
    gate: (box, focused) => <GatePane box={box} focused={focused} job={state.job} {...scroll('gate')} />,
  };
  if (state.cover === 'help') return <HelpPane box={whole} {...scroll('help')} />;
  if (arrangement.kind === 'tabs') return draw[state.pane](arrangement.box, true);
  return (
    <Box height={whole.height} flexShrink={0}>
      {arrangement.columns.map((column) => (
        <Box key={column[0]?.pane} flexDirection="column" flexShrink={0}>
          {column.map(({ pane, ...box }) => (
            <Box key={pane}>{draw[pane](box, pane === state.pane)}</Box>
          ))}
        </Box>
      ))}
    </Box>
  );
}

const QUESTION = 'A job is running.';

/** The keys of where one is; what does not fit is found in the help. */
function Footer({ state }: { readonly state: State }) {
  const context = contextOf(state);
  return (
    <Box height={1} flexShrink={0} gap={2} overflow="hidden">
      {context === 'confirm' && (
        <Box flexShrink={0}>
          <Words style="bold">{QUESTION}</Words>
        </Box>
      )}
      {footer(context).map(([keys, hint]) => (
        <Box key={keys} flexShrink={0}>
          <Words style="bold">{keys}</Words>
          <Words style="dim">{` ${hint}`}</Words>
        </Box>
      ))}
    </Box>
  );
}

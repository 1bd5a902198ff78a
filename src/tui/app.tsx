/** The screen: tabs, panes and the line at the foot, drawn from the store's state; keys and clocks go back into it. */
import { Box, useApp, useInput, useIsScreenReaderEnabled, usePaste, useWindowSize } from 'ink';
import { useEffect, useEffectEvent, useSyncExternalStore } from 'react';
import { Body } from './body.tsx';
import { contextOf } from './commands.ts';
import { Foot, footRows } from './foot.tsx';
import { hasList } from './input.ts';
import { commandFor, keyNames } from './keys.ts';
import { type Arrangement, arrange, type PaneName, SMALLEST } from './layout.ts';
import { type State, wallOf } from './model.ts';
import { untilNext } from './playback.ts';
import type { Store } from './store.ts';
import { Tabs } from './tabs.tsx';
import { Words } from './theme.tsx';

/** Times elapsed are shown in seconds. */
const CLOCK = 1000;

export interface AppProps {
  readonly store: Store;
  /** Hands a file to the person's editor, which has the terminal meanwhile. */
  readonly edit: (file: string) => Promise<void>;
}

export function App({ store, edit }: AppProps) {
  const { dispatch, now } = store;
  const state = useSyncExternalStore(store.subscribe, store.state);
  const { columns, rows } = useWindowSize();
  const { exit } = useApp();
  const foot = footRows(state, columns);
  const arrangement = arrange(columns, rows, { ...state, around: 1 + foot });

  useKeys(store);
  useExternalEditor(state.external, store, edit);
  useEffect(() => {
    if (state.exit !== undefined) exit(state.exit);
  }, [state.exit, exit]);
  useEvery(state.work ? CLOCK : undefined, () => dispatch({ type: 'clock', at: now() }));
  useFrames(state, arrangement, store);

  return (
    <Box flexDirection="column" width={columns} height={rows} overflow="hidden">
      {arrangement.kind === 'too-small' ? (
        <Words>{`This terminal has ${columns}×${rows} cells; lcm-merge needs ${SMALLEST.columns}×${SMALLEST.rows}.`}</Words>
      ) : (
        <>
          <Tabs state={state} columns={columns} />
          <Body state={state} store={store} arrangement={arrangement} />
          <Foot state={state} columns={columns} rows={foot} />
        </>
      )}
    </Box>
  );
}

/** Keys are looked up in the table, one after the other, for each may change what the next one means; what is no command is typed. */
function useKeys({ state, dispatch, now }: Store): void {
  useInput((input, key) => {
    for (const name of keyNames(input, key)) {
      const context = contextOf(state());
      const command = commandFor(name, context);
      if (command) dispatch({ type: 'command', command, at: now() });
      else if (state().input && [...name].length === 1) dispatch({ type: 'typed', text: name });
    }
  });
  usePaste((text) => {
    if (state().input) dispatch({ type: 'typed', text }); // elsewhere pasted text is no series of commands
  });
}

function useExternalEditor(file: string | undefined, { dispatch }: Store, edit: AppProps['edit']): void {
  const { suspendTerminal } = useApp();
  const open = useEffectEvent(async (path: string) => {
    try {
      await suspendTerminal(() => edit(path));
    } catch (error) {
      dispatch({ type: 'complaint', problems: [error instanceof Error ? error.message : String(error)] });
    }
    dispatch({ type: 'edited' });
  });
  useEffect(() => {
    if (file !== undefined) void open(file);
  }, [file]);
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

/** Tells when the next frame of what is on the screen is due. */
function useFrames(state: State, arrangement: Arrangement, { dispatch, now }: Store): void {
  const { clip } = state;
  const wall = wallOf(state);
  const moving = [
    clip?.status === 'ready' && isShown('run', state, arrangement) ? clip : undefined,
    wall && isShown('compare', state, arrangement) ? wall : undefined,
  ].filter((playback) => playback !== undefined);
  const isRead = useIsScreenReaderEnabled(); // a clip that is not seen has no frame that is due
  const due = isRead ? Infinity : Math.min(...moving.map((playback) => untilNext(playback, now()) ?? Infinity));
  useEffect(() => {
    if (due === Infinity) return;
    const timer = setTimeout(() => dispatch({ type: 'tick', at: now() }), due);
    return () => clearTimeout(timer);
  });
}

function isShown(pane: PaneName, { cover, input, pane: focused }: State, arrangement: Arrangement): boolean {
  if (cover === 'help' || hasList(input)) return false;
  if (arrangement.kind === 'columns') return arrangement.columns.flat().some((box) => box.pane === pane);
  return arrangement.kind === 'tabs' && focused === pane;
}

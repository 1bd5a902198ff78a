/**
 * Holds the state and does what its changes ask for: a plan that is being read is read, a job that has begun is run, one that
 * is to stop is aborted. The reducer alone decides whether any of this happens.
 */
import type { Event, Stage } from '../events.ts';
import type { Plan } from '../merge/plan.ts';
import { isBusy } from './job.ts';
import type { Services } from './services.ts';
import { type Action, INITIAL, reduce, type State } from './state.ts';

export interface Store {
  readonly state: () => State;
  /** Calls back after changes, many of them at once; returns what ends that. */
  readonly subscribe: (listener: () => void) => () => void;
  readonly dispatch: (action: Action) => void;
  readonly now: () => number;
}

/** Milliseconds between two looks at the state: a bake tells of a thousand tensors a second, and the eye takes thirty pictures. */
const NOTICE_AFTER = 16;
/** For so many milliseconds work that never waits may keep keys and screen waiting. */
const BREATHE_AFTER = 30;

/** Starts by looking for recipes. `now` is in milliseconds and only grows. */
export function createStore(services: Services, now: () => number = () => performance.now()): Store {
  const listeners = new Set<() => void>();
  let state = INITIAL;
  let notice: NodeJS.Timeout | undefined;
  let stopJob = new AbortController();

  const tellAll = () => {
    notice = undefined;
    for (const listener of listeners) listener();
  };

  const dispatch = (action: Action) => {
    const before = state;
    state = reduce(before, action);
    if (state === before) return;
    if (notice === undefined) notice = setTimeout(tellAll, NOTICE_AFTER);
    act(before, state);
  };

  const act = (before: State, after: State) => {
    const begins = isBusy(after.job) && !isBusy(before.job);
    if (begins) void work(after.job.recipe);
    else if (after.plan?.status === 'reading' && after.plan !== before.plan) void read(after.plan.recipe);
    if (after.job?.status === 'stopping' && before.job?.status === 'running') stopJob.abort();
  };

  const planned = (recipe: string, plan: Plan) => dispatch({ type: 'planned', recipe, plan, out: services.out(plan) });

  const read = async (recipe: string) => {
    try {
      planned(recipe, await follow(services.plan(recipe, new AbortController().signal), () => undefined));
    } catch (error) {
      dispatch({ type: 'not-planned', recipe, problems: services.explain(error) });
    }
  };

  const work = async (recipe: string) => {
    stopJob = new AbortController();
    const { signal } = stopJob;
    const tell = (event: Event) => dispatch({ type: 'event', event, at: now() });
    try {
      const plan = await follow(services.plan(recipe, signal), tell);
      planned(recipe, plan);
      const made = await follow(services.make(plan, signal), tell);
      dispatch({ type: 'made', made, at: now() });
      await show(made.folder);
    } catch (error) {
      if (signal.aborted) return dispatch({ type: 'stopped', at: now() });
      const problems = services.explain(error);
      dispatch({ type: 'not-planned', recipe, problems }); // if it was not
      dispatch({ type: 'broken', problems, at: now() });
    }
  };

  const show = async (folder: string) => {
    try {
      dispatch({ type: 'clip', frames: await services.readClip(folder) });
    } catch (error) {
      dispatch({ type: 'no-clip', reason: services.explain(error).join('\n') });
    }
  };

  void services.findRecipes().then((recipes) => dispatch({ type: 'found', recipes }));
  return {
    state: () => state,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    dispatch,
    now,
  };
}

/** Runs a stage to its end, and lets the event loop turn in between. */
async function follow<Result>(stage: Stage<Result>, tell: (event: Event) => void): Promise<Result> {
  let breathed = performance.now();
  for (;;) {
    const next = await stage.next();
    if (next.done) return next.value;
    tell(next.value);
    if (performance.now() - breathed < BREATHE_AFTER) continue;
    await new Promise(setImmediate);
    breathed = performance.now();
  }
}

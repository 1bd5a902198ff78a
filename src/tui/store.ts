/**
 * Holds the state and does what the reducer asks for: stages are run and their events fed back, files are read and written through
 * the services. The reducer alone decides whether any of this happens.
 */
import type { Event, Stage } from '../events.ts';
import type { Effect, WorkKind } from './effects.ts';
import type { Action } from './model.ts';
import type { Services } from './services.ts';
import { INITIAL, reduce, type State } from './state.ts';

export interface Store {
  readonly state: () => State;
  /** Calls back after changes, many of them at once; returns what ends that. */
  readonly subscribe: (listener: () => void) => () => void;
  readonly dispatch: (action: Action) => void;
  readonly now: () => number;
}

/** Milliseconds between two looks at what stages tell: a bake tells of a thousand tensors a second, and the eye takes thirty pictures. */
const NOTICE_AFTER = 33;
/** What somebody waits for is seen at once: what a key does, the next frame. */
const ASKED: ReadonlySet<Action['type']> = new Set(['command', 'typed', 'tick', 'measured', 'opened', 'planned']);
/** For so many milliseconds work that never waits may keep keys and screen waiting. */
const BREATHE_AFTER = 30;

/** Of which only the latest is of interest. */
type Replaced = 'plan' | 'preview' | 'sources';

type Run = { readonly [D in Effect['do']]: (effect: Extract<Effect, { do: D }>) => Promise<void> };

const MADE = 'Its comments say why each file was taken, and what else there is: e shows them.';

/** Starts by looking for recipes. `now` is in milliseconds and only grows. */
export function createStore(services: Services, now: () => number = () => performance.now()): Store {
  const listeners = new Set<() => void>();
  let state = INITIAL;
  let notice: NodeJS.Timeout | undefined;
  let prompt: NodeJS.Immediate | undefined;
  let working = new AbortController();
  /** What takes the place of an earlier one of its sort. */
  const latest = new Map<Replaced, AbortController>();

  /** Ends with the plan that was asked for last. */
  let planning: Promise<void> = Promise.resolve();

  const tellAll = () => {
    clearTimeout(notice);
    clearImmediate(prompt);
    notice = prompt = undefined;
    for (const listener of listeners) listener();
  };

  const dispatch = (action: Action) => {
    const before = state;
    state = reduce(before, action);
    if (state === before) return;
    if (ASKED.has(action.type)) prompt ??= setImmediate(tellAll);
    else notice ??= setTimeout(tellAll, NOTICE_AFTER);
    for (const effect of state.effects) void perform(effect);
  };

  /** For one that takes the place of the one before it. */
  const replace = (sort: Replaced): AbortSignal => {
    latest.get(sort)?.abort();
    const controller = new AbortController();
    latest.set(sort, controller);
    return controller.signal;
  };

  /** Errors of services become sentences here, whatever was asked for. */
  const perform = async (effect: Effect) => {
    try {
      await (run[effect.do] as (effect: Effect) => Promise<void>)(effect);
    } catch (error) {
      dispatch({ type: 'complaint', ...services.explain(error) });
    }
  };

  /** Runs a stage as the work that there is one of at a time, and tells how it ends. */
  const work = async <Result>(
    kind: WorkKind,
    begin: (signal: AbortSignal, tell: (event: Event) => void) => Promise<Result>,
    done: (result: Result) => void,
  ) => {
    working = new AbortController();
    const { signal } = working;
    try {
      done(await begin(signal, (event) => dispatch({ type: 'event', event, at: now() })));
    } catch (error) {
      if (signal.aborted) dispatch({ type: 'stopped', kind, at: now() });
      else dispatch({ type: 'broken', kind, at: now(), ...services.explain(error) });
    }
  };

  const run: Run = {
    'find-recipes': async ({ select }) => dispatch({ type: 'found', entries: await services.findRecipes(), select }),
    'find-packages': async () => dispatch({ type: 'packages', packages: await services.findPackages() }),
    open: async ({ recipe, again }) =>
      dispatch({ type: 'opened', recipe, text: await services.read(recipe), ...(again && { again }) }),
    'find-sources': async ({ recipe }) => {
      const signal = replace('sources');
      try {
        const { findings, left_out } = await follow(services.findSources(recipe, signal), () => undefined);
        dispatch({ type: 'sources', recipe, findings, remark: left_out });
      } catch (error) {
        const remark = services.explain(error).problems.join(' ');
        if (!signal.aborted) dispatch({ type: 'sources', recipe, findings: [], remark });
      }
    },
    save: async (saving) => {
      await services.save(saving);
      dispatch({ type: 'saved', ...saving });
    },
    'save-as': async ({ recipe, to, text }) => {
      await services.create(to, text);
      dispatch({ type: 'created', recipe: to, replaces: recipe, sentence: `Saved as ${to}; ${recipe} is as it was.` });
    },
    duplicate: async ({ recipe }) => {
      const copy = await services.duplicate(recipe);
      dispatch({ type: 'created', recipe: copy, sentence: `${copy} is a copy of ${recipe}.` });
    },
    rename: async ({ recipe, name }) => {
      try {
        const { file, sentence } = await services.rename(recipe, name);
        dispatch({ type: 'created', recipe: file, replaces: recipe, sentence });
      } catch (error) {
        dispatch({ type: 'refused', problems: services.explain(error).problems });
      }
    },
    plan: async ({ recipe, text }) => {
      const signal = replace('plan');
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const before = planning;
      planning = ended;
      await before; // a knob that is turned fast would have a process for every turn
      try {
        signal.throwIfAborted();
        const plan = await follow(services.plan(recipe, { text, signal }), () => undefined);
        dispatch({ type: 'planned', recipe, text, plan, out: services.out(plan) });
      } catch (error) {
        if (!signal.aborted) dispatch({ type: 'not-planned', recipe, text, ...services.explain(error) });
      } finally {
        end();
      }
    },
    new: ({ folder }) =>
      work(
        'new',
        (signal, tell) => follow(services.newRecipe(folder, signal), tell),
        (recipe) => {
          dispatch({ type: 'finished', kind: 'new' });
          dispatch({ type: 'created', recipe, sentence: `${recipe} is made. ${MADE}` });
        },
      ),
    make: ({ recipe, save }) =>
      work(
        'make',
        async (signal, tell) => {
          if (save) await run.save({ do: 'save', ...save });
          return follow(services.make(recipe, signal), tell);
        },
        (made) => {
          dispatch({ type: 'made', made, at: now() });
          void show(made.folder);
        },
      ),
    compare: ({ request }) =>
      work(
        'compare',
        (signal, tell) => follow(services.compare(request, signal), tell),
        (figures) => dispatch({ type: 'compared', figures }),
      ),
    preview: async ({ wish }) => {
      const signal = replace('preview');
      try {
        dispatch({ type: 'surveyed', wish, survey: await services.survey(wish) });
        const tell = (event: Event) => dispatch({ type: 'preview-event', wish, event, at: now() });
        dispatch({ type: 'previewed', wish, survey: await follow(services.preview(wish, signal), tell) });
      } catch (error) {
        if (!signal.aborted) dispatch({ type: 'not-previewed', wish, ...services.explain(error) });
      }
    },
    publish: ({ wish, over }) =>
      work(
        'publish',
        (signal, tell) => follow(services.publish({ ...wish, over }, signal), tell),
        (result) => dispatch({ type: 'published', wish, result }),
      ),
    'read-clip': ({ folder }) => show(folder),
    view: async ({ folder }) => {
      dispatch({ type: 'viewed', folder, findings: await services.readFindings(folder) });
      await show(folder);
    },
    stop: async () => working.abort(),
  };

  const show = async (folder: string) => {
    try {
      dispatch({ type: 'clip', folder, frames: await services.readClip(folder) });
    } catch (error) {
      dispatch({ type: 'no-clip', folder, reason: services.explain(error).problems.join('\n') });
    }
  };

  setImmediate(() => dispatch({ type: 'begin' })); // nothing is looked for before the first frame
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

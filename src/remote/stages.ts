/** The stages that can run in a process of their own. Each is loaded where it runs; here are only their names and types. */
import type { Stage } from '../events.ts';
import { openRemote, type Remote } from './remote.ts';

/** What does not take long enough to tell of, but loads what is not to be loaded where a screen is drawn. */
const silent = <Args extends readonly unknown[], Result>(work: (...args: Args) => Promise<Result>) =>
  async function* (...args: readonly [...Args, options: { readonly signal?: AbortSignal }]): Stage<Result> {
    yield* [];
    return work(...(args.slice(0, -1) as unknown as Args));
  };

export const STAGES = {
  plan: async () => (await import('../publish/plan-recipe.ts')).planRecipe,
  makePackage: async () => (await import('../publish/make-package.ts')).makePackage,
  surveyFiles: async () => (await import('../survey/survey.ts')).surveyFiles,
  newRecipe: async () => (await import('../survey/new-recipe.ts')).newRecipe,
  compare: async () => (await import('../compare/compare.ts')).compare,
  sweep: async () => (await import('../sweep/sweep.ts')).sweep,
  previewPublication: async () => (await import('../publish/preview.ts')).previewPublication,
  findPackages: async () => silent((await import('../compare/find-packages.ts')).findPackages),
  surveyPublication: async () => silent((await import('../publish/preview.ts')).surveyPublication),
  publish: async () => (await import('../publish/publish.ts')).publish,
};

/** The process runs TypeScript from the sources and JavaScript from the build. */
const ENTRY = new URL(`./serve-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export type RemoteStages = Remote<typeof STAGES>;

export const openStages = (): RemoteStages => openRemote(STAGES, { entry: ENTRY });

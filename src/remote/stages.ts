/** The stages that can run in a process of their own. Each is loaded where it runs; here are only their names and types. */
import { openRemote, type Remote } from './remote.ts';

export const STAGES = {
  plan: async () => (await import('../publish/plan-recipe.ts')).planRecipe,
  makePackage: async () => (await import('../publish/make-package.ts')).makePackage,
  surveyFiles: async () => (await import('../survey/survey.ts')).surveyFiles,
  newRecipe: async () => (await import('../survey/new-recipe.ts')).newRecipe,
  compare: async () => (await import('../compare/compare.ts')).compare,
  sweep: async () => (await import('../sweep/sweep.ts')).sweep,
  previewPublication: async () => (await import('../publish/preview.ts')).previewPublication,
  publish: async () => (await import('../publish/target.ts')).publish,
};

/** The process runs TypeScript from the sources and JavaScript from the build. */
const ENTRY = new URL(`./serve-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export type RemoteStages = Remote<typeof STAGES>;

export const openStages = (): RemoteStages => openRemote(STAGES, { entry: ENTRY });

/** The public API: the stages, their nouns, and the errors. What is not here may change without notice. */
export { type ErrorKind, LcmMergeError, type Place } from './errors.ts';
export { drain, type Event, type Stage } from './events.ts';
export { LOCK_FILE, type Lock } from './export/lock.ts';
export { type BakedPackage, bake } from './export/package.ts';
export { openStaging, type Staging } from './export/staging.ts';
export { type Plan, plan } from './merge/plan.ts';
export { type Published, publish } from './publish/folder.ts';
export { type MadePackage, makePackage } from './publish/make-package.ts';
export { type FetchOptions, fetchInputs } from './recipe/fetch.ts';
export { recipeJsonSchema } from './recipe/json-schema.ts';
export { loadRecipe, parseRecipe } from './recipe/load.ts';
export type { Recipe } from './recipe/schema.ts';
export { encodeAnimatedWebp, type Frames, writePng } from './runtime/frames.ts';
export { openPackage, type VideoPackage } from './runtime/package-folder.ts';
export { type SampleOptions, sample, type Timing, type Video } from './runtime/pipeline.ts';
export { type VerifyOptions, verify } from './verify/gate.ts';
export type { Report } from './verify/report.ts';
export { VERSION } from './version.ts';

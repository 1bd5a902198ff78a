/** The public API: the stages, their nouns, and the errors. What is not here may change without notice. */
export { LcmMergeError, type ErrorKind, type Place } from './errors.ts';
export { type Event, type Stage, drain } from './events.ts';
export { type Recipe } from './recipe/schema.ts';
export { loadRecipe, parseRecipe } from './recipe/load.ts';
export { recipeJsonSchema } from './recipe/json-schema.ts';
export { type Plan, plan } from './merge/plan.ts';
export { type BakedPackage, bake } from './export/package.ts';
export { type Staging, openStaging } from './export/staging.ts';
export { LOCK_FILE, type Lock } from './export/lock.ts';
export { type VideoPackage, openPackage } from './runtime/package-folder.ts';
export { type SampleOptions, type Timing, type Video, sample } from './runtime/pipeline.ts';
export { type Frames, encodeAnimatedWebp, writePng } from './runtime/frames.ts';
export { type Report } from './verify/report.ts';
export { type VerifyOptions, verify } from './verify/gate.ts';
export { type Published, publish } from './publish/folder.ts';
export { VERSION } from './version.ts';

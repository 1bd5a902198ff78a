/** Sampling on the CPU, where one package is sampled several times: its graphs stay loaded until another one's are wanted. */
import { afterAll } from 'vitest';
import type { Stage } from '../../src/events.ts';
import { type GraphSessions, openGraphs, sharedWith } from '../../src/runtime/graph-sessions.ts';
import type { VideoPackage } from '../../src/runtime/package-folder.ts';
import { type ClipOptions, sampleOn, type Video } from '../../src/runtime/pipeline.ts';

let kept: GraphSessions | undefined;

afterAll(() => kept?.[Symbol.asyncDispose]());

/** What `sample` gives with `device: 'cpu'`. */
export async function* sampleKept(pkg: VideoPackage, options: ClipOptions): Stage<Video> {
  if (kept?.pkg.folder !== pkg.folder) {
    await kept?.[Symbol.asyncDispose]();
    kept = openGraphs(pkg, { device: 'cpu', trials: [] });
  }
  return yield* sampleOn(sharedWith(kept, pkg), options);
}

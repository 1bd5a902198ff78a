/** Packages and clips that are compared, as the terminal UI is told of them. */
import type { BrokenPackage, PackageFound } from '../../src/compare/find-packages.ts';
import type { Event } from '../../src/events.ts';
import { RED_THEN_BLUE } from './reports.ts';

export function foundPackage(folder: string, changes: Partial<PackageFound> = {}): PackageFound {
  return {
    kind: 'package',
    folder,
    name: folder.replace(/^.*\//, ''),
    summary: 'ink α 0.8 · β 1 · γ 1 · lcm 4 steps · 16×64×64',
    clip: { frames: 16, width: 64, height: 64 },
    suggests: { prompt: 'a red circle', seed: 0 },
    verdict: 'passed',
    verifiedAt: new Date(2026, 10, 25, 21, 46).getTime(),
    bytes: 21_757_861,
    ...changes,
  };
}

export function brokenPackage(folder: string): BrokenPackage {
  return { kind: 'broken', folder, problem: `${folder}/unet/model.onnx is missing. Bake the package again.` };
}

export function tileEvent(index: number, total: number, label = `clip ${index}`): Event {
  return {
    type: 'tile',
    stage: 'compare',
    index,
    total,
    label,
    frames: RED_THEN_BLUE,
    milliseconds: 1234,
    note: 'motion 4.1',
  };
}

/** The rows of a comparison: which package is sampled how. The grid is that of AnimateLCM (arXiv 2402.00769, Fig. 3 and Tab. 1). */

import type { SamplerKind, TimestepSpacing } from '../architecture/sampler-config.ts';
import { count } from '../text/quantity.ts';

export interface Row {
  readonly label: string;
  /** A name for files. */
  readonly id: string;
  /** The folder of a package. */
  readonly package: string;
  /** What its recipe says, where it is not said here. */
  readonly sampler?: SamplerKind;
  readonly steps?: number;
  readonly guidance?: number;
  readonly timestep_spacing?: TimestepSpacing;
}

/** Steps of the sampler: with guidance each is two evaluations of the UNet. */
const GRID_STEPS = [1, 2, 4, 8] as const;
const TEACHER_STEPS = 50;

/** From pure noise, as LCM starts; `leading`, diffusers' default, would begin one step at t = 1, where nothing is left to do. */
const SPACING = 'trailing';

const BASELINES = [
  ['ddim', 'DDIM'],
  ['dpmpp_2m', 'DPM++ 2M'],
] as const satisfies readonly (readonly [SamplerKind, string])[];

/** The teacher at 50 steps, then for each number of steps every package with LCM and the teacher with each older sampler. */
export function gridRows(packages: readonly string[], teacher: string, guidance: number): readonly Row[] {
  const names = namesOf(packages);
  const slow = (sampler: SamplerKind, label: string, steps: number): Row => {
    return {
      label: `${label}, ${count(steps, 'step')}`,
      id: `${sampler}-${steps}`,
      package: teacher,
      sampler,
      steps,
      guidance,
      timestep_spacing: SPACING,
    };
  };
  return [
    { ...slow('ddim', 'Teacher: DDIM', TEACHER_STEPS), id: 'teacher' },
    ...GRID_STEPS.flatMap((steps) => [
      ...packages.map((folder, i): Row => {
        const name = packages.length > 1 ? ` (${names[i]})` : '';
        const id = packages.length > 1 ? `lcm-${i + 1}-${steps}` : `lcm-${steps}`;
        return {
          label: `LCM${name}, ${count(steps, 'step')}`,
          id,
          package: folder,
          sampler: 'lcm',
          steps,
          guidance: 1,
        };
      }),
      ...BASELINES.map(([sampler, label]) => slow(sampler, label, steps)),
    ]),
  ];
}

/** Each package as its recipe samples it; the first row is what the others are measured against. */
export function packageRows(packages: readonly string[], teacher: string | undefined): readonly Row[] {
  const folders = [...(teacher === undefined ? [] : [teacher]), ...packages];
  const names = namesOf(folders);
  return folders.map((folder, i) => ({ label: names[i] as string, id: `clip-${i + 1}`, package: folder }));
}

/** The ends of the paths that tell the folders apart: `tiny`, or `a/tiny` beside `b/tiny`. */
function namesOf(folders: readonly string[]): readonly string[] {
  const parts = folders.map((folder) => folder.split(/[\\/]+/).filter((part) => part !== '' && part !== '.'));
  const longest = Math.max(...parts.map((path) => path.length));
  for (let length = 1; length < longest; length += 1) {
    const ends = parts.map((path) => path.slice(-length).join('/'));
    if (new Set(ends).size === new Set(folders).size) return ends;
  }
  return folders;
}

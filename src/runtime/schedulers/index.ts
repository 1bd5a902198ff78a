/** The samplers, by kind. */
import type { SamplerConfig, SamplerKind } from '../../architecture/sampler-config.ts';
import { createDdimScheduler } from './ddim.ts';
import { createDpmSolverScheduler } from './dpm-solver.ts';
import { createEulerScheduler } from './euler.ts';
import { createLcmScheduler } from './lcm.ts';
import type { Scheduler } from './scheduler.ts';

const SCHEDULERS: Readonly<Record<SamplerKind, (config: SamplerConfig, steps: number) => Scheduler>> = {
  lcm: createLcmScheduler,
  ddim: createDdimScheduler,
  dpmpp_2m: createDpmSolverScheduler,
  dpmpp_2m_karras: createDpmSolverScheduler,
  euler: createEulerScheduler,
};

/** A sampler of `steps` evaluations, for one clip: some remember the step before. @throws UsageError as samplerTimesteps does. */
export function createScheduler(config: SamplerConfig, steps: number): Scheduler {
  return SCHEDULERS[config.kind](config, steps);
}

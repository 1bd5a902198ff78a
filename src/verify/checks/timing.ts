/** The run was fast enough, where the recipe says what that is. */
import { type Check, failed, passed } from '../check.ts';

export const timing: Check = {
  id: 'timing',
  proves: 'denoising (all steps, VAE excluded) stayed within the budget of the recipe',
  cost: 'a second, to measure the device',
  from: 'quick',
  applies: ({ video }) => !(video instanceof Error),
  run({ video, budgets, limit }) {
    if (video instanceof Error) throw video;
    const { denoise_ms, step_ms, decode_ms } = video.timing;
    const figures = {
      ...{ denoise_ms, decode_ms, slowest_step_ms: Math.max(...step_ms) },
      ...(limit && {
        flops_per_step: limit.flops_per_step,
        achieved_flops_per_second: limit.achieved_flops_per_second,
        share_of_limit: limit.share,
      }),
    };
    const took = `Denoising took ${Math.round(denoise_ms)} ms on ${video.device}`;
    const budget = budgets.denoise_ms;
    if (budget === undefined) return passed(`${took}; the recipe sets no budget.`, figures);
    return denoise_ms <= budget
      ? passed(`${took}, of ${budget} ms allowed.`, { ...figures, budget_ms: budget })
      : failed(`${took}; the budget is ${budget} ms.`, { ...figures, budget_ms: budget });
  },
};

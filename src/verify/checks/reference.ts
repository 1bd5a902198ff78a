/** The run is the one that the recipe names as its reference: an independent implementation's, or that of another package. */
import { basename } from 'node:path';
import { type Check, failed, passed } from '../check.ts';
import { clipTolerance } from '../clip-tolerance.ts';
import { compareWithReference } from '../reference.ts';

export const reference: Check = {
  id: 'reference',
  proves: 'the run equals the reference that the recipe names, in everything that the reference tells of it',
  cost: 'reading the reference',
  from: 'quick',
  applies: ({ plan, video }) => plan?.recipe.verify.reference !== undefined && !(video instanceof Error),
  async run({ plan, video }) {
    const file = plan?.recipe.verify.reference;
    if (video instanceof Error || file === undefined) throw new RangeError('reference needs a clip and a file.');
    const differences = await compareWithReference(file, video, clipTolerance);
    const figures = Object.fromEntries(differences.map(({ what, difference }) => [what, difference]));
    const beyond = differences.find(({ difference, limit }) => !(difference <= limit));
    // what comes first is the cause of what follows
    if (beyond) {
      const { what, difference, limit } = beyond;
      const distance = Number.isFinite(difference)
        ? `differs by ${difference.toExponential(1)} (limit ${limit})`
        : 'is not of the same shape';
      return failed(
        `Compared with ${basename(file)}, ${what} ${distance}. Remove verify.reference if the recipe is meant to make another clip.`,
        figures,
      );
    }
    const latents = figures['latents'] as number;
    return passed(
      `${differences.length} of the run's results agree with ${basename(file)}; the final latents to ${latents.toExponential(1)}.`,
      figures,
    );
  },
};

/**
 * What a package says of its own graphs: lock and configs tell all that they are made of but the weights, so that they can be made
 * again where the sources are not at hand.
 */
import { join } from 'node:path';
import { readClipTextConfig } from '../architecture/clip-config.ts';
import { readUNetConfig } from '../architecture/unet-config.ts';
import { unetStructure } from '../architecture/unet-structure.ts';
import { readVaeConfig } from '../architecture/vae-config.ts';
import { FormatError } from '../errors.ts';
import { COMPONENT_EXPORTS, type GraphPlan } from '../export/graphs.ts';
import { LOCK_FILE, type Lock } from '../export/lock.ts';
import { recipeSchema } from '../recipe/schema.ts';
import type { VideoPackage } from '../runtime/package-folder.ts';

/** @throws FormatError when a config or what the lock says of the output is not what a bake writes. */
export async function ownGraphs({ folder }: VideoPackage, { recipe, motion }: Lock): Promise<GraphPlan> {
  const file = join(folder, LOCK_FILE);
  const output = recipeSchema.shape.output.safeParse(recipe.output);
  if (!output.success) {
    const [issue] = output.error.issues;
    throw new FormatError(`${file}: recipe.output.${issue?.path.join('.')}: ${issue?.message}.`, { file });
  }
  const encoder = output.data.vae_encoder;
  const config = (part: string) => join(folder, part, 'config.json');
  return {
    components: COMPONENT_EXPORTS.map(({ component }) => component).filter(
      (component) => encoder || component !== 'vae_encoder',
    ),
    unet: unetStructure(await readUNetConfig(config('unet'), 'UNetMotionModel'), motion),
    text_encoder: await readClipTextConfig(config('text_encoder')),
    vae: await readVaeConfig(config('vae_decoder'), { encoder }),
    motion,
    recipe: { ...recipe, output: output.data, file, text: '' },
  };
}

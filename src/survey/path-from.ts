/** How a recipe names a file: from the folder that the recipe lies in. */
import { dirname, relative, resolve, sep } from 'node:path';

/** With slashes on every system. `target` is relative to the working folder, or absolute. */
export function pathFrom(recipe: string, target: string): string {
  return (
    relative(dirname(resolve(recipe)), resolve(target))
      .split(sep)
      .join('/') || '.'
  );
}

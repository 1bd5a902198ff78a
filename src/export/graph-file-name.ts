/**
 * Names of the graphs in a component's folder: `model.onnx` is portable and of the default shape; a target's is
 * `model.cuda.onnx`, another shape's `model.16x512x512.onnx` (frames, width, height; of a VAE width and height).
 */
import { TARGET_NAMES, type TargetName } from '../recipe/schema.ts';

export interface GraphFileName {
  readonly target: TargetName;
  /** Empty for the default shape. */
  readonly size: readonly number[];
}

export function graphFileName({ target, size }: GraphFileName): string {
  return [
    'model',
    ...(target === 'portable' ? [] : [target]),
    ...(size.length > 0 ? [size.join('x')] : []),
    'onnx',
  ].join('.');
}

const NAME = new RegExp(`^model(?:\\.(${TARGET_NAMES.slice(1).join('|')}))?(?:\\.(\\d+(?:x\\d+)+))?\\.onnx$`);

/** Undefined for a name that none of our graphs has. */
export function parseGraphFileName(name: string): GraphFileName | undefined {
  const found = NAME.exec(name);
  if (!found) return undefined;
  const [, target = 'portable', size] = found;
  return { target: target as TargetName, size: size?.split('x').map(Number) ?? [] };
}

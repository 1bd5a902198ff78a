/** `inspect`: says what a file, a folder or a package elsewhere is. Weights are never read, only headers, graphs, locks and reports. */
import { access, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VAE_SCALE } from '../../architecture/vae-scale.ts';
import { FormatError, InputMissingError, UsageError } from '../../errors.ts';
import { LOCK_FILE } from '../../export/lock.ts';
import { openLocalPackage } from '../../publish/local-package.ts';
import { describeMissing, kindOf } from '../../recipe/input-files.ts';
import { readLock } from '../../runtime/lock-file.ts';
import type { Command } from '../context.ts';
import { type Found, render } from './inspect/found.ts';
import { inspectGraph } from './inspect/graph.ts';
import { type AskedClip, clipsOf, graphFiles, inspectPackage } from './inspect/package.ts';
import { inspectWeights } from './inspect/weights.ts';

/** Weights are not fetched to be left unread. */
const LOOKED_AT = /\.(json|onnx)$/;

export const inspect: Command<'inspect'> = async (
  { file: named, frames, width, height, offline },
  { paint, signal, follow },
) => {
  const wanted = (path: string) => LOOKED_AT.test(path);
  await using local = await follow(openLocalPackage(named, { wanted, offline, signal }));
  const file = local.folder;
  const kind = await kindOf(file);
  if (kind === 'nothing') throw new InputMissingError(await describeMissing(file, 'file or folder'), { file });
  const clip = { frames, width, height };
  for (const side of ['width', 'height'] as const) {
    const length = clip[side] ?? 0;
    if (length % VAE_SCALE !== 0) throw new UsageError(`The ${side} ${length} is no multiple of ${VAE_SCALE}.`);
  }
  const looked = kind === 'folder' ? await inspectFolder(file, clip) : await inspectFile(file, clip);
  const found = local.isTemporary ? looked.map((one) => calledOtherwise(one, file, local.name)) : looked;
  if (Object.values(clip).some((length) => length !== undefined) && !found.some(({ open }) => open)) {
    throw new UsageError(
      `${named} has no graph that another clip could be put into; one that is baked with output.shapes: dynamic has. Leave out --frames, --width and --height.`,
    );
  }
  return {
    value:
      found.length === 1
        ? (found[0] as Found).value
        : { folder: local.isTemporary ? local.name : file, files: found.map(({ value }) => value) },
    text: render(found, paint),
  };
};

/** What lay in `folder` while it was looked at, under the name that it is found by. */
function calledOtherwise<Value>(value: Value, folder: string, name: string): Value {
  const rename = (one: unknown): unknown => {
    if (typeof one === 'string') return one.replaceAll(folder, name);
    if (Array.isArray(one)) return one.map(rename);
    if (typeof one !== 'object' || one === null) return one;
    return Object.fromEntries(Object.entries(one).map(([key, field]) => [key, rename(field)]));
  };
  return rename(value) as Value;
}

/** Files that may hold weights, by their ending. */
const WEIGHT_FILE = /\.(safetensors|ckpt|pt|pth|bin)$/i;

async function inspectFile(path: string, asked: AskedClip): Promise<Found[]> {
  if (!/\.onnx$/i.test(path)) return [await inspectWeights(path)];
  // a graph of a package is looked at for the package's clip
  const lock = await readLock(dirname(dirname(path)));
  return [(await inspectGraph(path, clipsOf(lock, asked))).found];
}

async function inspectFolder(folder: string, asked: AskedClip): Promise<Found[]> {
  if ((await graphFiles(folder)).length > 0 || (await exists(join(folder, LOCK_FILE)))) {
    return inspectPackage(folder, asked);
  }
  const names = (await readdir(folder, { recursive: true })).filter((name) => WEIGHT_FILE.test(name)).sort();
  if (names.length === 0) {
    throw new FormatError(
      `${folder} is neither a package (it has no unet/model.onnx) nor a folder with weight files.`,
      { file: folder },
    );
  }
  const found: Found[] = [];
  for (const name of names) found.push(await inspectWeights(join(folder, name)));
  return found;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

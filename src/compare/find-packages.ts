/**
 * The packages that lie in a folder, each in a line: what is said comes from their locks, reports and graph headers, so that a
 * shelf of them is looked through at once. One that is broken is listed with what is wrong with it.
 */

import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputMissingError, LcmMergeError } from '../errors.ts';
import type { CheckVerdict } from '../events.ts';
import { LOCK_FILE, type Lock } from '../export/lock.ts';
import { clipSize } from '../recipe/clip-shapes.ts';
import { kindOf } from '../recipe/input-files.ts';
import type { ClipShape } from '../recipe/schema.ts';
import { defaultClip } from '../runtime/clip-shape.ts';
import { readLock } from '../runtime/lock-file.ts';
import { openPackage } from '../runtime/package-folder.ts';
import { count } from '../text/quantity.ts';
import { REPORT_FILE, readReport, VERIFICATION_FOLDER } from '../verify/report.ts';

export interface PackageFound {
  readonly kind: 'package';
  readonly folder: string;
  readonly name: string;
  /** `ink α 0.8 · β 1 · γ 1 · lcm 4 steps · 16×64×64` */
  readonly summary: string;
  /** What it makes where nothing else is asked for. */
  readonly clip: ClipShape;
  /** What its recipe is verified with; other tools' packages suggest nothing. */
  readonly suggests?: { readonly prompt: string; readonly seed: number };
  readonly verdict: CheckVerdict | 'not verified';
  /** Milliseconds since 1970. */
  readonly verifiedAt?: number;
  readonly bytes: number;
}

export interface BrokenPackage {
  readonly kind: 'broken';
  readonly folder: string;
  readonly problem: string;
}

export type FoundPackage = PackageFound | BrokenPackage;

/** What makes a folder a package, of this tool or of diffusers. */
const SIGNS = [LOCK_FILE, 'model_index.json'];
/** Of packages that are being made or replaced at this moment (export/staging.ts). */
const UNFINISHED = /\.\d+\.(partial|replaced)$/;

/**
 * The packages among `given`, all of which are listed, and then those that lie in `shelf`, by name.
 * @throws nothing for packages, however broken
 */
export async function findPackages(shelf: string, given: readonly string[] = []): Promise<readonly FoundPackage[]> {
  const names = await readdir(shelf, { withFileTypes: true }).catch(() => []);
  const beside = names
    .filter((entry) => !entry.isFile() && !entry.name.startsWith('.') && !UNFINISHED.test(entry.name))
    .map(({ name }) => join(shelf, name))
    .sort();
  const shelved = await Promise.all(beside.map(async (folder) => ((await isPackage(folder)) ? [folder] : [])));
  return Promise.all([...new Set([...given, ...shelved.flat()])].map(lookAt));
}

async function isPackage(folder: string): Promise<boolean> {
  const kinds = await Promise.all(SIGNS.map((name) => kindOf(join(folder, name)).catch(() => 'nothing')));
  return kinds.includes('file');
}

async function lookAt(folder: string): Promise<FoundPackage> {
  try {
    const lock = await readLock(folder);
    const described = lock ? await baked(folder, lock) : await foreign(folder);
    const report = await readReport(folder);
    return {
      kind: 'package',
      folder,
      ...described,
      verdict: report?.verdict ?? 'not verified',
      ...(report && { verifiedAt: (await stat(join(folder, VERIFICATION_FOLDER, REPORT_FILE))).mtimeMs }),
    };
  } catch (error) {
    return { kind: 'broken', folder, problem: error instanceof LcmMergeError ? error.message : String(error) };
  }
}

type Described = Pick<PackageFound, 'name' | 'summary' | 'clip' | 'suggests' | 'bytes'>;

/** By its lock; that every file of it is there and as long as it says takes no reading. */
async function baked(folder: string, lock: Lock): Promise<Described> {
  const { name, recipe, outputs } = lock;
  const { frames, width, height } = recipe.output;
  const clip = { frames, width, height };
  await Promise.all(Object.entries(outputs).map(([file, { bytes }]) => assertLength(join(folder, file), bytes)));
  return {
    name,
    summary: [...strengthsOf(lock), samplerOf(lock), clipSize(clip)].join(' · '),
    clip,
    suggests: { prompt: recipe.verify.prompt, seed: recipe.verify.seed },
    bytes: Object.values(outputs).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Of another tool: by its graph. */
async function foreign(folder: string): Promise<Described> {
  const opened = await openPackage(folder);
  const clip = defaultClip(opened);
  return {
    name: basename(folder),
    summary: [opened.scheduler.kind, clipSize(clip)].join(' · '),
    clip,
    bytes: await folderBytes(folder),
  };
}

async function assertLength(file: string, bytes: number): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.size === bytes) return;
  const what = found ? `has ${found.size} bytes` : 'is missing';
  throw new InputMissingError(`${file} ${what}; ${LOCK_FILE} lists it with ${bytes}. Bake the package again.`, {
    file,
  });
}

async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name)));
  return (await Promise.all(files)).reduce((sum, { size }) => sum + size, 0);
}

function strengthsOf({ strengths: { alpha, beta, gamma }, inputs, recipe }: Lock): string[] {
  const personal = alpha.map((strength, i) => {
    const file = inputs.find(({ role }) => role === `personalized[${i}]`)?.file ?? '';
    return `${basename(file).replace(/\.[^.]+$/, '')} α ${strength}`.trimStart();
  });
  return [...personal, ...(recipe.lcm ? [`β ${beta}`] : []), `γ ${gamma}`];
}

function samplerOf({ recipe: { sampler } }: Lock): string {
  return `${sampler.kind} ${count(sampler.steps, 'step')}`;
}

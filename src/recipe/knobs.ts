/**
 * The numbers of a recipe that are turned to taste: strengths, block weights, and what the sampler is told. Each has a symbol (those
 * of AnimateLCM's eq. 2, arXiv 2402.00769), and the range in which it is usually turned. What a number may be at all says the schema.
 */
import { basename, extname } from 'node:path';
import { BLOCK_GROUPS } from '../architecture/block-names.ts';
import { BLOCK_VECTORS } from '../architecture/block-vectors.ts';
import { UsageError } from '../errors.ts';
import { type KeyPath, keyName, parseLocatedYaml } from './located-yaml.ts';
import { describeIssues } from './problems.ts';
import { type PersonalizedSource, type Recipe, recipeSchema } from './schema.ts';

export interface RecipeKnob {
  readonly path: KeyPath;
  /** `α`, `β`, `guidance`, `α IN08` … */
  readonly symbol: string;
  /** The source, where there may be several: `ink`. */
  readonly of?: string;
  /** Both, `α ink`: no two of a recipe have the same. */
  readonly label: string;
  readonly value: number;
  /** Where it is usually turned; neither end is a limit. */
  readonly range: readonly [from: number, to: number];
  /** Only whole numbers mean something. */
  readonly whole?: true;
}

type Kind = Pick<RecipeKnob, 'symbol' | 'range' | 'whole'>;

/** By path; `*` is any source of a list. */
const KINDS: Readonly<Record<string, Kind>> = {
  'personalized.*.alpha': { symbol: 'α', range: [0, 1.5] },
  'personalized.*.text_encoder': { symbol: 'α text', range: [0, 1.5] },
  'lcm.beta': { symbol: 'β', range: [0, 1.2] },
  'motion.gamma': { symbol: 'γ', range: [0, 1.2] },
  'motion.loras.*.alpha': { symbol: 'α motion', range: [0, 1.5] },
  'sampler.guidance': { symbol: 'guidance', range: [1, 9] },
  'sampler.steps': { symbol: 'steps', range: [1, 12], whole: true },
  'sampler.original_steps': { symbol: 'original steps', range: [20, 100], whole: true },
  'verify.seed': { symbol: 'seed', range: [0, 15], whole: true },
};

/** Of `blocks`, what the strength that they multiply is called. */
const BLOCK_OWNERS: Readonly<Record<string, string>> = {
  'personalized.*': 'α',
  lcm: 'β',
  motion: 'γ',
  'motion.loras.*': 'α motion',
};
const BLOCK_RANGE = [0, 1.5] as const;

/** Every number that can be turned, in the order of the recipe; of block weights those that are written, and the three sides of the UNet. */
export function knobsOf(recipe: Recipe): readonly RecipeKnob[] {
  const { personalized, lcm, motion, sampler } = recipe;
  const paths: KeyPath[] = [
    ...personalized.flatMap((source, i) => [
      ['personalized', i, 'alpha'],
      ['personalized', i, 'text_encoder'],
      ...blockPaths(['personalized', i], source),
    ]),
    ...(lcm ? [['lcm', 'beta'], ...blockPaths(['lcm'], lcm)] : []),
    ['motion', 'gamma'],
    ...blockPaths(['motion'], motion),
    ...motion.loras.flatMap((source, i) => [
      ['motion', 'loras', i, 'alpha'],
      ...blockPaths(['motion', 'loras', i], source),
    ]),
    ...Object.keys(sampler)
      .filter((key) => `sampler.${key}` in KINDS)
      .map((key) => ['sampler', key]),
    ['verify', 'seed'],
  ];
  return paths.flatMap((path) => findKnob(recipe, path) ?? []);
}

/** @throws UsageError for a path that is no number to turn */
export function knobAt(recipe: Recipe, path: KeyPath): RecipeKnob {
  const knob = findKnob(recipe, path);
  if (knob) return knob;
  const known = knobsOf(recipe).map((other) => keyName(other.path));
  throw new UsageError(`${keyName(path)} is no knob of ${recipe.name}. It has ${known.join(', ')}.`);
}

/** Undefined for a path that is no number to turn. */
export function findKnob(recipe: Recipe, path: KeyPath): RecipeKnob | undefined {
  const kind = kindOf(recipe, path);
  const value = kind && valueAt(recipe, path);
  if (!kind || value === undefined) return undefined;
  const of = sourceName(recipe, path);
  return { path, ...kind, ...(of !== undefined && { of }), label: of ? `${kind.symbol} ${of}` : kind.symbol, value };
}

/**
 * The recipe with another value there, validated as if it had been written so; the strength of a text encoder that follows alpha goes on following.
 * @throws UsageError for a path that is no knob, or a value that the schema does not let pass
 */
export function withKnob(recipe: Recipe, path: KeyPath, value: number): Recipe {
  knobAt(recipe, path);
  const [section, i, key] = path;
  const follows =
    section === 'personalized' && key === 'alpha' && !isWritten(recipe, [section, i as number, 'text_encoder']);
  const turned = {
    ...(set(recipe, path, value) as Recipe),
    ...(follows && {
      personalized: recipe.personalized.map((s, n) => (n === i ? { ...s, alpha: value, text_encoder: value } : s)),
    }),
  };
  const { file: _file, text: _text, origins: _origins, ...document } = turned;
  const parsed = recipeSchema.safeParse(document, { reportInput: true });
  if (parsed.success) return turned;
  const sentences = describeIssues(parsed.error.issues, recipeSchema).map(({ sentence }) => sentence);
  throw new UsageError(`${keyName(path)} cannot be ${value}. ${sentences.join(' ')}`);
}

function kindOf(recipe: Recipe, path: KeyPath): Kind | undefined {
  const pattern = path.map((key) => (typeof key === 'number' ? '*' : key));
  const kind = KINDS[pattern.join('.')];
  if (kind) return kind;
  const owner = pattern.at(-2) === 'blocks' ? BLOCK_OWNERS[pattern.slice(0, -2).join('.')] : undefined;
  if (owner === undefined) return undefined;
  const key = path.at(-1) as string | number;
  const list = at(recipe, path.slice(0, -1));
  const block = typeof key === 'number' && Array.isArray(list) ? BLOCK_VECTORS.get(list.length)?.[key] : key;
  return { symbol: `${owner} ${block}`, range: BLOCK_RANGE };
}

/** Block weights that are not written are 1. */
function valueAt(recipe: Recipe, path: KeyPath): number | undefined {
  const found = at(recipe, path);
  if (typeof found === 'number') return found;
  const blocks = path.at(-2) === 'blocks' ? at(recipe, path.slice(0, -1)) : undefined;
  return typeof blocks === 'object' && !Array.isArray(blocks) && typeof path.at(-1) === 'string' ? 1 : undefined;
}

/** `ink` of `…/ink.safetensors`; with its place in the list where another one is called the same. */
function sourceName({ personalized, motion }: Recipe, path: KeyPath): string | undefined {
  const list: readonly Pick<PersonalizedSource, 'lora' | 'checkpoint'>[] =
    path[0] === 'personalized' ? personalized : motion.loras;
  const i = path.find((key) => typeof key === 'number');
  if (i === undefined || path.indexOf(i) === path.length - 1) return undefined; // the number of a block
  const names = list
    .map(({ lora, checkpoint }) => lora ?? checkpoint ?? '')
    .map((file) => basename(file, extname(file)));
  const name = names[i] as string;
  return names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} ${i + 1}`;
}

function blockPaths(owner: KeyPath, { blocks }: Pick<PersonalizedSource, 'blocks'>): KeyPath[] {
  const keys = Array.isArray(blocks) ? [...blocks.keys()] : [...new Set([...BLOCK_GROUPS, ...Object.keys(blocks)])];
  return keys.map((key) => [...owner, 'blocks', key]);
}

function isWritten({ text }: Recipe, path: KeyPath): boolean {
  return at(parseLocatedYaml(text).value, path) !== undefined;
}

function at(value: unknown, [key, ...rest]: KeyPath): unknown {
  if (key === undefined) return value;
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? at((value as Record<string | number, unknown>)[key], rest)
    : undefined;
}

function set(value: unknown, [key, ...rest]: KeyPath, to: number): unknown {
  if (key === undefined) return to;
  if (Array.isArray(value)) return value.map((item, i) => (i === key ? set(item, rest, to) : item));
  const record = value as Record<string, unknown>;
  return { ...record, [key]: set(record[key], rest, to) };
}

/**
 * The files beside a recipe that could be a source of it, or the file of the field under the cursor: a list that typing narrows
 * down, and in which a path that is typed is the last choice. What cannot be used is listed with the reason. Pure.
 */
import type { KeyPath } from '../recipe/located-yaml.ts';
import type { Finding, Part } from '../survey/identify.ts';
import { misfit } from '../survey/measures.ts';
import { pathFrom } from '../survey/path-from.ts';
import { documentOf } from './draft.ts';
import { addSource, type Editor, type SourceKind, setValue } from './editor.ts';
import { type Input, textOf } from './input.ts';
import { containsWords } from './palette.ts';

export interface SourceList {
  readonly recipe: string;
  /** The field whose file is to change; undefined where a source is added. */
  readonly field: KeyPath | undefined;
  /** Undefined while they are looked for. */
  readonly findings: readonly Finding[] | undefined;
  /** What was not looked at, or why nothing was. */
  readonly remark?: string | undefined;
}

export interface SourceChoice {
  /** As the recipe would have it. */
  readonly path: string;
  /** What it is. */
  readonly what: string;
  readonly kind: SourceKind;
  /** The recipe has it there now. */
  readonly isNow: boolean;
  /** Why it cannot be chosen, as a sentence. */
  readonly unfit?: string | undefined;
}

/** Which parts a field takes, by its keys without indices; other files are typed. */
const TAKES: Readonly<Record<string, readonly Part[]>> = {
  'base.model': ['base'],
  'base.config': ['base'],
  'base.vae': ['vae', 'base'],
  'base.text_encoder': ['base'],
  'personalized.lora': ['personalized', 'lcm'],
  'personalized.checkpoint': ['base'],
  'lcm.lora': ['lcm', 'personalized'],
  'motion.module': ['motion'],
  'motion.loras.lora': ['motion-lora'],
};

/** What a part is added as; a motion module and a VAE have their fields already. */
const ADDED: Readonly<Partial<Record<Part, SourceKind>>> = {
  personalized: 'lora',
  lcm: 'lcm',
  'motion-lora': 'motion-lora',
  base: 'checkpoint',
};

const NAMES: Readonly<Record<Part, string>> = {
  personalized: 'LoRA',
  lcm: 'LCM LoRA',
  'motion-lora': 'motion LoRA',
  motion: 'motion module',
  base: 'checkpoint',
  vae: 'VAE',
};

/** Is there a list for this field? */
export function takesFile(field: KeyPath): boolean {
  return keysOf(field) in TAKES;
}

/** Those that contain what is typed, what cannot be chosen last; then what is typed, as a path. */
export function sourceChoices({ findings = [], ...list }: SourceList, editor: Editor, input: Input): SourceChoice[] {
  const typed = textOf(input).trim();
  const parts = list.field ? (TAKES[keysOf(list.field)] ?? []) : (Object.keys(ADDED) as Part[]);
  const used = list.field ? valuesAt(editor, list.field) : [];
  const base = findings.find(({ path, part }) => part === 'base' && pathFrom(editor.file, path) === basePath(editor));
  const choices = findings.flatMap((finding) => {
    const path = pathFrom(editor.file, finding.path);
    if (finding.part === undefined)
      return [{ path, what: finding.title, kind: 'lora' as const, isNow: false, unfit: finding.reason, rank: 99 }];
    const rank = parts.indexOf(finding.part);
    if (rank < 0) return [];
    const { part, note, guess, title } = finding;
    const what = [NAMES[part], note ?? title, guess && `a guess: ${guess}`].filter(Boolean).join(', ');
    const why =
      base?.part && part !== 'base' ? misfit(base.measures, finding.measures, { whole: part === 'motion' }) : undefined;
    const unfit = why && `It was made for another base: ${why}.`;
    const isNow = used.includes(path);
    return [{ path, what, kind: ADDED[part] ?? 'lora', isNow, rank: unfit ? 98 : rank, unfit }];
  });
  const fitting = choices
    .filter(({ path, what }) => input.fresh || containsWords(`${path} ${what}`, typed))
    .sort((a, b) => a.rank - b.rank)
    .map(({ rank: _, ...choice }) => choice);
  if (typed === '' || fitting.some(({ path }) => path === typed)) return fitting;
  return [...fitting, { path: typed, what: 'the path as it is typed', kind: 'lora', isNow: input.fresh === true }];
}

/** Where the list begins: at what the field has now. */
export function firstChoice(choices: readonly SourceChoice[]): number {
  return Math.max(
    0,
    choices.findIndex(({ isNow }) => isNow),
  );
}

/** The editor with what was chosen, or a sentence that says why it cannot be. */
export function takeSource(
  editor: Editor,
  { field }: SourceList,
  { path, kind, unfit }: SourceChoice,
): Editor | string {
  if (unfit !== undefined) return `${path}: ${unfit}`;
  return field ? setValue(editor, path) : addSource(editor, kind, path);
}

const keysOf = (field: KeyPath): string => field.filter((key) => typeof key === 'string').join('.');

function basePath(editor: Editor): unknown {
  const { base } = documentOf(editor) as { readonly base?: string | { readonly model?: unknown } | null };
  return typeof base === 'object' ? base?.model : base;
}

function valuesAt(editor: Editor, field: KeyPath): readonly unknown[] {
  if (keysOf(field) === 'base.model') return [basePath(editor)];
  const at = (value: unknown, key: string | number) => (value as Record<string | number, unknown> | null)?.[key];
  return [field.reduce<unknown>(at, documentOf(editor))];
}

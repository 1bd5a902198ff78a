/**
 * One recipe out of what was found: the base that most of the other files were made for, and for each part of the sum the file that
 * fits it best. Whatever is not taken keeps its reason.
 */
import { basename } from 'node:path';
import { InputMissingError } from '../errors.ts';
import type { Part, Unusable, Usable } from './identify.ts';
import { type Measures, misfit } from './measures.ts';
import type { Survey } from './survey.ts';

/** A base, with what it takes from other files. */
export interface BaseOption {
  readonly base: Usable;
  /** Folder that lends a single file its configs. */
  readonly config?: Usable;
  /** For a base that has none. */
  readonly vae?: Usable;
}

export interface Choice extends BaseOption {
  readonly motion: Usable;
  readonly lcm?: Usable;
  readonly personalized?: Usable;
  readonly otherBases: readonly BaseOption[];
  /** What could stand in the place of one that was taken, or beside it, best first. */
  readonly others: Readonly<Record<Exclude<Part, 'base'>, readonly Usable[]>>;
  readonly unfit: readonly Unfit[];
}

export interface Unfit extends Pick<Unusable, 'path' | 'title' | 'reason'> {}

/** Of stock SD1.5, which a single file is unless a folder lends it other configs. */
const STOCK: Measures = { widths: [320, 640, 1280], context: [768] };

/** @throws InputMissingError when there is no base, or no motion module that was made for it. */
export function chooseSources(survey: Survey): Choice {
  const usable = survey.findings.filter((finding): finding is Usable => finding.part !== undefined);
  const unfit: Unfit[] = survey.findings.filter((finding) => finding.part === undefined);
  const of = (part: Part) => usable.filter((finding) => finding.part === part);
  const bases = of('base').flatMap((base): BaseOption[] => {
    const needs = needsOf(base, usable);
    if (typeof needs !== 'string') return [{ base, ...needs }];
    unfit.push({ path: base.path, title: base.title, reason: needs });
    return [];
  });
  const fits = (base: Usable) => (other: Usable) => misfitOf(base, other) === undefined;
  const scored = bases.map((option) => {
    const fitting = usable.filter(fits(option.base));
    return { option, score: fitting.length + (fitting.some(({ part }) => part === 'motion') ? usable.length : 0) };
  });
  const [best] = scored.toSorted((a, b) => b.score - a.score || lentTo(a.option) - lentTo(b.option));
  const motions = of('motion');
  if (!best || motions.length === 0) throw missing(survey, best ? 'a motion module' : 'a base', unfit);
  const { base, ...lent } = best.option;
  for (const other of usable) {
    const reason = other.part === 'base' ? undefined : misfitOf(base, other);
    if (reason !== undefined)
      unfit.push({ path: other.path, title: other.title, reason: `It was made for another base: ${reason}.` });
  }
  const fitting = (part: Part) => of(part).filter(fits(base));
  const [lcm, ...lcms] = fitting('lcm').toSorted((a, b) => Number(isGuess(a)) - Number(isGuess(b)));
  const wantsDistilled = lcm !== undefined;
  const [motion, ...motionOthers] = fitting('motion').toSorted(
    (a, b) => Number(isDistilled(b) === wantsDistilled) - Number(isDistilled(a) === wantsDistilled),
  );
  if (!motion) throw missing(survey, `a motion module that was made for ${basename(base.path)}`, unfit);
  const [personalized, ...styles] = fitting('personalized');
  return {
    base,
    ...lent,
    motion,
    ...(lcm && { lcm }),
    ...(personalized && { personalized }),
    otherBases: bases.filter((option) => option.base !== base),
    others: {
      motion: motionOthers,
      lcm: lcms,
      personalized: styles,
      'motion-lora': fitting('motion-lora'),
      vae: fitting('vae').filter((vae) => vae !== lent.vae),
    },
    unfit,
  };
}

/** A base that is whole goes before one that takes from others. */
const lentTo = (option: BaseOption) => Object.keys(option).length;
const isGuess = ({ guess }: Usable) => guess !== undefined;
const isDistilled = ({ motion }: Usable) => motion?.distilled === true;

function misfitOf(base: Usable, other: Usable): string | undefined {
  return other.part === 'base' ? undefined : misfit(base.measures, other.measures, { whole: other.part === 'motion' });
}

/** What a base takes from other files; a sentence where nothing has it. */
function needsOf({ base, measures }: Usable, usable: readonly Usable[]): Omit<BaseOption, 'base'> | string {
  const isLike = (other: Measures) => !misfit(measures, other, { whole: true });
  const config =
    base?.layout === 'folder' || isLike(STOCK)
      ? undefined
      : usable.find((other) => other.base?.layout === 'folder' && isLike(other.measures));
  if (base?.layout !== 'folder' && !isLike(STOCK) && !config)
    return `Its blocks are ${measures.widths.join(', ')} wide, not as SD1.5's, and no folder with the configs of such a model was found.`;
  const vae = base?.hasVae ? undefined : usable.find(({ part }) => part === 'vae');
  if (!base?.hasVae && !vae) return 'It has no VAE, and none was found that could take its place.';
  return { ...(config && { config }), ...(vae && { vae }) };
}

/** So many findings are told of in an error. */
const TOLD = 6;

function missing({ folder, findings }: Survey, what: string, unfit: readonly Unfit[]): InputMissingError {
  const told = unfit.slice(0, TOLD).map(({ path, title, reason }) => `\n  ${path}: ${title}. ${reason}`);
  const more = unfit.length > TOLD ? `\n  … and ${unfit.length - TOLD} more` : '';
  const kinds = findings.flatMap(({ part }) => part ?? []);
  const found = kinds.length === 0 ? '' : ` Found: ${[...new Set(kinds)].map((part) => NAMES[part]).join(', ')}.`;
  return new InputMissingError(
    `${folder}: there is no recipe in it, for it lacks ${what}. A recipe needs a base of SD1.5 (a diffusers folder, or a single file) and a motion module (AnimateLCM_sd15_t2v.ckpt).${found}` +
      `${told.length > 0 ? `\nOf no use here:${told.join('')}${more}` : ''}`,
    { file: folder },
  );
}

const NAMES: Readonly<Record<Part, string>> = {
  base: 'a base',
  personalized: 'LoRAs',
  lcm: 'an LCM LoRA',
  motion: 'a motion module',
  'motion-lora': 'motion LoRAs',
  vae: 'a VAE',
};

/**
 * The text of a recipe made from what a survey found: it can be baked as it stands, and says in comments why each source was chosen
 * and what else there is, as lines that only need their `#` removed.
 */
import { stringify } from 'yaml';
import { recipeSchema } from '../recipe/schema.ts';
import { printable } from '../text/quote.ts';
import { type BaseOption, type Choice, chooseSources } from './choose.ts';
import type { Usable } from './identify.ts';
import { pathFrom } from './path-from.ts';
import type { Survey } from './survey.ts';

export interface DraftOptions {
  /** Where the recipe will lie: its paths are relative to that. */
  readonly file: string;
  /** What the result is called; what a recipe's name may not have is left out of it. */
  readonly name: string;
}

/** The length that AnimateLCM and AnimateDiff were trained on. */
const FRAMES = 16;
/** Beyond this a second style seldom helps; one that is too weak shows at once. */
const ALPHA = 0.8;
/** In the comment about files that are no part of it. */
const MAX_UNFIT = 20;

/** @throws InputMissingError when the files make no recipe, saying which part is lacking. */
export function draftRecipe(survey: Survey, { file, name }: DraftOptions): string {
  const choice = chooseSources(survey);
  const path = (target: string) => yamlText(pathFrom(file, target));
  return [
    '# yaml-language-server: $schema=./recipe.schema.json',
    `# A first recipe of what lies in ${printable(pathFrom(file, survey.folder), 300)}, told by names and shapes of tensors. Lines in comments are what else fits.`,
    '# For completion in your editor: lcm-merge schema > recipe.schema.json. What it comes to: lcm-merge plan, with this file.',
    `name: ${yamlText(recipeName(name))}`,
    ...baseLines(choice, path),
    ...personalizedLines(choice, path),
    ...lcmLines(choice, path),
    ...motionLines(choice, path),
    ...samplerLines(choice),
    ...outputLines(choice),
    'verify:',
    '  prompt: a photo # what the clip that it is judged by shows; name what your LoRA is for',
    '  seed: 0',
    ...unfitLines(choice, survey, (target) => printable(pathFrom(file, target), 300)),
    '',
  ].join('\n');
}

type PathText = (target: string) => string;

function baseLines({ otherBases, others, ...chosen }: Choice, path: PathText): string[] {
  const why = otherBases.length > 0 ? '; fits most of the files here' : '';
  const { base, config } = chosen;
  const vaes = chosen.vae ? [] : others.vae.map((vae) => ({ base, ...(config && { config }), vae }));
  return [
    ...baseKey(chosen, path, why),
    ...[...otherBases, ...vaes].flatMap((option) => baseKey(option, path).map((line) => `# ${line}`)),
  ];
}

function baseKey({ base, config, vae }: BaseOption, path: PathText, why = ''): string[] {
  if (!config && !vae) return [`base: ${path(base.path)} # ${about(base)}${why}`];
  return [
    'base:',
    `  model: ${path(base.path)} # ${about(base)}${why}`,
    ...(config ? [`  config: ${path(config.path)} # for configs and tokenizer`] : []),
    ...(vae ? [`  vae: ${path(vae.path)} # ${about(vae)}`] : []),
  ];
}

function personalizedLines({ personalized, others }: Choice, path: PathText): string[] {
  if (!personalized) return ['# personalized: no LoRA for this base was found.'];
  return [
    'personalized: # α: any number of LoRAs, summed in this order',
    `  - lora: ${path(personalized.path)} # ${about(personalized)}`,
    `    alpha: ${ALPHA}`,
    ...others.personalized.flatMap((other) => [
      `  # - lora: ${path(other.path)} # ${about(other)}`,
      `  #   alpha: ${ALPHA}`,
    ]),
  ];
}

function lcmLines({ lcm, others }: Choice, path: PathText): string[] {
  if (!lcm) return ['# lcm: no LCM LoRA was found, which is what makes few steps enough.'];
  return [
    'lcm: # β',
    `  lora: ${path(lcm.path)} # ${about(lcm)}`,
    ...others.lcm.map((other) => `  # lora: ${path(other.path)} # ${about(other)}`),
    '  beta: 1',
    ...(lcm.guess === undefined ? [`  expect: { modules: ${lcm.modules} } # every module that LCM LoRAs change`] : []),
  ];
}

function motionLines({ motion, lcm, others }: Choice, path: PathText): string[] {
  const why = others.motion.length === 0 ? '' : lcm ? '; goes with the LCM LoRA' : '; the first that fits';
  return [
    'motion: # γ',
    `  module: ${path(motion.path)} # ${about(motion)}${why}`,
    ...others.motion.map((other) => `  # module: ${path(other.path)} # ${about(other)}`),
    '  gamma: 1',
    ...(others['motion-lora'].length > 0
      ? [
          '  # loras: # made for one motion module each, which their names may tell',
          ...others['motion-lora'].flatMap((other) => [
            `  #   - lora: ${path(other.path)} # ${about(other)}`,
            `  #     alpha: ${ALPHA}`,
          ]),
        ]
      : []),
  ];
}

/** Few steps with an LCM LoRA; without one the teacher's way. */
function samplerLines({ lcm }: Choice): string[] {
  return lcm
    ? ['sampler: { kind: lcm, steps: 4, guidance: 1, beta_schedule: linear, original_steps: 50 }']
    : ['sampler: { kind: ddim, steps: 25, guidance: 7.5, beta_schedule: linear } # without an LCM LoRA it takes many'];
}

function outputLines({ base, motion }: Choice): string[] {
  const side = base.base?.side ?? 512;
  const frames = Math.min(FRAMES, motion.motion?.rows ?? FRAMES);
  return [`output: { frames: ${frames}, width: ${side}, height: ${side}, dtype: fp16 } # as the base was trained`];
}

function unfitLines({ unfit }: Choice, { left_out }: Survey, path: PathText): string[] {
  const lines = unfit.slice(0, MAX_UNFIT).map(({ path: at, title, reason }) => {
    const sentence = reason.split('\n')[0] ?? '';
    return `#   ${path(at)}: ${title}. ${printable(sentence, 300)}`;
  });
  const more = unfit.length > MAX_UNFIT ? [`#   … and ${unfit.length - MAX_UNFIT} more`] : [];
  return [
    ...(lines.length > 0 ? ['', '# Found as well, and no part of this recipe:', ...lines, ...more] : []),
    ...(left_out === undefined ? [] : [`# ${printable(left_out, 1000)}`]),
  ];
}

/** What it is, its figures, and whether that is a guess. */
function about({ title, note, guess, part, modules }: Usable): string {
  const told = part === 'lcm' && guess === undefined ? `told by the ${modules} modules that it changes` : undefined;
  const guessed = guess && `a guess: ${guess}`;
  return [title, note, told, guessed].filter((text) => text !== undefined).join('; ');
}

/** On one line, whatever a file is called. */
function yamlText(text: string): string {
  return stringify(text, { lineWidth: 0, blockQuote: false }).trimEnd();
}

function recipeName(wanted: string): string {
  const name = wanted
    .replace(/[/\\\p{Cc}]/gu, '')
    .replace(/^\.+/, '')
    .slice(0, 100);
  return recipeSchema.shape.name.safeParse(name).success ? name : 'recipe';
}

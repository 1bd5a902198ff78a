/**
 * From a file to a Recipe. All mistakes are reported at once, in file order, each as `file:line:column: sentence`; a recipe
 * that comes back is valid, complete, and names only files that are there or that the Hub may have.
 */

import { isUtf8 } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { InputMissingError, IoError, RecipeError, type RecipeProblem } from '../errors.ts';
import { isReference, parseReference } from '../hub/reference.ts';
import { takeFirstShape } from './clip-shapes.ts';
import { describeMissing, findInputProblems, kindOf, namedInputs } from './input-files.ts';
import { type LocatedYaml, parseLocatedYaml } from './located-yaml.ts';
import { refusePlanned } from './planned.ts';
import { describeIssues } from './problems.ts';
import { resolveRecipe } from './resolve.ts';
import { type Recipe, recipeSchema } from './schema.ts';

/** A recipe is a page of text; a weight file given by mistake is refused before it is read. */
const MAX_BYTES = 1_000_000;
/** Nobody reads more mistakes than this at once. */
const MAX_PROBLEMS = 100;

const START = { path: [], line: 1, column: 1 };

export interface LoadOptions {
  /** In place of what the file holds: a text that has not been saved yet. The file need not be there. */
  readonly text?: string | undefined;
}

/**
 * Reads, validates and resolves a recipe, and looks that every file it names is there. Throws RecipeError for a malformed
 * recipe, InputMissingError for a missing file (the recipe itself or one that it names), IoError if reading fails.
 */
export async function loadRecipe(path: string, { text }: LoadOptions = {}): Promise<Recipe> {
  const { recipe, locate } = parse(text ?? (await readRecipeText(path)), path);
  const problems = await findInputProblems(recipe);
  if (problems.length > 0) {
    const located = problems.map(({ path: key, sentence }) => ({ path: key, ...locate(key, 'value'), sentence }));
    if (problems.some(({ kind }) => kind === 'wrong kind')) throw recipeError(path, located);
    const { lines, place, sorted } = report(path, located);
    throw new InputMissingError(lines.join('\n'), place, sorted);
  }
  return recipe;
}

/** Validates and resolves the text of a recipe; `file` is where its paths are relative to. Looks at no file. Throws RecipeError. */
export function parseRecipe(text: string, file: string): Recipe {
  return parse(text, file).recipe;
}

function parse(text: string, file: string): { recipe: Recipe; locate: LocatedYaml['locate'] } {
  if (Buffer.byteLength(text) > MAX_BYTES) throw tooLarge(file, Buffer.byteLength(text));
  const { value, problems: yamlProblems, locate } = parseLocatedYaml(text);
  if (value === undefined) throw recipeError(file, yamlProblems);
  if (value === null && yamlProblems.length === 0) {
    throw problemAtStart(file, 'The recipe is empty. It needs at least the keys name, base and motion.');
  }
  const early = [...refusePlanned(value), ...takeFirstShape(value)];
  const parsed = recipeSchema.safeParse(value, { reportInput: true });
  const schemaProblems = parsed.success ? [] : describeIssues(parsed.error.issues, recipeSchema);
  const problems = [
    ...yamlProblems,
    ...[...early, ...schemaProblems].map(({ path, part, sentence }) => ({ path, ...locate(path, part), sentence })),
  ];
  if (!parsed.success || problems.length > 0) throw recipeError(file, problems);
  const recipe = resolveRecipe(parsed.data, file, text);
  const faults = namedInputs(recipe).flatMap(([key, path]) => {
    const reference = isReference(path) ? parseReference(path) : undefined;
    return reference && 'fault' in reference ? [{ path: key, ...locate(key, 'value'), sentence: reference.fault }] : [];
  });
  if (faults.length > 0) throw recipeError(file, faults);
  return { recipe, locate };
}

/** A recipe's text as it is on disk. @throws InputMissingError, RecipeError for what is no recipe, IoError */
export async function readRecipeText(path: string): Promise<string> {
  const kind = await kindOf(path);
  if (kind === 'nothing') throw new InputMissingError(await describeMissing(path, 'file'), { file: path });
  if (kind !== 'file') throw problemAtStart(path, `A recipe is a file, but this is a ${kind}.`);
  const failed = (error: Error): never => {
    throw new IoError(`The recipe ${path} cannot be read: ${error.message}.`, { file: path }, { cause: error });
  };
  const { size } = await stat(path).catch(failed);
  if (size > MAX_BYTES) throw tooLarge(path, size);
  return decode(await readFile(path).catch(failed), path);
}

/** UTF-8, without its byte order mark. */
function decode(bytes: Buffer, file: string): string {
  if (isUtf8(bytes)) return new TextDecoder().decode(bytes);
  // A line feed is never part of a longer UTF-8 sequence, so lines can be judged one by one.
  for (let line = 1, start = 0; ; line++) {
    const end = bytes.indexOf(0x0a, start);
    const content = bytes.subarray(start, end < 0 ? bytes.length : end);
    if (!isUtf8(content)) {
      const column = content.toString('utf8').indexOf('\uFFFD') + 1;
      throw recipeError(file, [
        { path: [], line, column, sentence: 'This is not UTF-8 text. Save the recipe as UTF-8.' },
      ]);
    }
    start = end + 1;
  }
}

const tooLarge = (file: string, bytes: number): RecipeError =>
  problemAtStart(file, `A recipe has at most ${MAX_BYTES} bytes, but this file has ${bytes}. Is it a recipe?`);

const problemAtStart = (file: string, sentence: string): RecipeError => recipeError(file, [{ ...START, sentence }]);

function recipeError(file: string, problems: readonly RecipeProblem[]): RecipeError {
  const { lines, place, sorted } = report(file, problems);
  return new RecipeError(lines, place, sorted);
}

/** `file:line:column: sentence` for each problem, in file order, and the place of the first. */
function report(file: string, problems: readonly RecipeProblem[]) {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const lines = sorted.map((at) => `${file}:${at.line}:${at.column}: ${at.sentence}`);
  const rest = lines.splice(MAX_PROBLEMS).length;
  const { line, column } = sorted[0] ?? START;
  return {
    lines: rest === 0 ? lines : [...lines, `${file}: There are ${rest} more problems after these.`],
    place: { file, line, column },
    sorted,
  };
}

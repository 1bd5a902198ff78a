/** `compare`: packages and samplers side by side, as a table, a contact sheet and a clip of each row. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type CompareOptions, type Comparison, compare } from '../../compare/compare.ts';
import { sheetSvg } from '../../compare/sheet.ts';
import { comparisonCells, comparisonMarkdown } from '../../compare/table.ts';
import { UsageError } from '../../errors.ts';
import { openStaging } from '../../export/staging.ts';
import { readSmallFile, writingTo } from '../../formats/byte-source.ts';
import { type LocalPackage, openLocalPackages } from '../../publish/local-package.ts';
import { writeWebp } from '../../runtime/frame-files.ts';
import { table } from '../../text/columns.ts';
import type { Command } from '../context.ts';

const [FIGURES, PAGE, SHEET] = ['comparison.json', 'comparison.md', 'sheet.svg'];
/** Ten thousand long prompts. */
const MAX_PROMPTS_BYTES = 10_000_000;
const CLIP = /^[\w-]+\.webp$/;

export const compareCommand: Command<'compare'> = async (args, { signal, follow }) => {
  const prompts = await promptsOf(args);
  await using folder = await openStaging(resolve(args.out), (names) => {
    const foreign = names.find((name) => ![FIGURES, PAGE, SHEET].includes(name) && !CLIP.test(name));
    return foreign && `holds ${foreign}, which is no file of an earlier comparison`;
  });
  const { grid, negative, seed, seeds, guidance, clip, device, offline } = args;
  const named = [...args.packages, ...(args.teacher === undefined ? [] : [args.teacher])];
  await using local = await follow(openLocalPackages(named, { offline, signal }));
  const folders = local.packages.map((one) => one.folder);
  const packages = folders.slice(0, args.packages.length);
  const teacher = folders[args.packages.length];
  const options: CompareOptions = { packages, teacher, grid, prompts, negative, seed, seeds, guidance, clip, device };
  const compared = await follow(compare({ ...options, videoFeatures: args['video-features'], signal }));
  const { clips } = compared;
  const comparison = withNames(compared.comparison, local.packages);
  const put = (name: string, text: string) =>
    writingTo(join(folder.path, name), writeFile(join(folder.path, name), text));
  await put(FIGURES, `${JSON.stringify(comparison, null, 2)}\n`);
  await put(PAGE, comparisonMarkdown(comparison, SHEET));
  await put(SHEET, await sheetSvg(compared));
  for (const [i, frames] of clips.entries()) {
    await writeWebp(join(folder.path, `${comparison.rows[i]?.id}.webp`), frames, { lossless: true });
  }
  signal.throwIfAborted();
  const out = await folder.commit();
  const cells = comparisonCells(comparison);
  return {
    text: `${table(cells, { right: (cells[0] ?? []).map((_, i) => i).slice(1) })}\n\n${join(out, SHEET)}`,
    value: { out, ...comparison },
  };
};

/** A package that was fetched for this is called by its reference: its folder is gone when somebody reads the figures. */
function withNames(comparison: Comparison, packages: readonly LocalPackage[]): Comparison {
  const names = new Map(packages.flatMap((one) => (one.isTemporary ? [[one.folder, one.name] as const] : [])));
  const rows = comparison.rows.map((row) => ({ ...row, package: names.get(row.package) ?? row.package }));
  return { ...comparison, rows };
}

/** One per line of the file, or the one that was given. */
async function promptsOf({
  prompt,
  prompts: file,
}: {
  readonly prompt: string | undefined;
  readonly prompts: string | undefined;
}) {
  if (file === undefined) return prompt === undefined ? undefined : [prompt];
  if (prompt !== undefined)
    throw new UsageError('--prompt and --prompts cannot both be given; put the prompt into the file.');
  const text = new TextDecoder().decode(await readSmallFile(file, MAX_PROMPTS_BYTES));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new UsageError(`${file} holds no prompt; one is expected on each line.`);
  return lines;
}

/** `run`: a prompt to PNG frames, an animation and, if asked for, the latents. */
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UsageError } from '../../errors.ts';
import { makeFolders } from '../../export/staging.ts';
import { fromFloat32 } from '../../formats/dtype.ts';
import { writeSafetensors } from '../../formats/safetensors.ts';
import { openLocalPackage } from '../../publish/local-package.ts';
import { kindOf } from '../../recipe/input-files.ts';
import { writePng, writeWebp } from '../../runtime/frame-files.ts';
import { openPackage } from '../../runtime/package-folder.ts';
import { sample, type Video } from '../../runtime/pipeline.ts';
import { type Prompt, parsePromptTravel } from '../../runtime/prompt/travel.ts';
import type { Arguments } from '../command-table.ts';
import type { Command } from '../context.ts';
import { ANIMATION, frameName, openFramesFolder } from '../frames-folder.ts';

export const runCommand: Command<'run'> = async (args, { signal, follow }) => {
  const out = resolve(args.out);
  const latents = args['save-latents'] === undefined ? undefined : resolve(args['save-latents']);
  const inside = latents === undefined ? undefined : pathInside(out, latents);
  if (latents !== undefined && (await kindOf(latents)) === 'folder')
    throw new UsageError(`--save-latents wants the name of a file, and ${latents} is a folder.`);
  await using local = await follow(openLocalPackage(args.package, { offline: args.offline, signal }));
  const pkg = await openPackage(local.folder);
  const wish = pkg.lock?.recipe.verify;
  const prompt = promptOf(args) ?? wish?.prompt;
  if (prompt === undefined) {
    throw new UsageError(`${args.package} was not baked by lcm-merge and suggests no prompt. Give one with --prompt.`);
  }
  const { steps, sampler, guidance, frames, width, height, context, overlap, schedule, fuse, noise, device } = args;
  const asked = {
    prompt,
    negative: args.negative ?? wish?.negative ?? '',
    promptWeights:
      args['prompt-weights'] === undefined ? (wish?.prompt_weights ?? false) : args['prompt-weights'] === 'on',
    seed: args.seed ?? wish?.seed ?? 0,
    device,
    ...given({ steps, sampler, timestep_spacing: args['timestep-spacing'], guidance }),
    ...given({ frames, width, height, context, overlap, schedule, fuse, noise }),
  };

  await using folder = await openFramesFolder(out, inside?.split(sep)[0]);
  const video = await follow(
    sample(pkg, { ...asked, preview: args.preview, allowFallback: args['allow-fallback'], signal }),
  );
  for (let i = 0; i < video.frames.count; i += 1) await writePng(join(folder.path, frameName(i)), video.frames, i);
  await writeWebp(join(folder.path, ANIMATION), video.frames, { fps: args.fps });
  signal.throwIfAborted();
  if (latents !== undefined) await writeLatents(inside === undefined ? latents : join(folder.path, inside), video);
  const made = await folder.commit();
  const { shape, seam, timing, fallback } = video;
  return {
    text: made,
    value: {
      out: made,
      ...(latents !== undefined && { latents }),
      ...(local.isTemporary && { package: local.name }),
      ...asked,
      device: video.device,
      ...(fallback && { fallback }),
      shape,
      ...(seam && { seam }),
      timing,
    },
  };
};

function promptOf({ prompt, 'prompt-travel': travel }: Arguments<'run'>): Prompt | undefined {
  if (travel === undefined) return prompt;
  if (prompt !== undefined)
    throw new UsageError('--prompt and --prompt-travel are both given; a clip has one prompt or one that travels.');
  return parsePromptTravel(travel);
}

/** `file` relative to `folder`, or undefined when it lies elsewhere. */
function pathInside(folder: string, file: string): string | undefined {
  const path = relative(folder, file);
  if (path === '')
    throw new UsageError(`--save-latents and --out are both ${file}; one is a file, the other a folder.`);
  return isAbsolute(path) || path.split(sep)[0] === '..' ? undefined : path;
}

async function writeLatents(path: string, { latents, shape }: Video): Promise<void> {
  await makeFolders(dirname(path));
  await writeSafetensors(path, [{ name: 'latents', dtype: 'F32', shape, data: fromFloat32(latents, 'F32') }]);
}

/** Without the entries that are undefined: the sampler tells "not said" by absence. */
function given<Fields extends object>(fields: Fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
  };
}

/** The base model: where a diffusers folder keeps the weights of each component, and which parameter is which tensor. */
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { baseNames, type Component } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import { InputMissingError, MergeError } from '../errors.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Account, IgnoreRule } from './account.ts';
import { assertFloat } from './weight-type.ts';

/** Folder of each component and the weight files looked for in it, best first (diffusers utils/constants.py). */
const COMPONENTS: Record<
  Component,
  { readonly folder: string; readonly override?: 'vae' | 'text_encoder'; readonly files: readonly string[] }
> = {
  unet: { folder: 'unet', files: variants('diffusion_pytorch_model') },
  text_encoder: {
    folder: 'text_encoder',
    override: 'text_encoder',
    files: [...variants('model'), 'pytorch_model.bin', 'pytorch_model.fp16.bin'],
  },
  vae_decoder: { folder: 'vae', override: 'vae', files: variants('diffusion_pytorch_model') },
};

function variants(stem: string): string[] {
  return [`${stem}.safetensors`, `${stem}.fp16.safetensors`, `${stem}.bin`, `${stem}.fp16.bin`];
}

export interface BaseFiles {
  readonly config: string;
  readonly weights: Readonly<Record<Component, string>>;
}

/**
 * Finds the weight file of every component.
 * @throws MergeError when the base is a single file; InputMissingError naming the files that were looked for.
 */
export async function findBaseFiles(recipe: Recipe): Promise<BaseFiles> {
  const { base } = recipe;
  if (!(await stat(base.model)).isDirectory()) {
    throw recipeMistake(
      recipe,
      ['base', 'model'],
      `The base ${base.model} is a single file. This version reads diffusers folders (unet/, vae/, text_encoder/, tokenizer/); ` +
        'convert it with diffusers: StableDiffusionPipeline.from_single_file(…).save_pretrained(…).',
    );
  }
  const weights = Object.fromEntries(
    await Promise.all(
      (Object.keys(COMPONENTS) as Component[]).map(async (component) => [component, await weightFile(base, component)]),
    ),
  );
  return { config: base.config ?? base.model, weights };
}

async function weightFile(base: Recipe['base'], component: Component): Promise<string> {
  const { folder, override, files } = COMPONENTS[component];
  const own = override && base[override];
  if (own && !(await stat(own)).isDirectory()) return own;
  const at = own ?? join(base.model, folder);
  for (const file of files) {
    const path = join(at, file);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new InputMissingError(`${at} holds no weights: none of ${files.join(', ')} is there.`, { file: at });
}

/** Tensors of a base that no graph needs. */
const IGNORED: readonly (readonly [RegExp, IgnoreRule])[] = [
  [/(^|\.)position_ids$/, 'position-ids'],
  [/^(encoder\.|quant_conv\.)/, 'vae-encoder'],
  [/^(text_projection\.weight|logit_scale)$/, 'text-projection'],
];

/**
 * Finds the tensor of every parameter in a base file and accounts for both sides.
 * @throws MergeError naming what is missing or has another shape.
 */
export function matchBase(
  component: Component,
  parameters: readonly ModelParameter[],
  file: TensorFile,
  account: Account,
): Map<string, string> {
  const path = file.source.name;
  const found = new Map<string, string>();
  for (const { name, shape, kind } of parameters) {
    const tensor = baseNames(component, name).find((candidate) => file.tensors.has(candidate));
    if (tensor === undefined) {
      throw new MergeError(`${path} lacks ${name} [${shape}], which config.json beside it calls for.`, {
        file: path,
        tensor: name,
      });
    }
    const entry = file.tensors.get(tensor);
    if (!entry || !sameMatrix(entry.shape, shape, kind === 'linear' || kind === 'conv')) {
      throw new MergeError(
        `${path}: ${tensor} has the shape [${entry?.shape}]; config.json beside it calls for [${shape}].`,
        {
          file: path,
          tensor,
        },
      );
    }
    assertFloat(path, entry);
    found.set(name, tensor);
    account.apply(tensor);
  }
  for (const tensor of file.tensors.keys()) {
    const rule = IGNORED.find(([pattern]) => pattern.test(tensor))?.[1];
    if (rule) account.ignore(rule, tensor);
  }
  return found;
}

/** A 1×1 convolution `[o, i, 1, 1]` and a Linear `[o, i]` are the same matrix; files have either. */
function sameMatrix(a: readonly number[], b: readonly number[], matrix: boolean): boolean {
  const squeeze = (shape: readonly number[]) =>
    matrix && shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape;
  return squeeze(a).join() === squeeze(b).join();
}

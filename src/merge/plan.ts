/**
 * The plan decides everything before a byte is written: which source tensor goes into which parameter by which rule, at
 * what strength, and what is left over. It reads file headers, configs and the LoRAs' alpha scalars, nothing else.
 */
import { type ClipTextConfig, readClipTextConfig } from '../architecture/clip-config.ts';
import { moduleNames } from '../architecture/module-names.ts';
import { COMPONENTS, type Component } from '../architecture/names.ts';
import {
  clipTextParameters,
  type ModelParameter,
  type ParameterKind,
  unetParameters,
  vaeDecoderParameters,
  vaeEncoderParameters,
} from '../architecture/parameters.ts';
import type { SamplerConfig } from '../architecture/sampler-config.ts';
import { readTokenizerFiles } from '../architecture/tokenizer-files.ts';
import { readUNetConfig } from '../architecture/unet-config.ts';
import { type UNetStructure, unetStructure } from '../architecture/unet-structure.ts';
import { readVaeConfig, type VaeConfig } from '../architecture/vae-config.ts';
import { MergeError } from '../errors.ts';
import { isReference } from '../hub/reference.ts';
import { namedInputs } from '../recipe/input-files.ts';
import type { SourceLicenses } from '../recipe/licenses.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Term } from './adapters/adapter.ts';
import { type BaseConfigs, baseRole, findBase, lockFolders } from './base.ts';
import { planModel } from './checkpoint.ts';
import { refuseDoubleMerge } from './double-merge.ts';
import { checkExpectation } from './expectation.ts';
import { checkMotionConfig } from './motion-file.ts';
import { adapterSources, planAdapter, spatialHost } from './plan-adapters.ts';
import { checkBlocks } from './plan-blocks.ts';
import { planWholeModel } from './plan-checkpoint.ts';
import { openPlanFiles, type PlannedFile, type TensorRef } from './plan-files.ts';
import { findLicenses, licenseWarnings } from './plan-licenses.ts';
import { openMotion, planMotion } from './plan-motion.ts';
import { planSampler } from './plan-sampler.ts';
import { type Positions, resolvePositions } from './positions.ts';

export type { PlannedFile, Role } from './plan-files.ts';

export interface PlannedTensor {
  readonly name: string;
  readonly component: Component;
  readonly kind: ParameterKind;
  /** As in PyTorch. */
  readonly shape: readonly number[];
  /** The tensor that it starts from, or null for a positional encoding, which is computed. */
  readonly source: TensorRef | null;
  /** What changes it, in recipe order. */
  readonly terms: readonly Term[];
  /** Multiplies the result: γ where it applies, else 1. */
  readonly gain: number;
  /** A positional encoding whose rows are interpolated between fewer: how many those are. */
  readonly stretched_from?: number;
}

export interface Plan {
  readonly recipe: Recipe;
  readonly files: readonly PlannedFile[];
  readonly licenses: SourceLicenses;
  /** The graphs that the recipe asks for. */
  readonly components: readonly Component[];
  /** Empty lists for components that it does not ask for. */
  readonly tensors: Readonly<Record<Component, readonly PlannedTensor[]>>;
  readonly unet: UNetStructure;
  readonly text_encoder: ClipTextConfig;
  readonly vae: VaeConfig;
  /** The base's noise, sampled as the recipe says. */
  readonly sampler: SamplerConfig;
  /** `positions` are the most frames that the model can make. */
  readonly motion: Positions & {
    readonly mid: boolean;
    /** Tensors of the motion files to compare with the sinusoid before merging. */
    readonly stored_positional_encodings: readonly TensorRef[];
  };
  /** Where the base's configs and tokenizer lie; a package gets those of the components that it copies. */
  readonly configs: BaseConfigs;
  readonly warnings: readonly string[];
}

/**
 * Plans the merge that `recipe` describes.
 * @throws MergeError when files do not fit together, FormatError when one is damaged, InputMissingError when one is absent.
 */
export async function plan(recipe: Recipe): Promise<Plan> {
  await using files = openPlanFiles();
  const warnings: string[] = [];

  refuseReferences(recipe);
  const base = await findBase(recipe);
  const { configs } = base;
  const motion = await openMotion(recipe, files);
  const positions = resolvePositions(recipe, motion.module.rows);
  const unet = unetStructure(await readUNetConfig(configs.unet), motion.module.layout);
  for (const source of Object.values(motion)) checkMotionConfig(source, unet.config);
  const clip = await readClipTextConfig(configs.text_encoder);
  const vae = await readVaeConfig(configs.vae_decoder, { encoder: recipe.output.vae_encoder });
  const sampler = await planSampler(recipe, configs.scheduler);
  checkPromptTokens(recipe, clip, configs.text_encoder);
  await readTokenizerFiles(configs.tokenizer, clip); // what is missing is found now, not in the middle of the bake
  if (clip.hidden_size !== unet.config.cross_attention_dim) {
    throw new MergeError(
      `${configs.text_encoder}: The text encoder is ${clip.hidden_size} wide, but the UNet's cross_attention_dim is ${unet.config.cross_attention_dim}: they are of different models.`,
      { file: configs.text_encoder },
    );
  }
  const parameters: Record<Component, ModelParameter[]> = {
    unet: unetParameters(unet, positions.positions),
    text_encoder: clipTextParameters(clip),
    vae_decoder: vaeDecoderParameters(vae),
    vae_encoder: recipe.output.vae_encoder ? vaeEncoderParameters(vae) : [],
  };
  checkBlocks(recipe, unet, parameters, configs.unet);

  const tables = { parameters, models: { unet, vae }, configs };
  const { tensors: sources, files: baseFiles } = await planModel(files, base.weights, tables, { role: baseRole });
  const adapters = adapterSources(recipe);
  await refuseDoubleMerge(
    { folders: lockFolders(base), files: baseFiles },
    adapters.filter(({ kind }) => kind === 'adapter'),
  );

  const spatial = spatialHost(moduleNames(parameters, unet));
  const terms = new Map<string, Term[]>();
  for (const adapter of adapters) {
    const planned =
      adapter.kind === 'checkpoint'
        ? await planWholeModel(files, adapter, tables, sources)
        : await planAdapter(files, adapter, spatial);
    checkExpectation(recipe, adapter.key, {
      path: adapter.path,
      expected: adapter.modules,
      found: planned.modules,
    });
    for (const { parameter, term } of planned.terms)
      terms.set(parameter.name, [...(terms.get(parameter.name) ?? []), term]);
    warnings.push(...planned.warnings);
  }
  if (!recipe.lcm && recipe.sampler.kind === 'lcm')
    warnings.push('The recipe has no lcm LoRA: with a base that is no LCM itself, few steps give noisy frames.');

  const { contributions, stored_positional_encodings, ...rest } = await planMotion(recipe, parameters.unet, {
    motion,
    files,
  });
  warnings.push(...rest.warnings);
  const planned = (component: Component) =>
    parameters[component].map(({ name, kind, shape, motion: ofMotion }): PlannedTensor => {
      const key = `${component}/${name}`;
      const made = (ofMotion ? contributions.get(name) : undefined) ?? {
        source: sources.get(key) ?? null,
        terms: terms.get(name) ?? [],
        gain: 1,
      };
      const { stretched_from } = kind === 'positional-encoding' ? positions : {};
      return { name, component, kind, shape, ...made, ...(stretched_from !== undefined && { stretched_from }) };
    });
  const tensors = {
    unet: planned('unet'),
    text_encoder: planned('text_encoder'),
    vae_decoder: planned('vae_decoder'),
    vae_encoder: planned('vae_encoder'),
  };
  checkShardSize(recipe, Object.values(tensors).flat());
  const plannedFiles = files.planned();
  const licenses = findLicenses(recipe, plannedFiles);
  warnings.push(...licenseWarnings(recipe, licenses));
  return {
    recipe,
    files: plannedFiles,
    licenses,
    components: COMPONENTS.filter((component) => parameters[component].length > 0),
    tensors,
    unet,
    text_encoder: clip,
    vae,
    sampler,
    motion: { mid: motion.module.layout.mid, ...positions, stored_positional_encodings },
    configs,
    warnings,
  };
}

/** Whoever calls the stages one by one fetches before planning. */
function refuseReferences(recipe: Recipe): void {
  const reference = namedInputs(recipe).find(([, path]) => isReference(path));
  if (reference)
    throw recipeMistake(recipe, reference[0], `${reference[1]} was not fetched. Let fetchInputs do that before plan.`);
}

/** A tensor lies whole in one file of weights. */
function checkShardSize(recipe: Recipe, tensors: readonly PlannedTensor[]): void {
  const { max_shard_bytes, dtype } = recipe.output;
  if (max_shard_bytes === undefined) return;
  const bytesOf = ({ shape }: PlannedTensor) => shape.reduce((n, dim) => n * dim, dtype === 'fp16' ? 2 : 4);
  const largest = tensors.reduce((a, b) => (bytesOf(b) > bytesOf(a) ? b : a));
  if (bytesOf(largest) <= max_shard_bytes) return;
  throw recipeMistake(
    recipe,
    ['output', 'max_shard_bytes'],
    `output.max_shard_bytes is ${max_shard_bytes}, but ${largest.name} of ${largest.component} alone has ${bytesOf(largest)} bytes in ${dtype}, and a tensor lies whole in one file. Ask for that many or more.`,
  );
}

/** A prompt is encoded in chunks that fill the text encoder. */
function checkPromptTokens(recipe: Recipe, { max_position_embeddings: chunk }: ClipTextConfig, file: string): void {
  const { tokens } = recipe.output.prompt;
  if (typeof tokens !== 'number' || tokens % chunk === 0) return;
  const enough = Math.ceil(tokens / chunk) * chunk;
  throw recipeMistake(
    recipe,
    ['output', 'prompt', 'tokens'],
    `output.prompt.tokens is ${tokens}, but a prompt is encoded in chunks of ${chunk} tokens (${file}). Ask for a multiple, such as ${enough}, or for dynamic.`,
  );
}

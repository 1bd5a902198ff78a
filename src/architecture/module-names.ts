/**
 * What adapter files call the modules of the UNet and the text encoder. kohya's flattening of '.' to '_' cannot be undone, so every
 * name that tools are known to write is generated from the model and looked up, never parsed.
 * Sources: sd-scripts networks/lora.py and merge_lora.py, LyCORIS wrapper.py, diffusers loaders; reference: formats.md §1c.
 */
import { ldmUNetName } from './ldm-names.ts';
import { animateDiffName, baseNames } from './names.ts';
import type { ModelParameter } from './parameters.ts';
import type { UNetStructure } from './unet-structure.ts';

export type AdaptedComponent = 'unet' | 'text_encoder';

/** A layer that an adapter may change. */
export interface AdaptedModule {
  readonly component: AdaptedComponent;
  /** As in diffusers: `down_blocks.0.resnets.0.conv1`. */
  readonly path: string;
  readonly weight: ModelParameter;
  readonly bias?: ModelParameter;
}

export interface ModuleNames {
  /** The module that a file calls `name`, flattened or dotted, with or without the prefixes of PEFT and diffusers. */
  find(name: string): AdaptedModule | undefined;
  /** Every name of a module in the style of `name`, to tell which was meant. */
  alternatives(name: string): Iterable<string>;
}

/** What kohya, and LyCORIS after it, put before a flattened name. */
const FLAT_PREFIXES: Readonly<Record<AdaptedComponent, readonly string[]>> = {
  unet: ['lora_unet_', 'lycoris_unet_', 'lycoris_'],
  text_encoder: ['lora_te_', 'lora_te1_', 'lycoris_te_', 'lycoris_te1_', 'lycoris_'],
};

/** What stands before a dotted name, stripped in this order: a trainer's wrapper, PEFT's wrapper, then the component. */
const DOTTED_PREFIXES: readonly RegExp[] = [
  /^module\./,
  /^base_model\.model\./,
  /^(unet|text_encoder|transformer|diffusion_model)\./,
];

/** diffusers' attention processors, before 0.22, named projections without their module. */
const PROCESSOR = /(?:\.processor)?\.(to_[qkv]|to_out)_lora$/;
const TEXT_PROJECTIONS: Readonly<Record<string, string>> = {
  to_q: 'q_proj',
  to_k: 'k_proj',
  to_v: 'v_proj',
  to_out: 'out_proj',
};

const isFlat = (name: string) => /^(lora|lycoris)_[^.]*$/.test(name);

/**
 * The names for these parameters; motion modules are no part of it.
 * @throws RangeError should two modules ever have one name
 */
export function moduleNames(
  parameters: Readonly<Record<AdaptedComponent, readonly ModelParameter[]>>,
  structure: Pick<UNetStructure, 'config' | 'up'>,
): ModuleNames {
  const spatial = (component: AdaptedComponent) => parameters[component].filter(({ motion }) => !motion);
  return lookUp(
    (['unet', 'text_encoder'] as const).flatMap((component) =>
      modulesOf(component, spatial(component)).map((module) => {
        const paths = baseNames(component, `${module.path}.weight`).map((name) => name.replace(/\.weight$/, ''));
        const ldm = component === 'unet' ? ldmPaths(module.path, structure) : [];
        return { module, paths, flattened: [...paths, ...ldm] };
      }),
    ),
  );
}

/** The same for the motion modules among the UNet's parameters, in diffusers' names and in AnimateDiff's. */
export function motionModuleNames(parameters: readonly ModelParameter[]): ModuleNames {
  return lookUp(
    modulesOf(
      'unet',
      parameters.filter(({ motion }) => motion),
    ).map((module) => {
      const paths = [module.path, animateDiffName(`${module.path}.weight`).replace(/\.weight$/, '')];
      return { module, paths, flattened: paths };
    }),
  );
}

/** `flattened` are the paths that tools write with '_' for '.', behind a prefix. */
function lookUp(
  modules: Iterable<{ module: AdaptedModule; paths: readonly string[]; flattened: readonly string[] }>,
): ModuleNames {
  const dotted = new Map<string, AdaptedModule>();
  const flat = new Map<string, AdaptedModule>();
  const add = (names: Map<string, AdaptedModule>, name: string, module: AdaptedModule) => {
    const twin = names.get(name);
    if (twin && twin !== module) throw new RangeError(`${twin.path} and ${module.path} have one name, ${name}.`);
    names.set(name, module);
  };
  for (const { module, paths, flattened } of modules) {
    for (const path of paths) add(dotted, path, module);
    for (const path of flattened)
      for (const prefix of FLAT_PREFIXES[module.component]) add(flat, prefix + path.replaceAll('.', '_'), module);
  }
  return {
    find: (name) => (isFlat(name) ? flat.get(name) : dotted.get(dottedName(name))),
    alternatives: (name) => (isFlat(name) ? flat.keys() : dotted.keys()),
  };
}

/** A module has a weight of its own; the bias, if any, stands beside it. */
function modulesOf(component: AdaptedComponent, parameters: readonly ModelParameter[]): AdaptedModule[] {
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  return [...byName.values()].flatMap((weight) => {
    if (!weight.name.endsWith('.weight')) return [];
    const path = weight.name.replace(/\.weight$/, '');
    const bias = byName.get(`${path}.bias`);
    return [{ component, path, weight, ...(bias && { bias }) }];
  });
}

/** LDM's name; and, for the upsampler of a block without attention, the one that LyCORIS' converter writes by mistake (ADE #188). */
function ldmPaths(path: string, structure: Pick<UNetStructure, 'config' | 'up'>): string[] {
  const name = ldmUNetName(path, structure);
  const mistaken = name.replace(/^(output_blocks\.\d+)\.1\.conv$/, '$1.2.conv');
  return mistaken === name ? [name] : [name, mistaken];
}

function dottedName(name: string): string {
  const bare = DOTTED_PREFIXES.reduce((rest, prefix) => rest.replace(prefix, ''), name);
  const projection = PROCESSOR.exec(bare);
  if (!projection) return bare;
  const [whole, which = ''] = projection;
  const path = bare.slice(0, -whole.length);
  return path.endsWith('.self_attn')
    ? `${path}.${TEXT_PROJECTIONS[which]}`
    : `${path}.${which === 'to_out' ? 'to_out.0' : which}`;
}

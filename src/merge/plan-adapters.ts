/**
 * The adapters of a recipe: which tensors of a LoRA file make up which module, at what strength it is added, and what is left over.
 * Only headers and the alpha scalars are read.
 */
import { type BlockWeights, blockWeight } from '../architecture/block-map.ts';
import type { AdaptedComponent, AdaptedModule, ModuleNames } from '../architecture/module-names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import { MergeError } from '../errors.ts';
import { toFloat64 } from '../formats/dtype.ts';
import { readTensor, type TensorEntry, type TensorFile } from '../formats/tensor-file.ts';
import type { KeyPath } from '../recipe/located-yaml.ts';
import type { Recipe, ScaleConvention } from '../recipe/schema.ts';
import { didYouMean } from '../text/did-you-mean.ts';
import { nearest } from '../text/nearest.ts';
import { type Account, type Accounting, type IgnoreRule, openAccount } from './account.ts';
import type { OpenModule, PlanOptions, Ranked, TargetedTerm, Term } from './adapters/adapter.ts';
import { isDecomposed } from './adapters/dora.ts';
import { ADAPTERS, REFUSED_PARTS } from './adapters/index.ts';
import { partName } from './adapters/parts.ts';
import { adapterSettings } from './adapters/settings.ts';
import type { PlanFiles, Role } from './plan-files.ts';
import { recognise } from './recognise.ts';

/** What a file of adapters is held against. */
export interface AdapterHost {
  readonly names: ModuleNames;
  /** What to say of a file that changes nothing of it, by what `recognise` calls the file; undefined where that says nothing. */
  readonly foreign: (kind: string, title: string) => string | undefined;
  /** Tensors to put aside, whatever the model has. */
  readonly ignored?: (tensor: string) => IgnoreRule | undefined;
  /** Where a tensor of no module belongs, if its name tells. */
  readonly elsewhere: (tensor: string) => string | undefined;
}

export interface AdapterSource {
  readonly kind: 'adapter' | 'checkpoint';
  readonly role: Role;
  /** Where the recipe names it. */
  readonly key: KeyPath;
  readonly path: string;
  readonly strength: Readonly<Record<'unet' | 'text_encoder', number>>;
  readonly scale: ScaleConvention;
  readonly blocks: BlockWeights;
  readonly allow_unmatched: readonly string[];
  readonly modules: number | undefined;
}

/** The recipe's LoRAs in the order in which they are summed: personalized ones first, then the LCM LoRA (equation 2). */
export function adapterSources(recipe: Recipe): AdapterSource[] {
  const personalized = recipe.personalized.map(
    (p, i): AdapterSource => ({
      kind: p.checkpoint === undefined ? 'adapter' : 'checkpoint',
      role: `personalized[${i}]`,
      key: ['personalized', i],
      path: p.lora ?? p.checkpoint ?? '',
      strength: { unet: p.alpha, text_encoder: p.text_encoder },
      scale: p.scale,
      blocks: p.blocks,
      allow_unmatched: p.allow_unmatched,
      modules: p.expect?.modules,
    }),
  );
  if (!recipe.lcm) return personalized;
  const { lora, beta, scale, blocks, allow_unmatched, expect } = recipe.lcm;
  const strength = { unet: beta, text_encoder: beta };
  return [
    ...personalized,
    {
      kind: 'adapter',
      role: 'lcm',
      key: ['lcm'],
      path: lora,
      strength,
      scale,
      blocks,
      allow_unmatched,
      modules: expect?.modules,
    },
  ];
}

/** How a file's alpha and rank count; a file without alpha means alpha = rank. */
const FACTOR: Record<ScaleConvention, (alpha: number, rank: number) => number> = {
  'alpha/rank': (alpha, rank) => alpha / rank,
  raw: () => 1,
  rslora: (alpha, rank) => alpha / Math.sqrt(rank),
};

/** What a source of the recipe does. */
export interface PlannedSource {
  readonly terms: readonly TargetedTerm[];
  /** Modules that it changes. */
  readonly modules: number;
  readonly warnings: readonly string[];
}

export interface PlannedAdapter extends PlannedSource {
  readonly accounting: Accounting;
}

/** Opens the file of a source, turns its modules into terms and accounts for all of its tensors. @throws MergeError */
export async function planAdapter(
  files: Pick<PlanFiles, 'open' | 'add' | 'settle'>,
  source: AdapterSource,
  host: AdapterHost,
): Promise<PlannedAdapter> {
  const file = await files.open(source.path);
  const index = files.add(file, source.role);
  const { names, foreign, ignored = () => undefined } = host;
  const path = file.source.name;
  const account = openAccount(path, file.tensors.keys(), source.role);
  const options = await planOptions(file, index, source);
  const terms: (TargetedTerm & { readonly component: AdaptedComponent })[] = [];
  const seen = new Map<AdaptedModule, string>();
  for (const module of openModules(file, names, account)) {
    const { target } = module;
    const made = await termsOf(module, options);
    if (made.length === 0) continue;
    const twin = seen.get(target);
    if (twin)
      throw new MergeError(
        `${path} changes ${target.weight.name} twice, as ${twin} and as ${module.name}. Remove one of them.`,
        { file: path },
      );
    seen.set(target, module.name);
    terms.push(...made.map((term) => ({ ...term, component: target.component })));
  }
  const bundled = ignoreBundledEmbeddings(file, account);
  for (const tensor of file.tensors.keys()) {
    const rule = ignored(tensor);
    if (rule) account.ignore(rule, tensor);
  }
  if (seen.size === 0) await refuseOtherKind(file, source, foreign);
  const accounting = closeAdapter(account, source, host, file);
  if (seen.size === 0) {
    throw new MergeError(
      `${path} changes nothing: none of its ${accounting.tensors} tensors belongs to a module of this model.`,
      { file: path },
    );
  }
  const count = (component: AdaptedComponent) => [...seen.keys()].filter((m) => m.component === component).length;
  const ranked = terms.flatMap(({ term }) => rankOf(term));
  files.settle(index, accounting, {
    modules: { unet: count('unet'), text_encoder: count('text_encoder') },
    ranks: distinct(ranked.map(({ rank }) => rank)),
    alphas: distinct(ranked.map(({ alpha }) => alpha)),
  });
  return {
    terms,
    modules: seen.size,
    accounting,
    warnings: [
      ...(terms.every(({ term }) => term.scale === 0)
        ? [`${source.role} (${path}) has strength 0 everywhere: it changes nothing.`]
        : []),
      ...(bundled > 0
        ? [
            `${source.role} (${path}) brings ${bundled} tensors of embedded textual inversions (bundle_emb), which are no weights and were left out: its trigger words will not work.`,
          ]
        : []),
    ],
  };
}

async function planOptions(file: TensorFile, index: number, source: AdapterSource): Promise<PlanOptions> {
  const settings = await adapterSettings(file);
  const scalar = (entry: TensorEntry) => readScalar(file, entry);
  return {
    of: source.role,
    file: index,
    strength(parameter) {
      const component = parameter.name.startsWith('text_model.') ? 'text_encoder' : 'unet';
      return source.strength[component] * blockWeight(source.blocks, component, parameter.name);
    },
    scalar,
    async ranked({ target }, rank, entry) {
      const alpha = entry ? await scalar(entry) : (settings.alpha(target) ?? null);
      const convention =
        source.scale === 'alpha/rank' && settings.rankStabilised(target) ? ('rslora' as const) : source.scale;
      return { rank, alpha, convention, factor: FACTOR[convention](alpha ?? rank, rank) };
    },
  };
}

/** What the kinds make of one module, each of what the ones before it have left. */
async function termsOf(module: OpenModule, options: PlanOptions): Promise<TargetedTerm[]> {
  let terms: TargetedTerm[] = [];
  const { weight } = module.target;
  const inner = isDecomposed(module)
    ? { ...options, strength: (parameter: ModelParameter) => (parameter === weight ? 1 : options.strength(parameter)) }
    : options;
  for (const adapter of ADAPTERS) {
    const made = await adapter.plan(module, adapter.kind === 'dora' ? options : inner, terms);
    const wraps = made.some(({ term }) => term.kind === 'dora');
    terms = [...terms.filter(({ parameter }) => !(wraps && parameter === weight)), ...made];
  }
  return terms;
}

/** Groups a file's tensors into the modules of the model; what no kind takes from them stays open in the account. */
function openModules(file: TensorFile, names: ModuleNames, account: Account): OpenModule[] {
  const grouped = new Map<string, { target: AdaptedModule; parts: Map<string, TensorEntry> }>();
  for (const entry of file.tensors.values()) {
    const name = partName(entry.name);
    const target = name && names.find(name.module);
    if (!name || !target) continue;
    const known = grouped.get(name.module) ?? { target, parts: new Map<string, TensorEntry>() };
    if (!known.parts.has(name.part)) known.parts.set(name.part, entry);
    grouped.set(name.module, known);
  }
  return [...grouped].map(([name, { target, parts }]) => {
    const taken = new Set<string>();
    const peek = (part: string) => (taken.has(part) ? undefined : parts.get(part));
    return {
      name,
      path: file.source.name,
      target,
      has: (...wanted) => wanted.every((part) => peek(part) !== undefined),
      peek,
      take(part) {
        const entry = peek(part);
        if (entry) account.apply(entry.name);
        taken.add(part);
        return entry;
      },
    };
  });
}

/** LyCORIS' pack_bundle.py puts textual inversions beside a LoRA. @returns how many tensors they are */
function ignoreBundledEmbeddings(file: TensorFile, account: Account): number {
  const bundled = [...file.tensors.keys()].filter((name) => name.startsWith('bundle_emb.'));
  for (const name of bundled) account.ignore('bundled-embedding', name);
  return bundled.length;
}

function rankOf(term: Term): Pick<Ranked, 'rank' | 'alpha'>[] {
  if (term.kind === 'dora') return rankOf(term.delta);
  if ('rank' in term) return [term];
  return 'ranked' in term && term.ranked ? [term.ranked] : [];
}

/** What a file that holds none of the modules we merge is instead, where that is known: a base, a motion module. */
async function refuseOtherKind(
  file: TensorFile,
  { role, allow_unmatched }: AdapterSource,
  foreign: AdapterHost['foreign'],
): Promise<void> {
  const { kind, title } = await recognise(file);
  const sentence = foreign(kind, title);
  if (sentence === undefined || allow_unmatched.length > 0) return;
  const [path, [first = '']] = [file.source.name, file.tensors.keys()];
  throw new MergeError(`${path}: ${role} wants ${sentence} Its tensors have names like ${first}. Nothing was merged.`, {
    file: path,
    tensor: first,
  });
}

/** What `recognise` calls files that are no adapters of the UNet or the text encoder, and what to do with them. */
const FOREIGN_KINDS: Readonly<Record<string, string>> = {
  'motion-lora': ' List it under motion.loras.',
  'motion-unet': '',
  pia: '',
  'animatelcm-i2v': '',
  fancyvideo: '',
  'hotshot-xl': '',
  hellomeme: '',
  cameractrl: '',
  motionctrl: '',
  'svd-unet': '',
  'sdxl-motion-module': '',
  'motion-module': ' Name it as motion.module.',
  'motion-adapter': ' Name it as motion.module.',
  'sdxl-checkpoint': '',
  'ldm-checkpoint': '',
  'ldm-unet': '',
  controlnet: '',
  unet: '',
  vae: '',
  'ldm-vae': '',
  'clip-text': '',
  'textual-inversion': '',
};

/** The UNet and the text encoder, which personalized sources and the LCM LoRA change. */
export function spatialHost(names: ModuleNames): AdapterHost {
  return {
    names,
    elsewhere: (tensor) =>
      tensor.includes('motion_modules')
        ? 'it changes the motion, not the images; what it is part of belongs under motion.loras'
        : undefined,
    foreign: (kind, title) =>
      Object.hasOwn(FOREIGN_KINDS, kind)
        ? `a LoRA for SD1.5's UNet or text encoder, and this is something else: ${title}.${FOREIGN_KINDS[kind]}`
        : undefined,
  };
}

function closeAdapter(account: Account, source: AdapterSource, host: AdapterHost, file: TensorFile): Accounting {
  const tensors = [...file.tensors.keys()];
  return account.close({
    allow: source.allow_unmatched,
    explain: (tensor) => explain(tensor, host, tensors),
    moduleOf: (tensor) => partName(tensor)?.module ?? tensor,
  });
}

/** Why a tensor was not merged, told from its own name and from those that make up a module with it. */
function explain(tensor: string, { names, elsewhere }: AdapterHost, tensors: readonly string[]): string | undefined {
  const refused = REFUSED_PARTS.find(([pattern]) => pattern.test(tensor));
  if (refused) return `${refused[1]}, which this version does not merge`;
  const name = partName(tensor);
  if (!name) return 'its name ends like no part of an adapter';
  const isModule = names.find(name.module) !== undefined;
  if (!isModule) {
    const belongs = elsewhere(tensor);
    if (belongs) return belongs;
    const near = nearest(name.module, names.alternatives(name.module));
    return near ? didYouMean(near + tensor.slice(name.module.length), tensor) : 'this model has no such module';
  }
  const siblings = tensors.filter((other) => other.startsWith(`${name.module}.`));
  const beside = siblings.find((other) => REFUSED_PARTS.some(([pattern]) => pattern.test(other)));
  if (beside) return `its module has ${beside}, which this version does not merge`;
  const parts = new Set(siblings.flatMap((other) => partName(other)?.part ?? []));
  return `no kind of adapter is made of its module's parts: ${[...parts].sort().join(', ')}`;
}

/** Alphas are scalars of any float or integer type, of shape [] or [1]. */
async function readScalar(file: TensorFile, entry: TensorEntry): Promise<number> {
  const values = entry.byteLength <= 8 ? toFloat64(await readTensor(file, entry), entry.dtype) : [];
  const [value] = values;
  if (values.length !== 1 || value === undefined || !Number.isFinite(value)) {
    throw new MergeError(
      `${file.source.name}: ${entry.name} should be one finite number; it has the shape [${entry.shape}]${values.length === 1 ? ` and the value ${value}` : ''}.`,
      {
        file: file.source.name,
        tensor: entry.name,
      },
    );
  }
  return value;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)].sort((a, b) => Number(a) - Number(b));
}

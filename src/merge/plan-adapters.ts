/**
 * The adapters of a recipe: which tensors of a LoRA file make up which module, at what strength it is added, and what is left over.
 * Only headers and the alpha scalars are read.
 */
import { blockOf, blockWeight } from '../architecture/block-map.ts';
import { type Component, kohyaTargets, type LoraTarget } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import { MergeError } from '../errors.ts';
import { toFloat64 } from '../formats/dtype.ts';
import { readTensor, type TensorEntry, type TensorFile } from '../formats/tensor-file.ts';
import type { KeyPath } from '../recipe/located-yaml.ts';
import type { Recipe, ScaleConvention } from '../recipe/schema.ts';
import { type Account, type Accounting, openAccount } from './account.ts';
import type { Adapter, AdapterModule, Term } from './adapters/adapter.ts';
import { ADAPTERS, REFUSED_KINDS } from './adapters/index.ts';
import type { Role } from './plan-files.ts';
import { recognise } from './recognise.ts';

export interface AdapterSource {
  readonly role: Role;
  /** Where the recipe names it. */
  readonly key: KeyPath;
  readonly path: string;
  readonly strength: Readonly<Record<'unet' | 'text_encoder', number>>;
  readonly scale: ScaleConvention;
  readonly blocks: Readonly<Record<string, number>>;
  readonly allow_unmatched: readonly string[];
  readonly modules: number | undefined;
}

/** The recipe's LoRAs in the order in which they are summed: personalized ones first, then the LCM LoRA (equation 2). */
export function adapterSources(recipe: Recipe): AdapterSource[] {
  const personalized = recipe.personalized.map(
    (p, i): AdapterSource => ({
      role: `personalized[${i}]`,
      key: ['personalized', i],
      path: p.lora,
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
    { role: 'lcm', key: ['lcm'], path: lora, strength, scale, blocks, allow_unmatched, modules: expect?.modules },
  ];
}

/** Turns the modules of one file into terms and accounts for all of its tensors. @throws MergeError */
export async function planAdapter(
  file: TensorFile,
  index: number,
  source: AdapterSource,
  parameters: Readonly<Record<Component, readonly ModelParameter[]>>,
) {
  const path = file.source.name;
  const targets = new Map([
    ...kohyaTargets('unet', parameters.unet),
    ...kohyaTargets('text_encoder', parameters.text_encoder),
  ]);
  const account = openAccount(path, file.tensors.keys());
  const terms: { target: LoraTarget; term: Term }[] = [];
  const seen = new Map<ModelParameter, string>();
  for (const { adapter, module } of modules(file, targets)) {
    const { component, parameter } = module.target;
    const twin = seen.get(parameter);
    if (twin)
      throw new MergeError(
        `${path} changes ${parameter.name} twice, as ${twin} and as ${module.prefix}. Remove one of them.`,
        { file: path },
      );
    seen.set(parameter, module.prefix);
    const strength = source.strength[component] * blockWeight(source.blocks, blockOf(component, parameter.name));
    const scalar = (entry: TensorEntry) => readScalar(file, entry);
    terms.push({
      target: module.target,
      term: await adapter.term(module, { of: source.role, file: index, strength, convention: source.scale, scalar }),
    });
    for (const entry of module.parts.values()) account.apply(entry.name);
  }
  const names = [...file.tensors.keys()];
  if (!names.some((name) => targets.has(splitName(name)[0]))) await refuseOtherKind(file, source);
  const accounting = closeAdapter(account, source, targets, { names, matched: terms.length });
  const count = (component: Component) => terms.filter((t) => t.target.component === component).length;
  return {
    terms,
    accounting,
    summary: {
      modules: { unet: count('unet'), text_encoder: count('text_encoder') },
      ranks: distinct(terms.map(({ term }) => term.rank)),
      alphas: distinct(terms.map(({ term }) => term.alpha)),
    },
    warnings: terms.every(({ term }) => term.scale === 0)
      ? [`${source.role} (${path}) has strength 0 everywhere: it changes nothing.`]
      : [],
  };
}

/** Groups a file's tensors into modules by their suffixes; a module whose parts make no adapter kind is left unmatched. */
function* modules(
  file: TensorFile,
  targets: ReadonlyMap<string, LoraTarget>,
): Generator<{ adapter: Adapter; module: AdapterModule }> {
  const byPrefix = new Map<string, Map<string, TensorEntry>>();
  for (const entry of file.tensors.values()) {
    const [prefix, suffix] = splitName(entry.name);
    if (!targets.has(prefix)) continue;
    const parts = byPrefix.get(prefix) ?? new Map<string, TensorEntry>();
    byPrefix.set(prefix, parts.set(suffix, entry));
  }
  for (const [prefix, parts] of byPrefix) {
    const target = targets.get(prefix) as LoraTarget;
    const adapter = ADAPTERS.find(
      ({ required, optional }) =>
        required.every((part) => parts.has(part)) &&
        [...parts.keys()].every((part) => required.includes(part) || optional.includes(part)),
    );
    if (adapter) yield { adapter, module: { prefix, parts, target, path: file.source.name } };
  }
}

/** What a file that holds none of the modules we merge is instead, where that is known: a base, a motion module, PEFT's LoRA. */
async function refuseOtherKind(file: TensorFile, { role, allow_unmatched }: AdapterSource): Promise<void> {
  const { kind, title } = await recognise(file);
  if (kind === 'unknown' || OWN_KINDS.has(kind) || allow_unmatched.length > 0) return;
  const [path, [first = '']] = [file.source.name, file.tensors.keys()];
  throw new MergeError(
    `${path}: ${role} wants a LoRA with kohya names (lora_unet_….lora_down.weight), and this is something else: ${title}. ` +
      `Its tensors have names like ${first}. Nothing was merged.`,
    { file: path, tensor: first },
  );
}

/** What `recognise` calls the files that this version merges. */
const OWN_KINDS: ReadonlySet<string> = new Set(['kohya-lora', 'lcm-lora']);

function closeAdapter(
  account: Account,
  source: AdapterSource,
  targets: ReadonlyMap<string, LoraTarget>,
  { names, matched }: { names: readonly string[]; matched: number },
): Accounting {
  const { path } = source;
  const suffixed = (function* () {
    for (const key of targets.keys())
      for (const suffix of ['lora_down.weight', 'lora_up.weight', 'alpha']) yield `${key}.${suffix}`;
  })();
  const accounting = account.close({
    allow: source.allow_unmatched,
    candidates: suffixed,
    explain: (tensor) => explain(tensor, targets, names),
  });
  if (matched === 0) {
    throw new MergeError(
      `${path} changes nothing: none of its ${accounting.tensors} tensors belongs to a LoRA module of this model.`,
      { file: path },
    );
  }
  return accounting;
}

/** Why a tensor was not merged, told from its own name and from those that make up a module with it. */
function explain(
  tensor: string,
  targets: ReadonlyMap<string, LoraTarget>,
  names: readonly string[],
): string | undefined {
  const [prefix, suffix] = splitName(tensor);
  const isModule = targets.has(prefix);
  const parts = isModule ? names.map(splitName).flatMap(([p, part]) => (p === prefix ? [part] : [])) : [suffix];
  const isPart = (part: string, known: string) => part === known || part.endsWith(`.${known}`);
  const telltale = Object.entries(REFUSED_KINDS).find(([known]) => parts.some((part) => isPart(part, known)));
  if (telltale) {
    const [known, kind] = telltale;
    return `${isPart(suffix, known) ? '' : 'its module is '}${kind}, which this version does not merge`;
  }
  if (tensor.startsWith('bundle_emb.')) return 'an embedded textual inversion, which is no part of the weights';
  if (!isModule) return undefined;
  const strange = parts.find((part) => !ADAPTERS.some((a) => a.required.includes(part) || a.optional.includes(part)));
  return strange === undefined
    ? 'its module is incomplete: lora_down and lora_up belong together'
    : `its module has a part ${strange}, which no known kind of LoRA has`;
}

/** `lora_unet_….lora_up.weight` → the module and what follows the first dot. */
function splitName(tensor: string): readonly [prefix: string, suffix: string] {
  const dot = tensor.indexOf('.');
  return dot < 0 ? [tensor, ''] : [tensor.slice(0, dot), tensor.slice(dot + 1)];
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

/**
 * What a signature speaks of: the SHA-256 of every file, as the in-toto statement of OpenSSF Model Signing v1.0 (spec/v1.0.md,
 * sections 5 to 8: resources, serialization, root digest).
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { describeIssues } from '../architecture/config-file.ts';
import { FormatError } from '../errors.ts';
import { parseJson } from '../formats/json.ts';

/** A file's SHA-256 in hexadecimal, by its path with forward slashes. */
export type Digests = ReadonlyMap<string, string>;

export interface Manifest {
  /** Of the model; for people only. */
  readonly name: string;
  readonly files: Digests;
  /** Files and folders that it does not speak of. */
  readonly ignored: readonly string[];
}

const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
const PREDICATE_TYPE = 'https://model_signing/signature/v1.0';

/** Where in a package its signature lies: the name that the reference implementation gives it. */
export const SIGNATURE_FILE = 'model.sig';

/** At the root of a model these are never part of it (section 6.2). */
const IGNORED = ['.git', '.gitattributes', '.github', '.gitignore', SIGNATURE_FILE];

/** The statement about a model of these files, in JSON. */
export function statementJson({ name, files }: Pick<Manifest, 'name' | 'files'>): string {
  const resources = [...files]
    .filter(([path]) => !isIgnored(path, IGNORED))
    .sort(([a], [b]) => byCodePoint(a, b))
    .map(([path, digest]) => ({ name: path, algorithm: 'sha256', digest }));
  return JSON.stringify({
    _type: STATEMENT_TYPE,
    subject: [{ name, digest: { sha256: rootDigest(resources.map(({ digest }) => digest)) } }],
    predicateType: PREDICATE_TYPE,
    predicate: {
      serialization: { method: 'files', hash_type: 'sha256', allow_symlinks: false, ignore_paths: IGNORED },
      resources,
    },
  });
}

/** One of the values that the specification has, which is all that is understood here. */
const only = (value: string, reason: string) =>
  z.string().refine((found) => found === value, `must be "${value}": ${reason}`);

const hex = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits');
const text = z.string().min(1);
const statementSchema = z.looseObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z.array(z.looseObject({ name: text, digest: z.looseObject({ sha256: hex }) })).length(1),
  predicateType: z.literal(PREDICATE_TYPE),
  predicate: z.looseObject({
    serialization: z.looseObject({
      method: only('files', 'lcm-merge checks whole files, not shards'),
      hash_type: only('sha256', 'lcm-merge knows no other hash'),
      allow_symlinks: z.boolean(),
      ignore_paths: z.array(text).optional(),
    }),
    resources: z.array(z.looseObject({ name: text, algorithm: z.literal('sha256'), digest: hex })).min(1),
  }),
});

/** What a bundle's payload says. @throws FormatError when it is another statement than one about a model's files */
export function readStatement(payload: Uint8Array, file: string): Manifest {
  const refuse = (reason: string): never => {
    throw new FormatError(`${file}: what is signed is no statement about a model: ${reason}.`, { file });
  };
  const parsed = statementSchema.safeParse(parseOr(payload, refuse), { reportInput: true });
  if (!parsed.success) return refuse(describeIssues(parsed.error.issues));
  const { subject, predicate } = parsed.data;
  const files = new Map(predicate.resources.map(({ name, digest }) => [name, digest]));
  if (files.size !== predicate.resources.length) refuse('it names a file twice');
  const root = rootDigest(predicate.resources.map(({ digest }) => digest));
  const [model] = subject;
  if (root !== model?.digest.sha256) return refuse('its root digest is not that of its files');
  return { name: model.name, files, ignored: [...IGNORED, ...(predicate.serialization.ignore_paths ?? [])] };
}

/** How the files that are there differ from those that were told. */
export interface FileDifferences {
  readonly altered: readonly string[];
  readonly missing: readonly string[];
  readonly added: readonly string[];
}

/** How the files of a model differ from those that were signed. */
export function compareSigned({ files, ignored }: Manifest, found: Digests): FileDifferences {
  return compareFiles(files, new Map([...found].filter(([path]) => files.has(path) || !isIgnored(path, ignored))));
}

export function compareFiles(told: Digests, found: Digests): FileDifferences {
  const names = [...told.keys()];
  return {
    altered: names.filter((name) => found.has(name) && found.get(name) !== told.get(name)),
    missing: names.filter((name) => !found.has(name)),
    added: [...found.keys()].filter((name) => !told.has(name)),
  };
}

/** Names that a sentence has room for. */
const MAX_NAMES = 5;

/** `a and b have other bytes; c is missing`; undefined where nothing differs. */
export function describeDifferences({ altered, missing, added }: FileDifferences): string | undefined {
  const parts = [
    [altered, 'has other bytes', 'have other bytes'],
    [missing, 'is missing', 'are missing'],
    [added, 'was added', 'were added'],
  ] as const;
  const sentences = parts.flatMap(([names, one, many]) =>
    names.length === 0 ? [] : [`${listed(names)} ${names.length === 1 ? one : many}`],
  );
  return sentences.length === 0 ? undefined : sentences.join('; ');
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  return new Intl.ListFormat('en-GB').format([
    ...names.slice(0, MAX_NAMES),
    ...(more > 0 ? [`${more} other ${more === 1 ? 'file' : 'files'}`] : []),
  ]);
}

/** By whole path from the root, without patterns; a folder stands for everything in it (section 6.2.1). */
function isIgnored(path: string, ignored: readonly string[]): boolean {
  return ignored.some((entry) => path === entry || path.startsWith(`${entry.replace(/\/$/, '')}/`));
}

/** SHA-256 of all digests, in the order of the resources (section 6.5.1). */
function rootDigest(digests: readonly string[]): string {
  const hash = createHash('sha256');
  for (const digest of digests) hash.update(digest, 'hex');
  return hash.digest('hex');
}

/** As UTF-8 sorts; JavaScript's own order is that of UTF-16, which puts emoji before the last letters. */
function byCodePoint(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function parseOr(payload: Uint8Array, refuse: (reason: string) => never): unknown {
  try {
    const { value, duplicate } = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    if (duplicate === undefined) return value;
    return refuse(`${JSON.stringify(duplicate)} stands in it twice`);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    return refuse('it is not JSON in UTF-8');
  }
}

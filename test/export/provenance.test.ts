/** The provenance is made of the lock, has the fields of SLSA Provenance v1 and no others, and tells nothing of the machine. */
import { readFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { PROVENANCE_FILE, provenanceJson } from '../../src/export/provenance.ts';
import { readLock } from '../../src/runtime/lock-file.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';
import { golden } from '../sign/golden-bundles.ts';

interface Statement {
  readonly _type: string;
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[];
  readonly predicateType: string;
  readonly predicate: {
    readonly buildDefinition: {
      readonly externalParameters: { readonly recipe: unknown };
      readonly resolvedDependencies: readonly {
        readonly name?: string;
        readonly uri?: string;
        readonly digest: object;
      }[];
    };
    readonly runDetails: object;
  };
}

let folder: string;
let lock: Lock;
let text: string;
let statement: Statement;

beforeAll(async () => {
  folder = await temporaryFolder();
  ({ lock } = await bakeAndCheck(tinyRecipe({ output: { targets: ['portable'] } }), folder));
  text = await readFile(join(folder, PROVENANCE_FILE), 'utf8');
  statement = JSON.parse(text);
});

/** Faults of `value` as a message of in-toto's protobuf descriptors (test/oracle/signing.py). */
function faults(value: unknown, message: string, path: string): string[] {
  const known = golden.messages[message];
  if (!known) return []; // a Struct or a Timestamp
  return Object.entries(value as object).flatMap(([name, found]) => {
    const field = known[name];
    const at = `${path}.${name}`;
    if (!field) return [`${at} is no field of ${message}`];
    if (Array.isArray(found) !== (field.many === 'list')) return [`${at} is not ${field.many}`];
    const values: unknown[] = field.many === 'no' ? [found] : Object.values(found as object);
    return values.flatMap((inner) =>
      (field.kind === 'string') === (typeof inner === 'string')
        ? faults(inner, field.kind, at)
        : [`${at} is no ${field.kind}`],
    );
  });
}

describe('provenance.json', () => {
  it('is an in-toto statement with a predicate of SLSA Provenance v1', () => {
    const { predicate, subject, ...rest } = statement;
    expect(rest).toEqual({ _type: 'https://in-toto.io/Statement/v1', predicateType: 'https://slsa.dev/provenance/v1' });
    const PACKAGE = 'in_toto_attestation.predicates.provenance.v1';
    expect(faults(predicate, `${PACKAGE}.Provenance`, 'predicate')).toEqual([]);
    for (const one of subject) expect(faults(one, 'in_toto_attestation.v1.ResourceDescriptor', 'subject')).toEqual([]);
    // required by slsa.dev/spec/v1.0/provenance
    expect(predicate).toMatchObject({
      buildDefinition: { buildType: expect.stringMatching(/^[a-z]+:\S+$/), externalParameters: expect.any(Object) },
      runDetails: {
        builder: { id: expect.stringMatching(/^[a-z]+:\S+$/), version: { 'lcm-merge': lock.tool.version } },
      },
    });
    expect(faults({ ...predicate, more: 1 }, `${PACKAGE}.Provenance`, 'p')).toEqual([
      `p.more is no field of ${PACKAGE}.Provenance`,
    ]);
  });

  it('has every file of the package but itself for its subjects, and what was merged for its dependencies', async () => {
    const { [PROVENANCE_FILE]: _, ...files } = await digestPackage(folder);
    expect(Object.fromEntries(statement.subject.map(({ name, digest }) => [name, digest.sha256]))).toEqual(
      Object.fromEntries(Object.entries(files).map(([name, { sha256 }]) => [name, sha256])),
    );
    expect(statement.predicate.buildDefinition.resolvedDependencies).toEqual(
      lock.inputs.map(({ role, file, sha256, bytes }) => ({
        name: file,
        digest: { sha256 },
        annotations: { role, bytes },
      })),
    );
    expect(statement.predicate.buildDefinition.externalParameters.recipe).toEqual(lock.recipe);
  });

  it('is made of the lock alone, also of one that was read again', async () => {
    const { [LOCK_FILE]: own } = await digestPackage(folder);
    expect(provenanceJson((await readLock(folder)) as Lock, own as { sha256: string })).toBe(text);
  });

  it('has no paths of the machine and no times', () => {
    for (const trace of [process.cwd(), tmpdir(), homedir()]) expect(text).not.toContain(`${trace}/`);
    expect(text).not.toMatch(/"(\/|[A-Z]:\\)/);
    expect(text).not.toMatch(/\d{4}-\d{2}-\d{2}|\d{2}:\d{2}:\d{2}|startedOn|invocationId/);
  });

  it('names what came from the Hub by the commit that it was, configs included', () => {
    const digest = (letter: string) => ({ sha256: letter.repeat(64), bytes: 5 });
    const commit = 'c0ffee'.padEnd(40, '0');
    const [first, ...others] = lock.inputs as [Lock['inputs'][number], ...Lock['inputs']];
    const fetched: Lock = {
      ...lock,
      inputs: [{ ...first, ...digest('a'), file: 'unet/model.safetensors', origin: 'base.model' }, ...others],
      origins: {
        'base.model': {
          reference: 'hf://owner/repo@main',
          commit,
          files: { 'unet/model.safetensors': digest('a'), 'unet/config.json': digest('b') },
        },
      },
    };
    const { predicate }: Statement = JSON.parse(provenanceJson(fetched, digest('d')));
    const { resolvedDependencies: found } = predicate.buildDefinition;
    expect(found[0]).toEqual({
      uri: `hf://owner/repo/unet/model.safetensors@${commit}`,
      digest: { sha256: 'a'.repeat(64) },
      annotations: { role: first.role, bytes: 5 },
    });
    expect(found.at(-1)).toEqual({
      uri: `hf://owner/repo/unet/config.json@${commit}`,
      digest: { sha256: 'b'.repeat(64) },
      annotations: { role: 'base.model', bytes: 5 },
    });
    expect(found).toHaveLength(lock.inputs.length + 1);
  });
});

/** Signatures of the reference implementation are read and held to their models; ours are what it reads (test/oracle/signing.py --ours). */
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { bundleJson, readBundle, unverifiedManifest, verifiedManifest } from '../../src/sign/bundle.ts';
import { openSigner, openVerifier } from '../../src/sign/keys.ts';
import { compareSigned, describeDifferences, readStatement, statementJson } from '../../src/sign/manifest.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { digestsOf, type GoldenBundle, golden, goldenBundle, writeKey, writeModel } from './golden-bundles.ts';

const NONE = { altered: [], missing: [], added: [] };

/** Of the golden model on disk: what differs from what was signed with its key. */
async function differences(model: string, { public_key }: GoldenBundle) {
  const verifier = await openVerifier(await writeKey(public_key));
  return compareSigned(verifiedManifest(await readBundle(join(model, 'model.sig')), verifier), await digestsOf(model));
}

it.each(['dsseEnvelope', 'payload'])(
  'a bundle in which %s stands twice is none, since others may take the other one',
  async (name) => {
    const golden = goldenBundle('P-256');
    const file = join(await writeModel(golden), 'model.sig');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(new RegExp(`"${name}":`), `"${name}":"AA==","${name}":`));
    await expect(readBundle(file)).rejects.toThrow(`is no signature of a model: "${name}" stands in it twice.`);
  },
);

describe('a signature of the reference implementation', () => {
  const whole = ['P-256', 'P-384', 'P-521', 'many files', 'ignored paths', "git's own files"];

  it.each(whole)('(%s) holds for its model', async (name) => {
    const golden = goldenBundle(name);
    expect(await differences(await writeModel(golden), golden)).toEqual(NONE);
  });

  it('names what was changed, removed and added since', async () => {
    const golden = goldenBundle('P-256');
    const model = await writeModel(golden);
    await appendFile(join(model, 'empty'), ' ');
    await appendFile(join(model, 'größe.txt'), 'x');
    await rm(join(model, '🎬.txt'));
    await mkdir(join(model, 'a/b.d'));
    await writeFile(join(model, 'a/b.d/new'), '');
    const found = await differences(model, golden);
    expect(found).toEqual({
      altered: expect.arrayContaining(['empty', 'größe.txt']),
      missing: ['🎬.txt'],
      added: ['a/b.d/new'],
    });
    expect(found.altered).toHaveLength(2);
    expect(describeDifferences(found)).toMatch(/have other bytes; 🎬\.txt is missing; a\/b\.d\/new was added$/);
  });

  it('tells a file that was moved to another name of the same letters', async () => {
    const golden = goldenBundle('P-256');
    const { 'größe.txt': content, ...files } = golden.files;
    const model = await writeModel({ ...golden, files: { ...files, 'grösse.txt': content as string } });
    expect(await differences(model, golden)).toEqual({ altered: [], missing: ['größe.txt'], added: ['grösse.txt'] });
  });

  it('says nothing of the paths that it ignores, and of no others', async () => {
    const golden = goldenBundle('ignored paths');
    const model = await writeModel(golden);
    await appendFile(join(model, 'README.md'), 'x');
    await writeFile(join(model, 'a/new'), '');
    await writeFile(join(model, 'README.md.new'), '');
    expect(await differences(model, golden)).toEqual({ ...NONE, added: ['README.md.new'] });
  });

  it('that followed links does not hold for a package with links, of which none is followed', async () => {
    const golden = goldenBundle('links');
    expect(await differences(await writeModel(golden), golden)).toEqual({ ...NONE, missing: ['link'] });
    const { links: _, ...rest } = golden;
    const copied = { ...rest, links: {}, files: { ...golden.files, link: golden.files['README.md'] as string } };
    expect(await differences(await writeModel(copied), golden)).toEqual(NONE);
  });

  it.each([
    ['shards', 'predicate.serialization.method must be "files": lcm-merge checks whole files, not shards'],
    ['blake2b', 'predicate.serialization.hash_type must be "sha256": lcm-merge knows no other hash'],
  ])('by %s is refused in words', async (name, sentence) => {
    const golden = goldenBundle(name);
    await expect(differences(await writeModel(golden), golden)).rejects.toThrow(sentence);
  });

  it('is no signature of another key', async () => {
    const golden = goldenBundle('P-256');
    const model = await writeModel(golden);
    const other = goldenBundle('many files');
    await expect(differences(model, other)).rejects.toThrow(/model\.sig was signed with another key \([0-9a-f]{12}…\)/);
    await expect(differences(model, goldenBundle('P-384'))).rejects.toThrow('than the P-384 key');
    // one without a name of its key says so as well
    const nameless = {
      ...golden,
      bundle: { ...golden.bundle, verificationMaterial: { publicKey: { rawBytes: 'AAAA' } } },
    };
    expect(await differences(await writeModel(nameless), golden)).toEqual(NONE);
    await expect(differences(await writeModel(nameless), other)).rejects.toThrow('is no signature of the P-256 key');
  });

  it('holds no longer when a byte of what is signed, or of itself, is another', async () => {
    const golden = goldenBundle('P-256');
    const { dsseEnvelope } = golden.bundle;
    const payload = Buffer.from(dsseEnvelope.payload, 'base64').toString();
    const altered = [
      { ...dsseEnvelope, payload: Buffer.from(payload.replace('README.md', 'README.mb')).toString('base64') },
      { ...dsseEnvelope, payload: Buffer.from(`${payload} `).toString('base64') },
      { ...dsseEnvelope, signatures: [{ sig: `${dsseEnvelope.signatures[0]?.sig.slice(0, -8)}AAAAAAA=` }] },
      { ...dsseEnvelope, signatures: [{ sig: 'AAAA' }] },
    ];
    for (const envelope of altered) {
      const model = await writeModel({ ...golden, bundle: { ...golden.bundle, dsseEnvelope: envelope } });
      await expect(differences(model, golden)).rejects.toThrow('or what it signs, was changed');
    }
  });

  it.each<readonly [string, string, string]>([
    ['nothing', '', 'is not valid JSON'],
    ['no object', '[]', 'the whole must be a mapping, but a list was found'],
    ['an empty one', '{}', 'mediaType is missing; verificationMaterial is missing; dsseEnvelope is missing'],
    [
      'another media type',
      changed({ mediaType: 'text/plain' }),
      'mediaType must be the media type of a Sigstore bundle',
    ],
    [
      'a certificate',
      changed({ verificationMaterial: { x509CertificateChain: {} } }),
      'not signed with a key but with a certificate or a Sigstore identity',
    ],
    ['another payload type', inEnvelope({ payloadType: 'text/plain' }), 'dsseEnvelope.payloadType must be'],
    ['no signature', inEnvelope({ signatures: [] }), 'dsseEnvelope.signatures must not be empty'],
    [
      'two signatures',
      inEnvelope({ signatures: [{ sig: 'AAAA' }, { sig: 'AAAA' }] }),
      'dsseEnvelope.signatures must have at most 1 entries',
    ],
    ['text in place of base64', inEnvelope({ payload: 'a b' }), 'dsseEnvelope.payload must be base64'],
  ])('with %s is damaged, and says where', async (_, text, sentence) => {
    const file = join(await temporaryFolder(), 'model.sig');
    await writeFile(file, text);
    await expect(readBundle(file)).rejects.toThrow(FormatError);
    await expect(readBundle(file)).rejects.toThrow(sentence);
    await expect(readBundle(join(file, '..', 'gone.sig'))).rejects.toThrow(InputMissingError);
  });
});

function changed(changes: object): string {
  return JSON.stringify({ ...goldenBundle('P-256').bundle, ...changes });
}

function inEnvelope(changes: object): string {
  return changed({ dsseEnvelope: { ...goldenBundle('P-256').bundle.dsseEnvelope, ...changes } });
}

describe('our signature', () => {
  it('says of a model what the reference implementation says of it', async () => {
    const golden_ = goldenBundle('P-256');
    const found = await digestsOf(await writeModel(golden_));
    const ours = JSON.parse(statementJson({ name: 'model', files: found }));
    const theirs = JSON.parse(Buffer.from(golden_.bundle.dsseEnvelope.payload, 'base64').toString());
    const byName = (a: { name: string }, b: { name: string }) =>
      Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
    expect(ours.predicate.resources).toEqual(theirs.predicate.resources.toSorted(byName));
    expect(ours.predicate.serialization.ignore_paths).toEqual(theirs.predicate.serialization.ignore_paths.toSorted());
    expect({ ...ours.predicate.serialization, ignore_paths: [] }).toEqual({
      ...theirs.predicate.serialization,
      ignore_paths: [],
    });
    const { subject: _, predicate: __, ...rest } = ours;
    expect(theirs).toMatchObject(rest);
  });

  it('lists files in the order of code points, and has the root digest of that order', () => {
    const digest = (letter: string) => letter.repeat(64);
    const files = new Map([
      ['🎬', digest('1')],
      ['～', digest('2')],
      ['a/b', digest('3')],
      ['a-b', digest('4')],
      ['B', digest('5')],
    ]);
    const { subject, predicate } = JSON.parse(statementJson({ name: 'm', files }));
    expect(predicate.resources.map(({ name }: { name: string }) => name)).toEqual(['B', 'a-b', 'a/b', '～', '🎬']);
    // python3 -c "import hashlib; print(hashlib.sha256(bytes.fromhex(''.join(c * 64 for c in '54321'))).hexdigest())"
    expect(subject).toEqual([
      { name: 'm', digest: { sha256: 'cc5a09ec659fd7a926b31a82a501e38ee869ecfb998c5e96a0f0020eb6a2ae99' } },
    ]);
    expect(readStatement(Buffer.from(statementJson({ name: 'm', files })), 'm').files).toEqual(
      new Map([...files].toSorted()),
    );
  });

  it('leaves itself out, and git’s own files, at the root only', async () => {
    const golden_ = goldenBundle("git's own files");
    const model = await writeModel(golden_);
    await writeFile(join(model, 'a/model.sig'), '');
    const manifest = readStatement(Buffer.from(statementJson({ name: 'm', files: await digestsOf(model) })), 'm');
    const signed = Object.keys(golden_.files).filter((name) => !/^\.git/.test(name));
    expect([...manifest.files.keys()].sort()).toEqual([...signed, 'a/model.sig'].sort());
  });

  it('is read back with its own key, and is of the form of the reference’s', async () => {
    const signer = await openSigner(await writeKey(golden.keys.plain['pkcs8'] as string));
    const files = new Map([['a', 'ab'.repeat(32)]]);
    const file = join(await temporaryFolder(), 'model.sig');
    await writeFile(file, bundleJson({ name: 'm', files }, signer));
    const bundle = await readBundle(file);
    expect(verifiedManifest(bundle, { ...signer, verifies: () => true }).files).toEqual(files);
    expect(unverifiedManifest(bundle).name).toBe('m');
    const shape = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(shape)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]))
          : typeof value;
    const theirs = goldenBundle('P-256').bundle;
    expect(shape(JSON.parse(bundleJson({ name: 'm', files }, signer)))).toEqual(shape(theirs));
  });
});

describe('a statement', () => {
  const statement = JSON.parse(statementJson({ name: 'm', files: new Map([['a', 'ab'.repeat(32)]]) }));
  const { resources } = statement.predicate;

  it.each<readonly [string, string, string]>([
    ['no JSON', 'nope', 'it is not JSON in UTF-8'],
    ['of another type', JSON.stringify({ ...statement, _type: 'https://in-toto.io/Statement/v0.1' }), '_type must be'],
    [
      'of another predicate',
      JSON.stringify({ ...statement, predicateType: 'https://slsa.dev/provenance/v1' }),
      'predicateType must be',
    ],
    ['with a key twice', JSON.stringify(statement).replace('{', '{"_type":"x",'), '"_type" stands in it twice'],
    ['without files', within({ resources: [] }), 'predicate.resources must not be empty'],
    ['with a file twice', within({ resources: [...resources, ...resources] }), 'it names a file twice'],
    [
      'with a short digest',
      within({ resources: [{ ...resources[0], digest: 'ab' }] }),
      'digest must be 64 hexadecimal digits',
    ],
    [
      'with another root',
      JSON.stringify({ ...statement, subject: [{ name: 'm', digest: { sha256: '00'.repeat(32) } }] }),
      'its root digest is not that of its files',
    ],
  ])('is refused when it is %s', (_, text, sentence) => {
    expect(() => readStatement(Buffer.from(text), 'model.sig')).toThrow(FormatError);
    expect(() => readStatement(Buffer.from(text), 'model.sig')).toThrow(sentence);
  });

  function within(changes: object): string {
    return JSON.stringify({ ...statement, predicate: { ...statement.predicate, ...changes } });
  }
});

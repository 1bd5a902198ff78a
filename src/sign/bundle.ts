/**
 * model.sig: a Sigstore bundle (sigstore_bundle.proto, v0.3) with a DSSE envelope (secure-systems-lab/dsse, protocol.md), the way
 * in which OpenSSF Model Signing v1.0 keeps a signature that was made with a key.
 */
import { z } from 'zod';
import { describeIssues, parseJsonText } from '../architecture/config-file.ts';
import { FormatError } from '../errors.ts';
import { readSmallFile } from '../formats/byte-source.ts';
import { parseJson } from '../formats/json.ts';
import { quote } from '../text/quote.ts';
import { describeKey, type Signer, type Verifier } from './keys.ts';
import { type Manifest, readStatement, statementJson } from './manifest.ts';

const MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
/** Room for the names of 100,000 files; what is larger is something else. */
const MAX_BUNDLE_BYTES = 32 << 20;

/** A signature as it was read: whose it is and whether it holds is not known yet. */
export interface Bundle {
  readonly file: string;
  /** Names the key; bundles of tools before 1.1 have none. */
  readonly hint: string | undefined;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** The bundle for a model of these files. */
export function bundleJson(manifest: Pick<Manifest, 'name' | 'files'>, signer: Signer): string {
  const payload = Buffer.from(statementJson(manifest));
  const sig = Buffer.from(signer.sign(preAuthenticationEncoding(payload)));
  return `${JSON.stringify({
    mediaType: MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: signer.hint }, tlogEntries: [] },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: sig.toString('base64'), keyid: '' }],
    },
  })}\n`;
}

const base64 = z
  .string()
  .min(1)
  .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'must be base64');
const bundleSchema = z.looseObject({
  mediaType: z
    .string()
    .regex(
      /^application\/vnd\.dev\.sigstore\.bundle(\.v\d+\.\d+)?\+json(;version=\d+\.\d+)?$/,
      'must be the media type of a Sigstore bundle',
    ),
  verificationMaterial: z.looseObject({
    publicKey: z.looseObject({ hint: z.string().nullish() }).optional(),
  }),
  dsseEnvelope: z.looseObject({
    payload: base64,
    payloadType: z.literal(PAYLOAD_TYPE),
    signatures: z.array(z.looseObject({ sig: base64 })).length(1),
  }),
});

/** @throws InputMissingError when there is none, FormatError when it is damaged or of another kind */
export async function readBundle(file: string): Promise<Bundle> {
  const bytes = await readSmallFile(file, MAX_BUNDLE_BYTES);
  const raw = parseJsonText(bytes, file);
  const { duplicate } = parseJson(new TextDecoder().decode(bytes));
  if (duplicate !== undefined)
    // others may take the first of the two
    throw new FormatError(`${file} is no signature of a model: ${quote(duplicate)} stands in it twice.`, { file });
  const parsed = bundleSchema.safeParse(raw, { reportInput: true });
  if (!parsed.success)
    throw new FormatError(`${file} is no signature of a model: ${describeIssues(parsed.error.issues)}.`, { file });
  const { verificationMaterial, dsseEnvelope } = parsed.data;
  if (!verificationMaterial.publicKey)
    throw new FormatError(
      `${file} was not signed with a key but with a certificate or a Sigstore identity, which model_signing checks and lcm-merge does not.`,
      { file },
    );
  return {
    file,
    hint: verificationMaterial.publicKey.hint || undefined,
    payload: Buffer.from(dsseEnvelope.payload, 'base64'),
    signature: Buffer.from(dsseEnvelope.signatures[0]?.sig ?? '', 'base64'),
  };
}

/** What a bundle says, whoever has signed it. @throws FormatError when it is no statement about a model */
export function unverifiedManifest({ payload, file }: Bundle): Manifest {
  return readStatement(payload, file);
}

/** What the owner of the key has signed. @throws FormatError when it was signed with another key, or not like this */
export function verifiedManifest(bundle: Bundle, verifier: Verifier): Manifest {
  const { file, hint, payload, signature } = bundle;
  const refuse = (reason: string): never => {
    throw new FormatError(`${file} ${reason}.`, { file });
  };
  if (hint !== undefined && hint !== verifier.hint)
    refuse(`was signed with another key (${hint.slice(0, 12)}…) than the ${describeKey(verifier)} that was given`);
  if (!verifier.verifies(preAuthenticationEncoding(payload), signature))
    refuse(`is no signature of the ${describeKey(verifier)}: it, or what it signs, was changed`);
  return unverifiedManifest(bundle);
}

/** PAE of DSSE: what is signed names its own type and length, so that it cannot be taken for something else. */
function preAuthenticationEncoding(payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `), payload]);
}

/** The verification that was there before: of the package itself, or of the one that it is to replace. */
import { join } from 'node:path';
import { z } from 'zod';
import { readConfig } from '../architecture/config-file.ts';
import { InputMissingError } from '../errors.ts';
import { FINGERPRINT_FILE, type Fingerprint, readFingerprint } from './fingerprint.ts';
import { VERIFICATION_FOLDER } from './report.ts';

/** What is relied upon of an earlier report; those of older versions may lack some of it. */
const reportSchema = z.looseObject({
  verdict: z.enum(['passed', 'failed', 'unknown']),
  name: z.string(),
  device: z.string(),
  machine: z.string().optional(),
  run: z.record(z.string(), z.union([z.string(), z.number()])),
  timing: z.looseObject({ step_ms: z.array(z.number().positive()) }).nullable(),
  limit: z.looseObject({ rates: z.looseObject({ matrix: z.record(z.string(), z.number().positive()) }) }).optional(),
});

export type EarlierReport = z.output<typeof reportSchema>;

export interface Earlier {
  /** It lies in the package that is verified, so it should be about its bytes. */
  readonly own: boolean;
  readonly report?: EarlierReport | undefined;
  readonly fingerprint?: Fingerprint | undefined;
}

/** @throws FormatError when a file of it is damaged. */
export async function readEarlier(folder: string, own: boolean): Promise<Earlier> {
  const at = (name: string) => join(folder, VERIFICATION_FOLDER, name);
  return {
    own,
    report: await orNone(readConfig(at('report.json'), reportSchema, (raw) => raw)),
    fingerprint: await orNone(readFingerprint(at(FINGERPRINT_FILE))),
  };
}

async function orNone<Value>(reading: Promise<Value>): Promise<Value | undefined> {
  return reading.catch((error: unknown) => {
    if (error instanceof InputMissingError) return undefined;
    throw error;
  });
}

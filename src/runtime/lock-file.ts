/** lcm-merge.lock.json as it is read: our own file, but anybody may have edited it, so every field that is relied upon is checked. */
import { join } from 'node:path';
import { z } from 'zod';
import { readConfig } from '../architecture/config-file.ts';
import { InputMissingError } from '../errors.ts';
import { LOCK_FILE, type Lock } from '../export/lock.ts';
import { LICENSE_SOURCES } from '../recipe/licenses.ts';
import { PROFILES } from '../recipe/profile.ts';
import { DEVICES } from './device.ts';

const count = z.number().int().min(0);
const digest = { sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits'), bytes: count };
const expectation = z.looseObject({ expect: z.looseObject({ modules: count }).optional() });
const side = z.number().int().positive().multipleOf(8);
const clip = z.looseObject({ frames: z.number().int().positive(), width: side, height: side });
const counts = z.record(z.string(), count);
const budget = z.number().positive().optional();
const figures = z.record(z.string(), z.number());

const lockSchema = z.looseObject({
  lock_version: z.literal(1),
  tool: z.looseObject({ name: z.string(), version: z.string() }),
  name: z.string(),
  recipe: z.looseObject({
    personalized: z.array(expectation),
    lcm: expectation.optional(),
    motion: z.looseObject({ gamma: z.number(), norm: z.enum(['per-frame', 'pooled']), base: z.string().optional() }),
    sampler: z.looseObject({ kind: z.string(), steps: z.number().int().positive(), guidance: z.number().min(0) }),
    output: clip.extend({ shapes: z.union([z.enum(['static', 'dynamic']), z.array(clip).min(1)]) }),
    verify: z.looseObject({
      prompt: z.string(),
      negative: z.string(),
      seed: count,
      device: z.enum(['auto', ...DEVICES]),
      profile: z.enum(PROFILES).optional(), // older locks have none
      budgets: z.looseObject({
        denoise_ms: budget,
        step_ms: budget,
        decode_ms: budget,
        peak_bytes: budget,
      }),
    }),
  }),
  strengths: z.looseObject({ alpha: z.array(z.number()), beta: z.number(), gamma: z.number() }),
  motion: z.looseObject({ mid: z.boolean(), positions: z.number().int().positive() }),
  origins: z
    .record(
      z.string(),
      z.looseObject({
        reference: z.string(),
        commit: z.string().regex(/^[0-9a-f]{40}$/, 'must be 40 hexadecimal digits'),
        files: z.record(z.string(), z.looseObject(digest)),
      }),
    )
    .optional(),
  licenses: z
    .record(
      z.string(),
      z.looseObject({ license: z.string(), link: z.string().optional(), from: z.enum(LICENSE_SOURCES) }),
    )
    .optional(),
  inputs: z.array(
    z.looseObject({
      role: z.string(),
      file: z.string(),
      ...digest,
      accounting: z.looseObject({
        tensors: count,
        applied: count,
        ignored: counts,
        allowed_unmatched: z.array(z.string()),
      }),
      modules: counts.optional(),
    }),
  ),
  rules: z.looseObject({ unet: counts, text_encoder: counts, vae_decoder: counts, vae_encoder: counts.optional() }),
  effects: z
    .looseObject({
      sampled: z.number(),
      unchanged: z.number(),
      sources: figures,
      blocks: z.record(z.string(), z.looseObject({ unchanged: z.number(), sources: figures })),
      pairs: z.array(z.looseObject({ a: z.string(), b: z.string(), cosine: z.number(), opposed: z.number() })),
    })
    .optional(),
  outputs: z.record(z.string(), z.looseObject(digest)),
});

/** @throws InputMissingError, FormatError */
export function readLockFile(file: string): Promise<Lock> {
  return readConfig(file, lockSchema, (raw) => raw as unknown as Lock);
}

/** The package's lock, or undefined when it has none. @throws FormatError when it cannot be read. */
export async function readLock(folder: string): Promise<Lock | undefined> {
  return readLockFile(join(folder, LOCK_FILE)).catch((error: unknown) => {
    if (error instanceof InputMissingError) return undefined;
    throw error;
  });
}

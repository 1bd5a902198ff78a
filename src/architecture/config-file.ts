/** Reads a config.json of a diffusers folder through a schema; every complaint names the file and the field. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { FormatError, InputMissingError } from '../errors.ts';

/** config.json files are a few KB; one of more than 1 MB is something else. */
const MAX_CONFIG_BYTES = 1 << 20;

/** A width, a count: SD1.5's largest is 49408; beyond a million a config could make us build tables without end. */
export const positive = z
  .number()
  .int()
  .positive()
  .max(1 << 20);
/** Layers of a kind: SD1.5 has 2 or 12. */
export const layerCount = z.number().int().positive().max(64);

/**
 * Parses `file` with `schema` and lets `resolve` turn it into what the caller needs; `refuse` ends with a FormatError.
 * @throws InputMissingError, FormatError
 */
export async function readConfig<Schema extends z.ZodType, Result>(
  file: string,
  schema: Schema,
  resolve: (raw: z.output<Schema>, refuse: (reason: string) => never) => Result,
): Promise<Result> {
  const refuse = (reason: string): never => {
    throw new FormatError(`${file}: ${reason}.`, { file });
  };
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT')
      throw new InputMissingError(`${file} is missing; a diffusers folder has one.`, { file });
    throw new FormatError(`${file} cannot be read: ${error.message}.`, { file }, { cause: error });
  });
  if (bytes.length > MAX_CONFIG_BYTES) refuse(`the file has ${bytes.length} bytes; a config.json has a few thousand`);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    refuse(`not valid JSON (${error instanceof Error ? error.message : error})`);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    refuse(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the whole'}: ${issue.message}`).join('; '));
  }
  return resolve(parsed.data as z.output<Schema>, refuse);
}

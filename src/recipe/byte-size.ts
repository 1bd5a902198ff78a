/** A number of bytes as people write it: 2000000000, 2GB or 1.8 GiB. */
import { z } from 'zod';

/** Powers of 1000 and of 1024, as IEC 80000-13 names them. */
const UNITS = { kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const;

const WITH_UNIT = new RegExp(`^(\\d+(?:\\.\\d+)?) ?(${Object.keys(UNITS).join('|')})$`);

const ERROR = 'must be a number of bytes, or one with a unit (kB, MB, GB, KiB, MiB, GiB), such as 1800MB';

/** Its output is a whole number of at least 1. */
export function byteSize() {
  const text = z
    .string()
    .regex(WITH_UNIT, { error: ERROR })
    .transform((size) => {
      const [, number, unit] = WITH_UNIT.exec(size) ?? [];
      return Math.floor(Number(number) * UNITS[unit as keyof typeof UNITS]);
    })
    .refine((bytes) => bytes >= 1 && Number.isSafeInteger(bytes), { error: ERROR });
  return z.union([z.int().min(1), text]);
}

import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { complaint } from '../../src/text/complaint.ts';

describe('complaint', () => {
  it.each([
    [z.number(), 'x', 'must be a number, but the text "x" was found'],
    [z.number(), Number.NaN, 'must be a finite number, but NaN was found'],
    [z.int(), 1.5, 'must be a whole number, but 1.5 was found'],
    [z.boolean(), 1, 'must be true or false, but 1 was found'],
    [z.object({}), null, 'must be a mapping, but nothing was found'],
    [z.array(z.number()), {}, 'must be a list, but a mapping was found'],
    [z.array(z.number()).min(2), [1], 'must have at least 2 entries'],
    [z.array(z.number()).max(1), [1, 2], 'must have at most 1 entries'],
    [z.string().min(1), '', 'must not be empty'],
    [z.number().gt(0), 0, 'must be more than 0, but 0 was found'],
    [z.number().lt(1), 1, 'must be less than 1, but 1 was found'],
    [z.number().max(64), 65, 'must be at most 64, but 65 was found'],
    [z.literal(1), 2, 'must be 1, but 2 was found'],
    [z.enum(['a', 'b']), 'c', 'must be "a" or "b", but the text "c" was found'],
    [z.union([z.string(), z.object({})]), 5, 'must be text or a mapping, but 5 was found'],
    [z.number().multipleOf(8), 9, 'must be a multiple of 8, but 9 was found'],
  ])('of %#', (schema, value, sentence) => {
    const { error } = schema.safeParse(value, { reportInput: true });
    expect(complaint(error?.issues[0] as z.core.$ZodIssue)).toBe(sentence);
  });
});

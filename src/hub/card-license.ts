/**
 * The licence that a repository's card states, as the model API tells it: `license` in the card's metadata, with `license_name` and `license_link` where
 * that is `other` (huggingface.co/docs/hub/model-cards), else the tag `license:…`. Anybody writes cards: what is no licence is none.
 */
import { z } from 'zod';

/** What people write into a field for names, and no more. */
const [MAX_NAME, MAX_LINK] = [128, 2048];

const name = z
  .string()
  .trim()
  .min(1)
  .max(MAX_NAME)
  .regex(/^\P{Cc}*$/u);

/** An identifier of the Hub; or a name of its own, with a link. */
export const cardLicense = z.union([
  name,
  z.object({
    name,
    link: z
      .url({ protocol: /^https?$/ })
      .max(MAX_LINK)
      .exactOptional(),
  }),
]);
export type CardLicense = z.output<typeof cardLicense>;

const optional = <Schema extends z.ZodType>(schema: Schema) => schema.optional().catch(undefined);
const answer = z.object({
  cardData: optional(
    z.object({
      license: optional(z.union([name, z.array(name).min(1)])),
      license_name: optional(name),
      license_link: optional(z.string().trim().min(1).max(MAX_LINK)),
    }),
  ),
  tags: optional(z.array(z.string())),
});

/** `files` is where the repository's files can be read: what a link to one of them is relative to. Undefined where none is stated. */
export function readCardLicense(info: unknown, files: string): CardLicense | undefined {
  const { cardData = {}, tags = [] } = answer.safeParse(info).data ?? {};
  const tag = tags.find((one) => one.startsWith('license:'))?.slice('license:'.length);
  const { license = tag } = cardData;
  if (license === undefined) return undefined;
  if (license !== 'other') return cardLicense.safeParse(Array.isArray(license) ? license.join(', ') : license).data;
  const link = cardData.license_link === undefined ? undefined : URL.parse(cardData.license_link, files)?.href;
  const stated = { name: cardData.license_name, ...(link !== undefined && { link }) };
  return cardLicense.safeParse(stated).data ?? cardLicense.safeParse({ name: cardData.license_name }).data;
}

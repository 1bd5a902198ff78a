/**
 * Licences of weights: what those that are met on the Hub demand of whoever passes a merge on, and what several come to together.
 * Identifiers are the Hub's (huggingface.co/docs/hub/repositories-licenses), which for most are SPDX' in lower case. What each demands is read off
 * its text: Creative Commons' by their names (creativecommons.org/licenses), the RAIL family by the paragraph on use-based restrictions that must be
 * passed on (CreativeML Open RAIL-M §4 and §5, Open RAIL++-M, BigScience OpenRAIL-M), the GNU, MPL, EUPL, OSL and ODbL licences by their
 * paragraphs on the licence of derived works. It is a help to read them, not legal advice.
 */

/** What a licence demands of a merge that is passed on. */
export const DEMANDS = {
  attribution: 'keep the notices and name the authors',
  'use restrictions': 'pass its restrictions of use on, in an agreement with whoever gets the model',
  'share-alike': 'give the whole under the same licence',
  'non-commercial': 'no commercial use',
  'no derivatives': 'nothing that was made of it may be passed on',
} as const;
export type Demand = keyof typeof DEMANDS;

/** From the mildest to the strictest; of two that demand the same the later one is stated. */
const TERMS: Readonly<Record<string, readonly Demand[]>> = {
  'cc0-1.0': [],
  pddl: [],
  unlicense: [],
  wtfpl: [],
  mit: ['attribution'],
  isc: ['attribution'],
  zlib: ['attribution'],
  'bsl-1.0': ['attribution'],
  'bsd-2-clause': ['attribution'],
  'bsd-3-clause': ['attribution'],
  'bsd-3-clause-clear': ['attribution'],
  'cdla-permissive-1.0': ['attribution'],
  'cdla-permissive-2.0': ['attribution'],
  'odc-by': ['attribution'],
  'cc-by-2.0': ['attribution'],
  'cc-by-2.5': ['attribution'],
  'cc-by-3.0': ['attribution'],
  'cc-by-4.0': ['attribution'],
  'apache-2.0': ['attribution'],
  'afl-3.0': ['attribution'],
  openrail: ['attribution', 'use restrictions'],
  'openrail++': ['attribution', 'use restrictions'],
  'bigscience-openrail-m': ['attribution', 'use restrictions'],
  'bigcode-openrail-m': ['attribution', 'use restrictions'],
  'bigscience-bloom-rail-1.0': ['attribution', 'use restrictions'],
  'creativeml-openrail-m': ['attribution', 'use restrictions'],
  'mpl-2.0': ['attribution', 'share-alike'],
  'lgpl-3.0': ['attribution', 'share-alike'],
  'eupl-1.1': ['attribution', 'share-alike'],
  'osl-3.0': ['attribution', 'share-alike'],
  odbl: ['attribution', 'share-alike'],
  'cdla-sharing-1.0': ['attribution', 'share-alike'],
  'cc-by-sa-3.0': ['attribution', 'share-alike'],
  'cc-by-sa-4.0': ['attribution', 'share-alike'],
  'gpl-2.0': ['attribution', 'share-alike'],
  'gpl-3.0': ['attribution', 'share-alike'],
  'agpl-3.0': ['attribution', 'share-alike'],
  'cc-by-nc-2.0': ['attribution', 'non-commercial'],
  'cc-by-nc-3.0': ['attribution', 'non-commercial'],
  'cc-by-nc-4.0': ['attribution', 'non-commercial'],
  'cc-by-nc-sa-2.0': ['attribution', 'share-alike', 'non-commercial'],
  'cc-by-nc-sa-3.0': ['attribution', 'share-alike', 'non-commercial'],
  'cc-by-nc-sa-4.0': ['attribution', 'share-alike', 'non-commercial'],
  'cc-by-nd-4.0': ['attribution', 'no derivatives'],
  'cc-by-nc-nd-3.0': ['attribution', 'non-commercial', 'no derivatives'],
  'cc-by-nc-nd-4.0': ['attribution', 'non-commercial', 'no derivatives'],
};
const RANKS = Object.keys(TERMS);

/** Of a name, what is left without case, spaces and punctuation: "CreativeML Open RAIL-M" is creativeml-openrail-m. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9+]/g, '');
const BY_PLAIN_NAME: ReadonlyMap<string, string> = new Map([
  ...RANKS.map((id) => [plain(id), id] as const),
  ...(
    [
      ['apache license 2.0', 'apache-2.0'],
      ['apache license, version 2.0', 'apache-2.0'],
      ['mit license', 'mit'],
      ['cc0', 'cc0-1.0'],
      ['open rail++-m', 'openrail++'],
      ['creativeml open rail++-m', 'openrail++'],
      ['gpl-2.0-only', 'gpl-2.0'],
      ['gpl-2.0-or-later', 'gpl-2.0'],
      ['gpl-3.0-only', 'gpl-3.0'],
      ['gpl-3.0-or-later', 'gpl-3.0'],
      ['agpl-3.0-only', 'agpl-3.0'],
      ['agpl-3.0-or-later', 'agpl-3.0'],
      ['lgpl-3.0-only', 'lgpl-3.0'],
      ['lgpl-3.0-or-later', 'lgpl-3.0'],
    ] as const
  ).map(([name, id]) => [plain(name), id] as const),
]);

/** A licence as a recipe, a repository or a file states it. */
export type StatedLicense = string | { readonly name: string; readonly link?: string | undefined };

/** Where it was found. */
export const LICENSE_SOURCES = ['recipe', 'hub', 'file'] as const;

/** As a lock has it. `license` is an identifier of the table above, or else the name as it was stated, whose terms are not known. */
export interface License {
  readonly license: string;
  readonly link?: string;
  readonly from: (typeof LICENSE_SOURCES)[number];
}

/** By the field that names the source (`base.model`, `personalized[0].lora`); those without a known licence are left out. */
export type SourceLicenses = Readonly<Record<string, License>>;

/** Undefined where it states none: the Hub's `unknown`, and `other` without a name. */
export function readLicense(stated: StatedLicense | undefined, from: License['from']): License | undefined {
  const { name, link } = typeof stated === 'string' ? { name: stated } : (stated ?? {});
  const told = name?.trim() ?? '';
  if (/^(unknown|other|none|)$/i.test(told)) return undefined;
  const license = BY_PLAIN_NAME.get(plain(told)) ?? told;
  return { license, ...(link !== undefined && { link }), from };
}

/** What it demands; undefined where that is not known. */
export function demandsOf(license: string): readonly Demand[] | undefined {
  return Object.hasOwn(TERMS, license) ? TERMS[license] : undefined;
}

/** What the licences of all sources come to. */
export interface LicenseSum {
  /** The one that demands all that the others do; undefined where there is none, or a licence or its terms are not known. */
  readonly strictest: string | undefined;
  /** Each once, as they were met. */
  readonly licenses: readonly string[];
  readonly demands: readonly Demand[];
  /** Sources without one. */
  readonly unknown: readonly string[];
  /** Licences whose terms are not known. */
  readonly unread: readonly string[];
  /** Sentences on what cannot go together. */
  readonly conflicts: readonly string[];
}

/** Of all `sources`; those without an entry in `found` have no known licence. */
export function sumLicenses(sources: readonly { readonly field: string }[], found: SourceLicenses): LicenseSum {
  const fields = sources.map(({ field }) => field);
  const licenses = [...new Set(fields.flatMap((field) => found[field]?.license ?? []))];
  const unknown = fields.filter((field) => !found[field]);
  const unread = licenses.filter((license) => !demandsOf(license));
  const known = licenses.filter((license) => demandsOf(license));
  const all = new Set(known.flatMap((license) => demandsOf(license) ?? []));
  const covering = known
    .filter((license) => all.isSubsetOf(new Set(demandsOf(license))))
    .sort((a, b) => RANKS.indexOf(b) - RANKS.indexOf(a));
  const strictest = licenses.length === 1 ? licenses[0] : unread.length === 0 ? covering[0] : undefined;
  return {
    strictest: unknown.length === 0 ? strictest : undefined,
    licenses,
    demands: (Object.keys(DEMANDS) as Demand[]).filter((demand) => all.has(demand)),
    unknown,
    unread,
    conflicts: conflictsAmong(known),
  };
}

function conflictsAmong(licenses: readonly string[]): string[] {
  const demands = (license: string, demand: Demand) => demandsOf(license)?.includes(demand) === true;
  const forbidding = licenses.filter((license) => demands(license, 'no derivatives'));
  const alike = licenses.filter((license) => demands(license, 'share-alike'));
  const beyond = (['use restrictions', 'non-commercial'] as const).flatMap((demand) =>
    licenses
      .filter((other) => demands(other, demand))
      .flatMap((other) =>
        alike
          .filter((license) => license !== other && !demands(license, demand))
          .map(
            (license) =>
              `${license} wants the whole under its own terms, and ${other} adds ${demand === 'non-commercial' ? 'that it is not used commercially' : 'restrictions of use'}: both cannot be kept.`,
          ),
      ),
  );
  return [
    ...forbidding.map(
      (license) => `${license} does not let anything that is made of it be passed on, and a merge is that.`,
    ),
    ...beyond,
    ...(alike.length > 1
      ? [
          `${new Intl.ListFormat('en-GB').format(alike)} each want the whole under their own terms; whether one lets the other, their texts say.`,
        ]
      : []),
  ];
}

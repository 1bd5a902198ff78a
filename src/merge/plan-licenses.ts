/**
 * The licence of every source: what the recipe says of it, else what the Hub says of its repository at that commit, else what the file says of itself
 * (`modelspec.license` of the Model Spec, github.com/Stability-AI/ModelSpec). Nothing is guessed: what is found nowhere is unknown, and warned of.
 */
import { type License, readLicense, type SourceLicenses, sumLicenses } from '../recipe/licenses.ts';
import type { Recipe } from '../recipe/schema.ts';
import { fieldOfRole, sourceFields } from '../recipe/sources.ts';
import { printable } from '../text/quote.ts';
import type { PlannedFile } from './plan-files.ts';

export function findLicenses(recipe: Recipe, files: readonly Pick<PlannedFile, 'role' | 'license'>[]): SourceLicenses {
  const ofFiles = Map.groupBy(files, ({ role }) => fieldOfRole(role, recipe));
  const found: Record<string, License> = {};
  for (const { field, stated } of sourceFields(recipe)) {
    const inFile = ofFiles.get(field)?.find(({ license }) => license !== undefined)?.license;
    const license =
      readLicense(stated, 'recipe') ??
      readLicense(recipe.origins?.[field]?.license, 'hub') ??
      readLicense(inFile, 'file');
    if (license) found[field] = license;
  }
  return found;
}

/** What is not known or does not go together, in sentences. */
export function licenseWarnings(recipe: Recipe, licenses: SourceLicenses): readonly string[] {
  const { unknown, unread, conflicts } = sumLicenses(sourceFields(recipe), licenses);
  const list = (names: readonly string[]) => new Intl.ListFormat('en-GB').format(names.map((name) => printable(name)));
  return [
    ...(unknown.length > 0
      ? [
          `The licence of ${list(unknown)} is not known, and the model card will say so. The key license of a source tells it.`,
        ]
      : []),
    ...(unread.length > 0
      ? [`What the licence ${list(unread)} demands is not known here. Read it before you pass the model on.`]
      : []),
    ...conflicts,
  ];
}

import { describe, expect, it } from 'vitest';
import { demandsOf, readLicense, sumLicenses } from '../../src/recipe/licenses.ts';

describe('a licence as it is stated', () => {
  it.each([
    ['Apache-2.0', 'apache-2.0'],
    ['CC-BY-NC-4.0', 'cc-by-nc-4.0'],
    ['CreativeML Open RAIL-M', 'creativeml-openrail-m'],
    ['CreativeML Open RAIL++-M', 'openrail++'],
    ['openrail++', 'openrail++'],
    ['openrail', 'openrail'],
    ['GPL-3.0-or-later', 'gpl-3.0'],
    ['my licence', 'my licence'],
    ['constructor', 'constructor'],
  ])('%s is %s', (stated, license) => {
    expect(readLicense(stated, 'file')).toEqual({ license, from: 'file' });
  });

  it.each(['unknown', 'Other', ' ', undefined])('%s is none', (stated) => {
    expect(readLicense(stated, 'hub')).toBeUndefined();
  });

  it('keeps its link; terms of a name that is not listed are not known', () => {
    const link = 'https://example.com/l';
    expect(readLicense({ name: 'Mine', link }, 'recipe')).toEqual({ license: 'Mine', link, from: 'recipe' });
    expect(demandsOf('Mine')).toBeUndefined();
    expect(demandsOf('constructor')).toBeUndefined();
  });
});

describe('what licences come to', () => {
  const sum = (...stated: (string | undefined)[]) => {
    const sources = stated.map((_, i) => ({ field: `s${i}` }));
    const found = Object.fromEntries(
      stated.flatMap((license, i) => {
        const read = readLicense(license, 'recipe');
        return read ? [[`s${i}`, read]] : [];
      }),
    );
    return sumLicenses(sources, found);
  };

  it.each([
    [['cc0-1.0'], 'cc0-1.0'],
    [['mit', 'apache-2.0', 'mit'], 'apache-2.0'],
    [['creativeml-openrail-m', 'apache-2.0', 'cc0-1.0'], 'creativeml-openrail-m'],
    [['cc-by-4.0', 'cc-by-nc-sa-4.0', 'cc-by-nc-4.0'], 'cc-by-nc-sa-4.0'],
    [['cc-by-nc-4.0', 'creativeml-openrail-m'], undefined], // neither demands all
    [['mit', 'Mine'], undefined],
    [['Mine', 'Mine'], 'Mine'],
    [['mit', undefined], undefined],
  ])('the strictest of %j is %s', (stated, strictest) => {
    expect(sum(...stated).strictest).toBe(strictest);
  });

  it('names every demand, in the order of the table, and what is not known', () => {
    expect(sum('cc-by-nc-4.0', 'creativeml-openrail-m', 'Mine', undefined)).toEqual({
      strictest: undefined,
      licenses: ['cc-by-nc-4.0', 'creativeml-openrail-m', 'Mine'],
      demands: ['attribution', 'use restrictions', 'non-commercial'],
      unknown: ['s3'],
      unread: ['Mine'],
      conflicts: [],
    });
  });

  it.each([
    [['cc-by-nd-4.0', 'mit'], [/^cc-by-nd-4\.0 does not let/]],
    [
      ['gpl-3.0', 'creativeml-openrail-m'],
      [/^gpl-3\.0 wants the whole .* creativeml-openrail-m adds restrictions of use/],
    ],
    [['cc-by-sa-4.0', 'cc-by-nc-4.0'], [/cc-by-nc-4\.0 adds that it is not used commercially/]],
    [['cc-by-sa-4.0', 'gpl-3.0'], [/^cc-by-sa-4\.0 and gpl-3\.0 each want/]],
    [['cc-by-nc-sa-4.0', 'cc-by-nc-4.0', 'cc0-1.0'], []],
    [['creativeml-openrail-m', 'apache-2.0', 'mit'], []],
  ])('%j: conflicts', (stated, conflicts) => {
    expect(sum(...stated).conflicts).toEqual(conflicts.map((conflict) => expect.stringMatching(conflict)));
  });
});

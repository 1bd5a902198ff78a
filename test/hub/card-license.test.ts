import { describe, expect, it } from 'vitest';
import { readCardLicense } from '../../src/hub/card-license.ts';

const FILES = 'https://huggingface.co/o/r/blob/0123/';

describe('the licence of a repository', () => {
  it.each([
    [{ cardData: { license: 'creativeml-openrail-m' }, tags: ['license:mit'] }, 'creativeml-openrail-m'],
    [{ tags: ['x', 'license:apache-2.0'] }, 'apache-2.0'],
    [{ cardData: { license: ['mit', 'apache-2.0'] } }, 'mit, apache-2.0'],
    [
      { cardData: { license: 'other', license_name: 'mine', license_link: 'LICENSE.md' } },
      { name: 'mine', link: `${FILES}LICENSE.md` },
    ],
    [
      { cardData: { license: 'other', license_name: 'mine', license_link: 'https://example.com/l' } },
      { name: 'mine', link: 'https://example.com/l' },
    ],
    [{ cardData: { license: 'other', license_name: 'mine', license_link: 'javascript:alert(1)' } }, { name: 'mine' }],
    [{ cardData: { license: 'other' }, tags: ['license:other'] }, undefined],
    [{ cardData: { license: 5 }, tags: 'license:mit' }, undefined],
    [{ cardData: { license: 'a\nb' } }, undefined],
    [{ cardData: { license: 'x'.repeat(129) } }, undefined],
    [{ cardData: null }, undefined],
    [null, undefined],
  ])('%j: %j', (info, license) => {
    expect(readCardLicense(info, FILES)).toEqual(license);
  });
});

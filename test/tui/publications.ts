/** What would be published, as the terminal UI is told. */
import type { Publication } from '../../src/publish/preview.ts';

export function publicationOf(changes: Partial<Publication> = {}): Publication {
  return {
    folder: '/work/out/ink',
    to: '/srv/ink',
    verdict: 'passed',
    verifiedAt: new Date(2026, 10, 25, 21, 46).getTime(),
    files: [
      { name: 'README.md', bytes: 1130, sha256: '64e0b132fdc4dd080bbfa6dd83da79b34e4c5e380669f3ccbb9401a96b9af735' },
      {
        name: 'unet/model.onnx_data',
        bytes: 19_298_870,
        sha256: '20807ab160ab64e0b132fdc4dd080bbfa6dd83da79b34e4c5e380669f3ccbb94',
      },
    ],
    bytes: 19_300_000,
    target: { place: '/srv/ink', free: 58_300_000_000 },
    refusals: [],
    ...changes,
  };
}

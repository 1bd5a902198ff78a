import { describe, expect, it } from 'vitest';
import { artifactManifest, filesOfManifest } from '../../src/oci/artifact.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const NAMES = [
  'README.md',
  'lcm-merge.lock.json',
  'unet/model.onnx',
  'unet/model.onnx_data',
  'unet/model.onnx_data_1',
  'unet/config.json',
  'verification/report.json',
];
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const manifestOf = (...names: readonly string[]) =>
  artifactManifest(
    names.map((name, i) => ({ name, digest: DIGEST, bytes: i })),
    { digest: DIGEST, bytes: 2 },
  );
const read = (value: unknown) => filesOfManifest(encode(value), 'oci://r/a');

describe('a package as an artifact', () => {
  it('comes back file by file', () => {
    expect(read(manifestOf(...NAMES))).toEqual(NAMES.map((name, bytes) => ({ name, digest: DIGEST, bytes })));
  });

  it('tells what each file is', () => {
    const { layers } = manifestOf(...NAMES) as { layers: readonly { mediaType: string }[] };
    expect(layers.map(({ mediaType }) => mediaType.replace('application/vnd.cncf.model.', ''))).toEqual([
      'doc.v1.raw',
      'weight.config.v1.raw',
      'weight.v1.raw',
      'weight.v1.raw',
      'weight.v1.raw',
      'weight.config.v1.raw',
      'doc.v1.raw',
    ]);
  });

  it('refuses names that must not become paths', () => {
    expect(() => read(manifestOf('a', '../b'))).toThrow('holds "../b", which has ".." in its path');
  });

  it.each([
    ['no JSON', new TextEncoder().encode('{'), 'is not JSON'],
    ['no artifact', encode({ layers: 1 }), 'artifact with layers'],
    ['an image', encode({ ...manifestOf('a'), artifactType: undefined }), 'artifact type is "none"'],
    ['a digest that is none', encode({ ...manifestOf(), layers: [{ digest: 'sha256:../x', size: 1 }] }), 'with layers'],
    [
      'a layer without a name',
      encode({ ...manifestOf(), layers: [{ digest: DIGEST, size: 1 }] }),
      'has no org.cncf.model.filepath',
    ],
    ['one name twice', encode(manifestOf('a/B', 'A/b')), 'take for one file'],
    ['a file that is a folder', encode(manifestOf('a', 'a/b')), 'as a file and as a folder at once'],
  ])('refuses %s', (_, bytes, reason) => {
    expect(() => filesOfManifest(bytes, 'oci://r/a')).toThrow(reason);
  });
});

/**
 * A package as an OCI artifact: one layer for each file as it is, by the media types of the CNCF ModelPack specification (model-spec,
 * docs/spec.md and docs/config.md), named by its annotation. Equal packages make equal manifests: there is no time in them.
 */
import { z } from 'zod';
import { FormatError } from '../errors.ts';
import { wrongPaths } from '../text/safe-path.ts';
import { DIGEST } from './reference.ts';
import type { Blob } from './registry.ts';

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const ARTIFACT_TYPE = 'application/vnd.cncf.model.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.cncf.model.config.v1+json';
const FILE_PATH = 'org.cncf.model.filepath';

/** By the file's name in the package; the first that fits. */
const LAYER_TYPES: readonly (readonly [name: RegExp, mediaType: string])[] = [
  [/\.(onnx|safetensors)$|\.onnx_data(_\d+)?$/, 'application/vnd.cncf.model.weight.v1.raw'],
  [/^verification\/|\.(md|html|webp)$|^LICENSE/, 'application/vnd.cncf.model.doc.v1.raw'],
  [/./, 'application/vnd.cncf.model.weight.config.v1.raw'],
];

export interface ArtifactFile extends Blob {
  /** In the package, with forward slashes. */
  readonly name: string;
}

/** What is known of a package as a whole; of those of other tools nothing. */
export interface Described {
  readonly name: string;
  readonly dtype: 'fp16' | 'fp32';
}

/** What the registry keeps beside the layers. */
export function artifactConfig(files: readonly ArtifactFile[], described: Described | undefined): object {
  return {
    descriptor: described ? { name: described.name, family: 'animatelcm', title: described.name } : {},
    config: {
      architecture: 'unet',
      format: 'onnx',
      ...(described && { precision: PRECISIONS[described.dtype] }),
      capabilities: { inputTypes: ['text'], outputTypes: ['video'] },
    },
    modelfs: { type: 'layers', diffIds: files.map(({ digest }) => digest) },
  };
}

const PRECISIONS = { fp16: 'float16', fp32: 'float32' } as const;

export function artifactManifest(files: readonly ArtifactFile[], config: Blob): object {
  return {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    artifactType: ARTIFACT_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.bytes },
    layers: files.map(({ name, digest, bytes }) => ({
      mediaType: LAYER_TYPES.find(([pattern]) => pattern.test(name))?.[1],
      digest,
      size: bytes,
      annotations: { [FILE_PATH]: name },
    })),
  };
}

const blob = { digest: z.string().regex(DIGEST), size: z.int().min(0) };
const manifestSchema = z.looseObject({
  artifactType: z.string().optional(),
  layers: z.array(z.looseObject({ ...blob, annotations: z.record(z.string(), z.string()).optional() })),
});

/**
 * The files of an artifact. Names become paths, and are therefore checked here (text/safe-path.ts).
 * @throws FormatError
 */
export function filesOfManifest(bytes: Uint8Array, reference: string): readonly ArtifactFile[] {
  const fault = (reason: string) => new FormatError(`${reference} is no package that can be pulled: ${reason}.`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw fault('its manifest is not JSON');
  }
  const parsed = manifestSchema.safeParse(json);
  if (!parsed.success) throw fault('its manifest is not that of an artifact with layers');
  const { artifactType, layers } = parsed.data;
  if (artifactType !== ARTIFACT_TYPE)
    throw fault(`its artifact type is ${JSON.stringify(artifactType ?? 'none')}, and ${ARTIFACT_TYPE} is expected`);
  const files = layers.map(({ digest, size, annotations }) => {
    const name = annotations?.[FILE_PATH];
    if (name === undefined) throw fault(`the layer ${digest} has no ${FILE_PATH}, which says what file it is`);
    return { name, digest, bytes: size };
  });
  const wrong = wrongPaths(files.map(({ name }) => name));
  if (wrong !== undefined) throw fault(`it ${wrong}`);
  return files;
}

/** How graphs differ beyond the values of their weights: operators, opsets, boundary, and where a reader of the file would look first. */
import { join } from 'node:path';
import { readSmallFile } from '../../formats/byte-source.ts';
import { modelDifference } from '../../onnx/model-difference.ts';
import { MAX_PROTO_BYTES, readModelInfo, type TensorInfo } from '../../onnx/model-info.ts';
import type { FileComparison } from './files.ts';
import type { PackageFiles } from './package-files.ts';

export interface GraphDifference {
  readonly file: string;
  /** Nodes of each operator of which the two have different numbers. */
  readonly operators: readonly Changed<number>[];
  /** By domain, '' for ONNX's own. */
  readonly opsets: readonly Changed<number>[];
  /** Inputs and outputs of another type or shape: `FLOAT [1, 4, 16, 8, 8]`. */
  readonly boundary: readonly Changed<string>[];
  /** The first difference of all as the end of a sentence about the second; left out where only the tool's version differs. */
  readonly first?: string;
}

export interface Changed<Value> {
  readonly name: string;
  /** Left out where there is none. */
  readonly a?: Value;
  readonly b?: Value;
}

/** Of every graph that both packages have and whose file differs. @throws FormatError for one that cannot be read */
export async function graphDifferences(
  a: PackageFiles,
  b: PackageFiles,
  { altered }: Pick<FileComparison, 'altered'>,
): Promise<readonly GraphDifference[]> {
  const found: GraphDifference[] = [];
  for (const file of altered.filter((name) => name.endsWith('.onnx'))) {
    const paths = [join(a.folder, file), join(b.folder, file)] as const;
    const [own, other] = [await readModelInfo(paths[0]), await readModelInfo(paths[1])];
    const [x, y] = [await readSmallFile(paths[0], MAX_PROTO_BYTES), await readSmallFile(paths[1], MAX_PROTO_BYTES)];
    const first = modelDifference(y, x);
    const boundary = [
      ...changes(sideOf(own.inputs), sideOf(other.inputs)),
      ...changes(sideOf(own.outputs), sideOf(other.outputs)),
    ];
    found.push({
      file,
      operators: changes(own.operators, other.operators),
      opsets: changes(own.opsets, other.opsets),
      boundary,
      ...(first !== undefined && { first }),
    });
  }
  return found;
}

const sideOf = (tensors: readonly TensorInfo[]): Readonly<Record<string, string>> =>
  Object.fromEntries(tensors.map(({ name, type, shape }) => [name, `${type} [${shape.join(', ')}]`]));

function changes<Value>(a: Readonly<Record<string, Value>>, b: Readonly<Record<string, Value>>): Changed<Value>[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .map((name) => ({
      name,
      ...(Object.hasOwn(a, name) && { a: a[name] as Value }),
      ...(Object.hasOwn(b, name) && { b: b[name] as Value }),
    }))
    .filter((change) => change.a !== change.b);
}

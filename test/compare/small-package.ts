/** Packages of a few tensors, written by hand: what a comparison looks at and nothing else. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import onnxProto from 'onnx-proto';
import { temporaryFolder } from '../helpers/temporary.ts';

const { onnx } = onnxProto;

type Numbers = Float16Array | Float32Array | Float64Array | Int8Array;

export interface SmallTensor {
  readonly shape: readonly number[];
  readonly values: Numbers;
}

export interface SmallPackage {
  /** By component, then by name. A Float16Array is stored as FLOAT16 and so on. */
  readonly weights: Readonly<Record<string, Readonly<Record<string, SmallTensor>>>>;
  /** More files by name; objects become JSON. */
  readonly files?: Readonly<Record<string, object | string>>;
  /** Operators of every graph, by which graphs of the same weights differ. */
  readonly operators?: readonly string[];
  /** Where the first component's weights are said to lie. */
  readonly location?: string;
  readonly opset?: number;
}

const typeOf = (values: Numbers): number =>
  onnx.TensorProto.DataType[
    values instanceof Float16Array
      ? 'FLOAT16'
      : values instanceof Float32Array
        ? 'FLOAT'
        : values instanceof Int8Array
          ? 'INT8'
          : 'DOUBLE'
  ];

export const tensor = (...numbers: readonly number[]): SmallTensor => ({
  shape: [numbers.length],
  values: Float16Array.from(numbers),
});

export async function smallPackage({
  weights,
  files = {},
  operators = [],
  location = 'model.onnx_data',
  opset = 20,
}: SmallPackage): Promise<string> {
  const folder = join(await temporaryFolder(), 'package');
  const put = async (name: string, content: Uint8Array | string) => {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  };
  for (const [component, tensors] of Object.entries(weights)) {
    let offset = 0;
    const initializer = Object.entries(tensors).map(([name, { shape, values }]) => {
      const external = { location, offset: String(offset), length: String(values.byteLength) };
      offset += values.byteLength;
      const externalData = Object.entries(external).map(([key, value]) => ({ key, value }));
      return { name, dims: [...shape], dataType: typeOf(values), dataLocation: 1, externalData };
    });
    const node = operators.map((opType, i) => ({ name: `${opType}_${i}`, opType, input: ['x'], output: [`y${i}`] }));
    const model = {
      irVersion: 10,
      producerName: 'test',
      opsetImport: [{ domain: '', version: opset }],
      graph: { name: component, node, initializer },
    };
    await put(`${component}/model.onnx`, onnx.ModelProto.encode(onnx.ModelProto.create(model)).finish());
    const bytes = Object.values(tensors).map(({ values }) =>
      Buffer.from(values.buffer, values.byteOffset, values.byteLength),
    );
    await put(`${component}/model.onnx_data`, Buffer.concat(bytes));
  }
  for (const [name, content] of Object.entries(files))
    await put(name, typeof content === 'string' ? content : JSON.stringify(content));
  return folder;
}

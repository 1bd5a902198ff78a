import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const { onnx } = onnxProto;

async function file(content: Uint8Array | string): Promise<string> {
  const path = join(await temporaryFolder(), 'model.onnx');
  await writeFile(path, content);
  return path;
}

/** As other exporters write it: weights also listed as inputs, small ones inside, two operator sets. */
const FOREIGN = onnx.ModelProto.encode({
  irVersion: 3,
  producerName: 'pytorch',
  opsetImport: [
    { domain: '', version: 17 },
    { domain: 'com.microsoft', version: 1 },
  ],
  graph: {
    node: [
      { opType: 'Add', input: ['x', 'w'], output: ['h'] },
      { opType: 'Add', input: ['h', 'w'], output: ['i'] },
      {
        name: 'last',
        opType: 'FusedGelu',
        domain: 'com.microsoft',
        input: ['i'],
        output: ['y'],
        attribute: [
          { name: 'count', type: 2, i: 3 },
          { name: 'zero', type: 2 },
          { name: 'epsilon', type: 1, f: 0.5 },
          { name: 'mode', type: 3, s: new TextEncoder().encode('nearest') },
          { name: 'pads', type: 7, ints: [0, 1] },
          { name: 'value', type: 4, t: { dataType: 1, dims: [1], rawData: new Uint8Array(4) } },
        ],
      },
    ],
    input: [
      { name: 'x', type: { tensorType: { elemType: 10, shape: { dim: [{ dimParam: 'n' }, { dimValue: 3 }] } } } },
      { name: 'w' },
    ],
    valueInfo: [
      { name: 'h', type: { tensorType: { elemType: 10, shape: { dim: [{ dimParam: 'n' }, {}] } } } },
      { name: 'i', type: { tensorType: { elemType: 10 } } },
    ],
    output: [{ name: 'y' }],
    initializer: [{ name: 'w', dataType: 1, dims: [3], rawData: new Uint8Array(12) }],
  },
}).finish();

describe('readModelInfo', () => {
  it('reads models of other tools', async () => {
    expect(await readModelInfo(await file(FOREIGN))).toEqual({
      irVersion: 3,
      producer: 'pytorch',
      opsets: { '': 17, 'com.microsoft': 1 },
      inputs: [{ name: 'x', type: 'FLOAT16', shape: ['n', 3] }],
      outputs: [{ name: 'y', type: 'UNDEFINED', shape: [] }],
      operators: { Add: 2, 'com.microsoft:FusedGelu': 1 },
      nodes: [
        { name: '', opType: 'Add', domain: '', inputs: ['x', 'w'], outputs: ['h'], attributes: {} },
        { name: '', opType: 'Add', domain: '', inputs: ['h', 'w'], outputs: ['i'], attributes: {} },
        {
          name: 'last',
          opType: 'FusedGelu',
          domain: 'com.microsoft',
          inputs: ['i'],
          outputs: ['y'],
          attributes: { count: 3, zero: 0, epsilon: 0.5, mode: 'nearest', pads: [0, 1] },
        },
      ],
      // a length that is neither said nor named; a value of which the shape is not known
      values: [{ name: 'h', type: 'FLOAT16', shape: ['n', '?'] }],
      initializers: [{ name: 'w', type: 'FLOAT', shape: [3] }],
      metadata: {},
    });
  });

  it('says when there is no such file', async () => {
    const missing = join(await temporaryFolder(), 'model.onnx');
    await expect(readModelInfo(missing)).rejects.toThrow(InputMissingError);
    await expect(readModelInfo(missing)).rejects.toThrow(`${missing}: there is no such file`);
  });

  it.each([
    ['an empty file', new Uint8Array()],
    ['a truncated model', FOREIGN.subarray(0, FOREIGN.length - 40)],
    ['a web page', '<!DOCTYPE html><html><body>Not found</body></html>'],
    ['bytes that are no protobuf', new Uint8Array(64).fill(0xff)],
    ['a protobuf without a graph', onnx.ModelProto.encode({ irVersion: 10, producerName: 'x' }).finish()],
  ])('refuses %s by the file’s name', async (_, content) => {
    const path = await file(content);
    const error = await readModelInfo(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toMatch(/model\.onnx is not a readable ONNX model: ./);
    expect((error as FormatError).place).toEqual({ file: path });
  });
});

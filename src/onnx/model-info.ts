/** What a model.onnx says of itself: inputs, outputs, opsets, operators, initializers. Reads the proto only, never the weights. */
import onnxProto from 'onnx-proto';
import { FormatError } from '../errors.ts';
import { readSmallFile } from '../formats/byte-source.ts';

const { onnx } = onnxProto;

/** What protobuf allows in one message; ours are a few MB, because weights lie in files beside them. */
export const MAX_PROTO_BYTES = 2 ** 31 - 1;

export interface TensorInfo {
  readonly name: string;
  /** ONNX name of the element type: FLOAT, FLOAT16, INT64 … */
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

export interface InitializerInfo extends TensorInfo {
  readonly shape: readonly number[];
  /** Present for external data. */
  readonly external?: { readonly location: string; readonly offset: number; readonly length: number };
}

/** A node as the file has it; attributes of other kinds than numbers, texts and lists of whole numbers are left out. */
export interface NodeInfo {
  readonly name: string;
  readonly opType: string;
  /** '' for ONNX's own. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, number | string | readonly number[]>>;
}

export interface ModelInfo {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: Readonly<Record<string, number>>;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** How many nodes of each operator, by `domain:OpType` (default domain without prefix). */
  readonly operators: Readonly<Record<string, number>>;
  /** In the order in which they may run. */
  readonly nodes: readonly NodeInfo[];
  /** Type and shape of what nodes make, as far as the file tells. */
  readonly values: readonly TensorInfo[];
  readonly initializers: readonly InitializerInfo[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** @throws InputMissingError when there is no such file; FormatError when it is no ONNX model. */
export async function readModelInfo(path: string): Promise<ModelInfo> {
  const bytes = await readSmallFile(path, MAX_PROTO_BYTES);
  try {
    return describe(onnx.ModelProto.decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`${path} is not a readable ONNX model: ${reason}.`, { file: path }, { cause: error });
  }
}

function describe(model: InstanceType<typeof onnx.ModelProto>): ModelInfo {
  const graph = model.graph;
  if (!graph) throw new FormatError('it carries no graph');
  const nodes = (graph.node ?? []).map(nodeInfo);
  const operators: Record<string, number> = {};
  for (const node of nodes) operators[operatorName(node)] = (operators[operatorName(node)] ?? 0) + 1;
  const isWeight = new Set((graph.initializer ?? []).map((tensor) => tensor.name));
  return {
    irVersion: Number(model.irVersion),
    producer: `${model.producerName} ${model.producerVersion}`.trim(),
    opsets: Object.fromEntries((model.opsetImport ?? []).map((o) => [o.domain ?? '', Number(o.version)])),
    inputs: (graph.input ?? []).filter((value) => !isWeight.has(value.name)).map(tensorInfo),
    outputs: (graph.output ?? []).map(tensorInfo),
    operators,
    nodes,
    values: (graph.valueInfo ?? []).filter((value) => value.type?.tensorType?.shape).map(tensorInfo),
    initializers: (graph.initializer ?? []).map((tensor) => {
      const entries = new Map((tensor.externalData ?? []).map((entry) => [entry.key, entry.value ?? '']));
      const location = entries.get('location');
      return {
        name: tensor.name ?? '',
        type: onnx.TensorProto.DataType[tensor.dataType ?? 0] ?? String(tensor.dataType),
        shape: (tensor.dims ?? []).map(Number),
        ...(location === undefined
          ? {}
          : {
              external: {
                location,
                offset: Number(entries.get('offset') ?? 0),
                length: Number(entries.get('length') ?? 0),
              },
            }),
      };
    }),
    metadata: Object.fromEntries((model.metadataProps ?? []).map((p) => [p.key ?? '', p.value ?? ''])),
  };
}

/** `domain:OpType`, without the prefix for ONNX's own. */
export function operatorName({ domain, opType }: { readonly domain?: string; readonly opType: string }): string {
  return domain ? `${domain}:${opType}` : opType;
}

interface AttributeLike {
  readonly name?: string | null;
  readonly type?: number | null;
  readonly i?: unknown;
  readonly f?: number | null;
  readonly s?: Uint8Array | null;
  readonly ints?: readonly unknown[] | null;
}

interface NodeLike {
  readonly name?: string | null;
  readonly opType?: string | null;
  readonly domain?: string | null;
  readonly input?: readonly string[] | null;
  readonly output?: readonly string[] | null;
  readonly attribute?: readonly AttributeLike[] | null;
}

function nodeInfo({ name, opType, domain, input, output, attribute }: NodeLike): NodeInfo {
  return {
    name: name ?? '',
    opType: opType ?? '',
    domain: domain === 'ai.onnx' ? '' : (domain ?? ''),
    inputs: input ?? [],
    outputs: output ?? [],
    attributes: Object.fromEntries(
      (attribute ?? []).flatMap((one) => {
        const value = attributeValue(one);
        return value === undefined ? [] : [[one.name ?? '', value]];
      }),
    ),
  };
}

const { AttributeType } = onnx.AttributeProto;
const utf8 = new TextDecoder();

function attributeValue({ type, i, f, s, ints }: AttributeLike): NodeInfo['attributes'][string] | undefined {
  switch (type) {
    case AttributeType.INT:
      return Number(i ?? 0);
    case AttributeType.FLOAT:
      return f ?? 0;
    case AttributeType.STRING:
      return utf8.decode(s ?? new Uint8Array());
    case AttributeType.INTS:
      return (ints ?? []).map(Number);
    default:
      return undefined;
  }
}

interface ValueInfoLike {
  readonly name?: string | null;
  readonly type?: {
    readonly tensorType?: {
      readonly elemType?: number | null;
      readonly shape?: {
        readonly dim?: readonly { readonly dimValue?: unknown; readonly dimParam?: string | null }[] | null;
      } | null;
    } | null;
  } | null;
}

/** A dimension of which the file tells neither length nor name. */
const UNSAID = '?';

function tensorInfo(value: ValueInfoLike): TensorInfo {
  const tensor = value.type?.tensorType;
  return {
    name: value.name ?? '',
    type: onnx.TensorProto.DataType[tensor?.elemType ?? 0] ?? 'UNDEFINED',
    shape: (tensor?.shape?.dim ?? []).map(
      (dim) => dim.dimParam || (Object.hasOwn(dim, 'dimValue') ? Number(dim.dimValue) : UNSAID),
    ),
  };
}

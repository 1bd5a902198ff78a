/**
 * From a finished graph to the bytes of model.onnx (ONNX IR 10, opset 20, default domain), through onnx-proto and
 * protobufjs. Parameters are always external data: the proto stays a few MB at most, below protobuf's 2 GB limit.
 */
import onnxProto from 'onnx-proto';
import type { Attribute, ElementType, Graph, Parameter, Value } from './graph.ts';

const { onnx } = onnxProto;

/** Opset 22 re-versioned Conv and InstanceNormalization out of reach of CUDA and DirectML kernels; 20 has Gelu (reference: onnx 1.30 kernels). */
export const OPSET = 20;
export const IR_VERSION = 10;

export interface ExternalLocation {
  /** The name of a file beside the model. */
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

const DATA_TYPE: Record<ElementType, number> = {
  float64: onnx.TensorProto.DataType.DOUBLE,
  float32: onnx.TensorProto.DataType.FLOAT,
  float16: onnx.TensorProto.DataType.FLOAT16,
  int64: onnx.TensorProto.DataType.INT64,
};

/**
 * Serializes `graph`. `external` says where in which file (a name beside the model) each parameter's bytes lie;
 * every parameter must be in it. `metadata` becomes metadata_props. Type and shape of every intermediate value go along
 * as value_info: viewers show them, planners of memory use them, and the cost of a run can be worked out without running.
 */
export function serializeModel(
  graph: Graph,
  options: {
    readonly external?: ReadonlyMap<string, ExternalLocation>;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly producerVersion: string;
  },
): Uint8Array {
  const isOutput = new Set(graph.outputs.map(({ name }) => name));
  const model = onnx.ModelProto.create({
    irVersion: IR_VERSION,
    producerName: 'lcm-merge',
    producerVersion: options.producerVersion,
    opsetImport: [
      { domain: '', version: OPSET },
      ...[...new Set(graph.nodes.flatMap(({ domain }) => domain ?? []))].map((domain) => ({ domain, version: 1 })),
    ],
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    graph: {
      name: graph.name,
      input: graph.inputs.map(valueInfo),
      output: graph.outputs.map(valueInfo),
      valueInfo: [...graph.values.values()].filter(({ name }) => !isOutput.has(name)).map(valueInfo),
      node: graph.nodes.map((node) => ({
        name: node.name,
        opType: node.opType,
        domain: node.domain ?? '',
        input: [...node.inputs],
        output: [...node.outputs],
        attribute: Object.entries(node.attributes).map(([name, value]) => attribute(name, value)),
      })),
      initializer: [
        ...[...graph.constants.values()].map((constant) => ({
          name: constant.name,
          dataType: DATA_TYPE[constant.type],
          dims: [...constant.shape],
          rawData: constant.data,
        })),
        ...[...graph.parameters.values()].map((parameter) =>
          externalTensor(parameter, options.external?.get(parameter.name)),
        ),
      ],
    },
  });
  return onnx.ModelProto.encode(model).finish();
}

/**
 * Reads a model whose inputs include `parameters`; what is returned writes it with those as weights that lie elsewhere, again and again.
 * @throws RangeError when one of them is no input of it
 */
export function parametrize(
  model: Uint8Array,
  parameters: readonly Parameter[],
): (external: ReadonlyMap<string, ExternalLocation>) => Uint8Array {
  const read = onnx.ModelProto.decode(model);
  const graph = read.graph ?? onnx.GraphProto.create();
  const inputs = new Set(graph.input?.map(({ name }) => name));
  const missing = parameters.find(({ name }) => !inputs.has(name));
  if (missing) throw new RangeError(`The model has no input ${missing.name}, which was to become a weight.`);
  const names = new Set<string | null | undefined>(parameters.map(({ name }) => name));
  const own = graph.initializer ?? [];
  graph.input = graph.input?.filter(({ name }) => !names.has(name)) ?? [];
  return (external) => {
    const placed = parameters.map((parameter) => externalTensor(parameter, external.get(parameter.name)));
    return onnx.ModelProto.encode({ ...read, graph: { ...graph, initializer: [...own, ...placed] } }).finish();
  };
}

/** @throws RangeError without a place */
function externalTensor({ name, type, shape }: Parameter, place: ExternalLocation | undefined) {
  if (!place) throw new RangeError(`No place in the weight file was given for the parameter ${name}.`);
  return {
    name,
    dataType: DATA_TYPE[type],
    dims: [...shape],
    dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
    externalData: [
      { key: 'location', value: place.location },
      { key: 'offset', value: String(place.offset) },
      { key: 'length', value: String(place.length) },
    ],
  };
}

function valueInfo(value: Value) {
  return {
    name: value.name,
    type: {
      tensorType: {
        elemType: DATA_TYPE[value.type],
        shape: { dim: value.shape.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })) },
      },
    },
  };
}

const utf8 = new TextEncoder();

function attribute(name: string, value: Attribute) {
  const { AttributeType } = onnx.AttributeProto;
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: value };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: utf8.encode(value) };
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float };
  return { name, type: AttributeType.INTS, ints: [...value] };
}

/**
 * Where two ONNX models differ, told at the first place that a reader would look for it: operators, attributes and wiring of the
 * nodes, inputs and outputs, constants, places of weights, then whatever else the files say.
 */
import onnxProto from 'onnx-proto';

const { onnx } = onnxProto;

type Model = ReturnType<typeof onnx.ModelProto.decode>;
type Graph = NonNullable<Model['graph']>;
type Node = NonNullable<Graph['node']>[number];
type Tensor = NonNullable<Graph['initializer']>[number];

/**
 * The first difference as the end of a sentence about `found`, or undefined. Which version of the tool wrote a file makes no
 * difference. Both must be readable.
 */
export function modelDifference(found: Uint8Array, expected: Uint8Array): string | undefined {
  if (Buffer.compare(found, expected) === 0) return undefined;
  const [own, wanted] = [onnx.ModelProto.decode(found), onnx.ModelProto.decode(expected)];
  const [graph, other] = [own.graph, wanted.graph];
  if (!graph || !other) return 'has no graph';
  return (
    differentNodes(graph.node ?? [], other.node ?? []) ??
    differentItems('input', graph.input ?? [], other.input ?? [], (value) => json(value)) ??
    differentItems('output', graph.output ?? [], other.output ?? [], (value) => json(value)) ??
    differentItems('initializer', graph.initializer ?? [], other.initializer ?? [], describeTensor) ??
    differentItems('type of', graph.valueInfo ?? [], other.valueInfo ?? [], (value) => json(value)) ??
    differentRest(own, wanted) ??
    hiddenBytes(own, found)
  );
}

/** Fields that the reader passes over, such as those of newer versions of ONNX, which onnxruntime may not. */
function hiddenBytes(model: Model, bytes: Uint8Array): string | undefined {
  const known = onnx.ModelProto.encode(model).finish();
  if (Buffer.compare(known, bytes) === 0) return undefined;
  return `has ${bytes.length} bytes, of which ${known.length} are what this tool writes`;
}

function differentNodes(found: readonly Node[], expected: readonly Node[]): string | undefined {
  for (const [i, wanted] of expected.entries()) {
    const node = found[i];
    if (!node) return `ends before ${name(wanted)} (${operator(wanted)}), node ${i} of ${expected.length}`;
    const at = `node ${i}, ${name(node)},`;
    if (operator(node) !== operator(wanted) || name(node) !== name(wanted))
      return `has as node ${i} ${name(node)} (${operator(node)}), where ${name(wanted)} (${operator(wanted)}) should be`;
    for (const side of ['input', 'output'] as const) {
      const [own, other] = [node[side] ?? [], wanted[side] ?? []];
      for (let k = 0; k < Math.max(own.length, other.length); k += 1)
        if (own[k] !== other[k]) return `${at} has ${quoted(own[k])} as its ${side} ${k}, not ${quoted(other[k])}`;
    }
    const [own, other] = [attributes(node), attributes(wanted)];
    for (const key of new Set([...own.keys(), ...other.keys()])) {
      if (own.get(key) !== other.get(key))
        return `${at} has the attribute ${key} ${own.get(key) ?? '(none)'}, not ${other.get(key) ?? '(none)'}`;
    }
    if (json(node) !== json(wanted)) return `${at} says ${json(node)}, not ${json(wanted)}`;
  }
  const more = found[expected.length];
  return more && `goes on after its last node with ${name(more)} (${operator(more)})`;
}

const name = (node: Node): string => node.name || '(no name)';
const operator = ({ domain, opType }: Node): string => `${domain ? `${domain}:` : ''}${opType}`;
const quoted = (value: string | undefined): string => (value === undefined ? '(none)' : value || "''");

function attributes({ attribute }: Node): Map<string, string> {
  const { AttributeType } = onnx.AttributeProto;
  const text = (one: NonNullable<Node['attribute']>[number]) => {
    switch (one.type) {
      case AttributeType.INT:
        return String(one.i);
      case AttributeType.FLOAT:
        return String(one.f);
      case AttributeType.INTS:
        return `[${one.ints}]`;
      case AttributeType.STRING:
        return json(new TextDecoder().decode(one.s ?? new Uint8Array()));
      default:
        return json(one);
    }
  };
  return new Map((attribute ?? []).map((one) => [one.name ?? '', text(one)]));
}

/** Items by their name, in any order; `describe` must tell all of an item but that. */
function differentItems<Item extends { readonly name?: string | null }>(
  what: string,
  found: readonly Item[],
  expected: readonly Item[],
  describe: (item: Item, other: Item) => string,
): string | undefined {
  const byName = (items: readonly Item[]) => new Map(items.map((item) => [item.name ?? '', item]));
  const [own, wanted] = [byName(found), byName(expected)];
  for (const [key, other] of wanted) {
    const item = own.get(key);
    if (!item) return `has no ${what} ${key}`;
    const [is, should] = [describe(item, other), describe(other, item)];
    if (is !== should) return `has the ${what} ${key} as ${is}, not ${should}`;
  }
  const more = [...own.keys()].find((key) => !wanted.has(key));
  if (more !== undefined) return `has the ${what} ${more}, which should not be there`;
  return found.length === expected.length ? undefined : `has ${found.length} of ${what}, not ${expected.length}`;
}

/** Type, shape, and place in a file or, of a constant, its first bytes that differ; other fields where they do. */
function describeTensor(tensor: Tensor, other: Tensor): string {
  const place = (tensor.externalData ?? []).map(({ key, value }) => `${key} ${value}`).join(' ');
  const [data, otherData] = [tensor.rawData ?? new Uint8Array(), other.rawData ?? new Uint8Array()];
  const at = data.findIndex((byte, i) => byte !== otherData[i]);
  const bytes = at < 0 ? `${data.length} bytes` : `${data.length} bytes, from byte ${at} on ${hex(data, at)}`;
  const type = onnx.TensorProto.DataType[tensor.dataType ?? 0];
  const rest = otherFields(tensor);
  return [`${type} [${tensor.dims ?? []}]`, place || bytes, ...(rest === otherFields(other) ? [] : [rest])].join(', ');
}

function otherFields(tensor: Tensor): string {
  const { name: _name, rawData: _data, externalData: _place, dataType: _type, dims: _dims, ...rest } = { ...tensor };
  return json(rest);
}

const hex = (data: Uint8Array, at: number): string => Buffer.from(data.subarray(at, at + 8)).toString('hex');

/** What is left: opsets, metadata, names, and fields that this tool never writes. */
function differentRest(found: Model, expected: Model): string | undefined {
  const rest = (model: Model): Record<string, unknown> => {
    const { graph, producerVersion: _, ...own } = model.toJSON() as Record<string, unknown>;
    const { node, input, output, initializer, valueInfo, ...others } = (graph ?? {}) as Record<string, unknown>;
    return { ...own, ...others };
  };
  const [own, wanted] = [rest(found), rest(expected)];
  for (const key of new Set([...Object.keys(own), ...Object.keys(wanted)])) {
    if (json(own[key]) !== json(wanted[key])) return `says ${json(own[key])} of ${key}, not ${json(wanted[key])}`;
  }
  return undefined;
}

const json = (value: unknown): string => JSON.stringify(value) ?? '(nothing)';

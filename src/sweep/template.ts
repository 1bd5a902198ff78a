/**
 * A graph that is loaded again and again with other numbers in some of its weights. Most of loading is onnxruntime's work on the graph, which is
 * done once, with those weights as inputs; in each copy they are weights again, so that the kernels are those of the plain graph, and the bits.
 * Source of truth: session.optimized_model_external_initializers_file_name, and the basic level of graph_transformer_utils.cc.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Graph, Parameter } from '../onnx/graph.ts';
import { parametrize } from '../onnx/proto.ts';
import { startHost } from '../runtime/host.ts';

/** The graph as a file's bytes, with the weights that change where `places` says. */
export type Template = ReturnType<typeof parametrize>;

export interface TemplateOptions {
  /** The names of the weights that change. */
  readonly changing: ReadonlySet<string>;
  /** Writes a graph over the weights that do not change. */
  readonly write: (graph: Graph, path: string) => Promise<void>;
  /** Of the files of weights; the widened ones that do not change will lie there too, as `<name>_data`. */
  readonly folder: string;
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** For the CPU: other devices compile kernels when they load a graph. @throws RuntimeFailure when onnxruntime does not take the graph. */
export async function makeTemplate(
  graph: Graph,
  { changing, write, folder, name, signal }: TemplateOptions,
): Promise<Template> {
  const [turned, fixed] = parted([...graph.parameters.values()], (parameter) => changing.has(parameter.name));
  const open = {
    ...graph,
    inputs: [...graph.inputs, ...turned],
    parameters: new Map(fixed.map((parameter) => [parameter.name, parameter])),
  };
  const [plain, optimised] = [join(folder, `plain.${name}`), join(folder, name)];
  await write(open, plain);
  await using host = startHost(signal);
  await host.optimise(plain, 'cpu', optimised);
  const model = await readFile(optimised);
  await Promise.all([plain, optimised].map((path) => rm(path)));
  return parametrize(model, turned);
}

function parted(
  parameters: readonly Parameter[],
  belongs: (parameter: Parameter) => boolean,
): readonly [yes: Parameter[], no: Parameter[]] {
  const groups = Map.groupBy(parameters, belongs);
  return [groups.get(true) ?? [], groups.get(false) ?? []];
}

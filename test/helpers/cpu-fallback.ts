/** A device that leaves nodes to the CPU, by what onnxruntime says of it: no graph is loaded. */
import { RuntimeFailure } from '../../src/errors.ts';
import type { InferenceHost, LoadOptions } from '../../src/runtime/host.ts';

/** Lines as onnxruntime 1.30 writes them. */
export const line = (text: string) =>
  `2026-11-25 18:47:37.780080132 [V:onnxruntime:, session_state.cc:1385 VerifyEachNodeIsAssignedToAnEp] ${text}`;

export const placed = (cpu: readonly string[], others: readonly string[] = ['MatMul (a/MatMul_0)']) =>
  [
    '2026-11-25 18:47:37.1 [I:onnxruntime:, inference_session.cc:764 TraceSessionOptions] Session Options {  }',
    line('Node placements'),
    line(` Node(s) placed on [CPUExecutionProvider]. Number of nodes: ${cpu.length}`),
    ...cpu.map((node) => line(`  ${node}`)),
    line(` Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: ${others.length}`),
    ...others.map((node) => line(`  ${node}`)),
    line('Some nodes were not assigned to the preferred execution providers\u001b[m'),
    '2026-11-25 18:47:37.8 [I:onnxruntime:, webgpu_context.cc:512 Run] Starting program "Transpose[2-3]" (18, 1, 1)',
  ].join('\n');

/** A device that leaves these nodes to the CPU. */
export function hostWith(log: string) {
  const loads: LoadOptions[] = [];
  const session = {
    run: () => Promise.reject(new Error('not asked for')),
    [Symbol.asyncDispose]: async () => undefined,
  };
  const host: Pick<InferenceHost, 'load' | 'loadingLog'> = {
    async load(path, device, options = {}) {
      loads.push(options);
      if (options.wholly) {
        throw new RuntimeFailure(
          `${path} does not load on ${device}: This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.`,
        );
      }
      return session;
    },
    loadingLog: async () => log,
  };
  return { host: host as InferenceHost, loads };
}

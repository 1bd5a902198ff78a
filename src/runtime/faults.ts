/**
 * What onnxruntime and drivers say when something goes wrong that can be helped: whose fault it is, and what to do. The words are those
 * of onnxruntime 1.30 (bfc_arena.cc, cuda_call.cc, webgpu_context.cc, the HRESULTs of Direct3D 12) and of the C++ library.
 */
import { RuntimeFailure } from '../errors.ts';

interface Fault {
  readonly says: RegExp;
  readonly blame: RuntimeFailure['blame'];
  readonly remedy: string;
}

const MEMORY =
  'The memory is not enough for this: sample fewer frames or a smaller size, bake with output.dtype: fp16, or close what else uses it.';

const FAULTS: readonly Fault[] = [
  {
    says: /requires f16 but the device does not support it/,
    blame: 'graph',
    remedy:
      'Its driver has no 16-bit floats (the WebGPU feature shader-f16): bake with output.dtype: fp32, or run on the CPU.',
  },
  {
    says: /bad_alloc|failed to allocate memory|out of memory|not enough memory|cannot allocate memory|ALLOC_FAILED|CUDA failure 2:|E_OUTOFMEMORY|8007000E/i,
    blame: 'memory',
    remedy: MEMORY,
  },
  {
    says: /device (is|was) lost|lost device|device lost|DEVICE_(REMOVED|HUNG|RESET)|887A000[567]|CUDA failure (46|214|700|702|719|999):/i,
    blame: 'machine',
    remedy:
      'The driver gave the device up, as it does after a crash or after seconds without an answer: try again, take fewer frames or a smaller size, or run with --device cpu.',
  },
  {
    says: /CUDA failure (35|100|101|803|804):|no CUDA-capable device|driver version is insufficient/i,
    blame: 'machine',
    remedy:
      'No card answers, or its driver is too old for CUDA 13: `nvidia-smi` says which; lcm-merge doctor has more.',
  },
];

/** The failure that onnxruntime's words stand for. */
export function failureFrom(message: string): RuntimeFailure {
  const text = plainWords(message);
  const fault = FAULTS.find(({ says }) => says.test(text));
  return fault
    ? new RuntimeFailure(`${text} ${fault.remedy}`, { blame: fault.blame })
    : new RuntimeFailure(text, { blame: 'graph' });
}

/** What is said of a process that ended by itself; the last words of its stderr may tell why. */
export function endOf(how: string, doing: string | undefined, complaint: string): RuntimeFailure {
  const said = complaint.trim();
  const fault = FAULTS.find(({ says }) => says.test(said));
  const wantedMemory = fault?.blame === 'memory' || (!fault && how.includes('SIGKILL'));
  const sentences = [
    `The inference process ${how}${doing ? ` while ${doing}` : ''}.`,
    ...(said ? [`It said: ${said.replace(/[.\s]*$/, '.')}`] : []),
    fault?.remedy ?? (wantedMemory ? MEMORY : 'Another device may do better; lcm-merge doctor tries them all.'),
  ];
  return new RuntimeFailure(sentences.join(' '), { blame: wantedMemory ? 'memory' : 'machine' });
}

/** onnxruntime puts the place in its own source before what it has to say. */
export function plainWords(message: string): string {
  return message
    .replace(/\/onnxruntime_src\/[^\n]*? was false\. /gs, '')
    .replace(/\/onnxruntime_src\/\S+:\d+ [^\n]*?\) (?=[A-Z])/g, '')
    .replace(/[.\s]*$/, '.');
}

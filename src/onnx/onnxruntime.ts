/** onnxruntime-node as all of this program loads it: silenced first. */
import './quiet.ts';

export { env, InferenceSession, listSupportedBackends, Tensor } from 'onnxruntime-node';

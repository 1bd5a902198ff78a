/** Which device runs a package here: the graphics card through WebGPU, or the CPU through WebAssembly. */
import type { Device, DeviceWish } from './messages.ts';

export interface Choice {
  readonly device: Device;
  /** A GPUDevice to run on, where it is not the one that onnxruntime-web would make for itself. */
  readonly gpu?: GPUDevice;
  /** Why it is not the graphics card although it might have been, as a sentence. */
  readonly note?: string;
}

/** `dtype` is that of the package's weights. */
export async function chooseDevice(wish: DeviceWish, dtype: string): Promise<Choice> {
  if (wish === 'wasm') return { device: 'wasm' };
  const { gpu } = navigator as { gpu?: GPU };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  const isImitated = adapter?.info.isFallbackAdapter === true;
  const reason = !gpu
    ? 'this browser has no WebGPU'
    : !adapter
      ? 'WebGPU finds no graphics card here'
      : dtype === 'fp16' && !adapter.features.has('shader-f16')
        ? 'the graphics card has no 16-bit numbers (shader-f16)'
        : wish === 'auto' && isImitated
          ? 'WebGPU is only imitated by the CPU here'
          : undefined;
  if (reason || !adapter) return { device: 'wasm', note: `Running on the CPU: ${reason}.` };
  const isSound = SOUND_VENDORS.includes(adapter.info.vendor);
  return { device: 'webgpu', ...(!isSound && { gpu: await withoutSubgroups(adapter) }) };
}

/** On whose cards onnxruntime-web's fused attention takes the way that is right, whatever they offer. */
const SOUND_VENDORS: readonly string[] = ['nvidia', 'apple'];

/** What onnxruntime-web asks of a device at its most. */
const LIMITS = [
  'maxBindGroups',
  'maxBufferSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
] as const;

/**
 * The fused attention of onnxruntime-web 1.30 exchanges values within subgroups where there are any, and does not clear its sums between
 * blocks of keys then: latents were 16 % off on SwiftShader. On a device that offers none it takes another way, which is right; on NVIDIA's
 * and Apple's it does so anyway (docs/devices.md).
 */
function withoutSubgroups(adapter: GPUAdapter): Promise<GPUDevice> {
  return adapter.requestDevice({
    requiredFeatures: adapter.features.has('shader-f16') ? ['shader-f16'] : [],
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  });
}

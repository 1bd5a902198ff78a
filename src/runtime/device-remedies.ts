/**
 * How to get a device that is missing or does not answer: one command where one adds it, by platform. Sources: onnxruntime-node's
 * script/install-metadata.js (what npm carries), the extras of PyPI's onnxruntime-gpu, the distributions' package lists.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Device, LIBRARIES } from './device.ts';

export interface Remedy {
  /** What is needed, as a sentence. */
  readonly needs: string;
  /** The one command that adds it, for a shell. */
  readonly command?: string;
}

export interface Machine {
  readonly platform: NodeJS.Platform;
  /** The text of /etc/os-release, '' where there is none. */
  readonly osRelease: string;
  /** Where onnxruntime-node keeps its libraries. */
  readonly libraries: string;
}

/** `reason`: what the device gave instead of an answer. */
export function remedyFor(device: Device, reason: string, machine: Machine = thisMachine()): Remedy {
  return REMEDIES[device](machine, reason);
}

export function remedyText({ needs, command }: Remedy): string {
  return command === undefined ? needs : `${needs} ${command}`;
}

/** Vulkan's loader and the drivers of Mesa: AMD's and Intel's cards, and the CPU. By `ID` or `ID_LIKE` of /etc/os-release. */
const VULKAN: readonly (readonly [system: RegExp, command: string])[] = [
  // Debian 12's own Mesa is too old for onnxruntime's WebGPU
  [/^VERSION_CODENAME=bookworm$/m, 'sudo apt-get install -t bookworm-backports libvulkan1 mesa-vulkan-drivers'],
  [/^ID(_LIKE)?=.*(debian|ubuntu)/m, 'sudo apt-get install libvulkan1 mesa-vulkan-drivers'],
  [/^ID(_LIKE)?=.*(fedora|rhel)/m, 'sudo dnf install vulkan-loader mesa-vulkan-drivers'],
  [/^ID(_LIKE)?=.*suse/m, 'sudo zypper install libvulkan1 Mesa-vulkan-device-select libvulkan_lvp'],
  [/^ID(_LIKE)?=.*arch/m, 'sudo pacman -S vulkan-icd-loader vulkan-swrast'],
];

/** Fetches the wheel of onnxruntime-node's own version into a folder that goes, and takes the two libraries out of it. */
const cudaProvider = (libraries: string) =>
  'd=$(mktemp -d) && python3 -m pip download -q --no-deps --only-binary=:all: -d "$d" onnxruntime-gpu==1.30.0 && ' +
  `unzip -oj "$d"/*.whl 'onnxruntime/capi/libonnxruntime_providers_[cs]*' -d '${libraries}'; rm -r "$d"`;

const REMEDIES: Readonly<Record<Device, (machine: Machine, reason: string) => Remedy>> = {
  cpu: () => ({ needs: 'Its library comes with onnxruntime-node: install again.', command: 'npm ci' }),
  webgpu: ({ platform, osRelease }) => {
    if (platform !== 'linux')
      return {
        needs: `It needs the driver of a graphics card with ${platform === 'darwin' ? 'Metal' : 'Direct3D 12'}.`,
      };
    const command = VULKAN.find(([system]) => system.test(osRelease))?.[1];
    return {
      needs: "It needs Vulkan: NVIDIA's driver brings its own; for other cards, and for software, Mesa has it.",
      ...(command !== undefined && { command }),
    };
  },
  cuda: ({ libraries }, reason) => {
    if (/driver|CUDA failure|no CUDA-capable/i.test(reason))
      return {
        needs: 'It needs an NVIDIA card and a driver for CUDA 13 (580 or later); `nvidia-smi` says what there is.',
      };
    // onnxruntime says that it could not load the library, and only its log which other one was missing
    if (existsSync(join(libraries, 'libonnxruntime_providers_cuda.so'))) {
      return {
        needs:
          'It needs CUDA 13 and cuDNN 9, where the loader finds them (LD_LIBRARY_PATH, the lib folders of nvidia/ in site-packages).',
        command: 'python3 -m pip install "onnxruntime-gpu[cuda,cudnn]==1.30.0"',
      };
    }
    return {
      needs:
        'Its provider is not in the npm package; the wheel onnxruntime-gpu has it, and wants CUDA 13 and cuDNN 9 beside it.',
      command: cudaProvider(libraries),
    };
  },
  dml: () => ({
    needs: 'It needs the driver of a graphics card with Direct3D 12: Windows Update or its maker has it.',
  }),
  coreml: () => ({ needs: 'It comes with macOS; a newer macOS may have what is missing.' }),
};

function thisMachine(): Machine {
  const { platform } = process;
  return { platform, osRelease: platform === 'linux' ? osRelease() : '', libraries: LIBRARIES };
}

function osRelease(): string {
  try {
    return readFileSync('/etc/os-release', 'utf8').replaceAll('"', '');
  } catch {
    return '';
  }
}

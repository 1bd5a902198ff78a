import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEVICES } from '../../src/runtime/device.ts';
import { type Machine, remedyFor, remedyText } from '../../src/runtime/device-remedies.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const machine = (changes: Partial<Machine> = {}): Machine => ({
  platform: 'linux',
  osRelease: 'ID=debian\nVERSION_CODENAME=trixie\n',
  libraries: '/nowhere/lib',
  ...changes,
});

describe('remedyFor', () => {
  it('has a sentence for every device everywhere', () => {
    for (const device of DEVICES)
      for (const platform of ['linux', 'win32', 'darwin'] as const)
        expect(remedyFor(device, 'nothing', machine({ platform, osRelease: '' })).needs).toMatch(/^It.*[.:]$/);
  });

  it.each([
    [
      'ID=debian\nVERSION_CODENAME=bookworm',
      'sudo apt-get install -t bookworm-backports libvulkan1 mesa-vulkan-drivers',
    ],
    ['ID=debian\nVERSION_CODENAME=trixie', 'sudo apt-get install libvulkan1 mesa-vulkan-drivers'],
    ['ID=linuxmint\nID_LIKE=ubuntu debian', 'sudo apt-get install libvulkan1 mesa-vulkan-drivers'],
    ['ID=fedora', 'sudo dnf install vulkan-loader mesa-vulkan-drivers'],
    ['ID=arch', 'sudo pacman -S vulkan-icd-loader vulkan-swrast'],
    ['ID=unheard-of', undefined],
    ['', undefined],
  ])('adds Vulkan by the package manager of %j', (osRelease, command) => {
    const remedy = remedyFor('webgpu', 'No supported adapters', machine({ osRelease }));
    expect(remedy.command).toBe(command);
    expect(remedyText(remedy)).toBe(command === undefined ? remedy.needs : `${remedy.needs} ${command}`);
  });

  it('adds to CUDA what is missing: the provider, then its libraries, then the driver', async () => {
    const libraries = await temporaryFolder();
    const says = (reason: string) => remedyFor('cuda', reason, machine({ libraries }));
    expect(says('Failed to load shared library').command).toMatch(
      /onnxruntime-gpu==1\.30\.0 && unzip .* -d '\S+'; rm -r "\$d"$/,
    );
    await writeFile(join(libraries, 'libonnxruntime_providers_cuda.so'), '');
    expect(says('Failed to load shared library').command).toBe(
      'python3 -m pip install "onnxruntime-gpu[cuda,cudnn]==1.30.0"',
    );
    expect(says('CUDA failure 35: driver version is insufficient')).toEqual({
      needs: expect.stringContaining('nvidia-smi'),
    });
  });
});

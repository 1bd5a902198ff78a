import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UnavailableError } from '../../src/errors.ts';
import { DEVICES, listDevices, resolveDevice } from '../../src/runtime/device.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

describe('devices', () => {
  it('always have the CPU, installed', () => {
    expect(listDevices()[0]).toEqual({ device: 'cpu', installed: true });
    expect(DEVICES).toEqual(expect.arrayContaining(listDevices().map(({ device }) => device)));
  });

  it('are what was asked for, and of this build', () => {
    const known = listDevices().map(({ device }) => device);
    for (const device of DEVICES) {
      if (known.includes(device)) expect(resolveDevice(device)).toBe(device);
      else expect(() => resolveDevice(device)).toThrow(UnavailableError);
    }
    expect(() => resolveDevice('npu' as 'cpu')).toThrow(
      /The device npu is not in onnxruntime-node on \S+\.[\s\S]*It has cpu/,
    );
  });

  it('are never WebGPU by themselves, and CUDA only where its library lies beside the others', async () => {
    const folder = await temporaryFolder();
    expect(resolveDevice('auto', listDevices(folder))).toBe('cpu');
    const library = join(folder, 'libonnxruntime_providers_cuda.so');
    await writeFile(library, '');
    const known = listDevices(folder);
    const isOffered = known.some(({ device }) => device === 'cuda'); // on Linux x64; elsewhere a file changes nothing
    expect(resolveDevice('auto', known)).toBe(isOffered ? 'cuda' : 'cpu');
  });
});

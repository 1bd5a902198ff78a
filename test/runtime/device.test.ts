import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UnavailableError } from '../../src/errors.ts';
import { assertOffered, DEVICES, listDevices } from '../../src/runtime/device.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** What listSupportedBackends() says there, by the sources of onnxruntime-node 1.30. */
const BACKENDS = {
  windows: [
    { name: 'cpu', bundled: true },
    { name: 'dml', bundled: true },
    { name: 'webgpu', bundled: true },
  ],
  mac: [
    { name: 'cpu', bundled: true },
    { name: 'webgpu', bundled: true },
    { name: 'coreml', bundled: true },
  ],
  linux: [
    { name: 'cpu', bundled: true },
    { name: 'webgpu', bundled: true },
    { name: 'cuda', bundled: false },
    { name: 'tensorrt', bundled: false },
  ],
};

describe('devices', () => {
  it('always have the CPU, installed', () => {
    expect(listDevices()[0]).toEqual({ device: 'cpu', installed: true });
    expect(DEVICES).toEqual(expect.arrayContaining(listDevices().map(({ device }) => device)));
  });

  it('are those of the build', () => {
    expect(listDevices('/nowhere', BACKENDS.windows)).toEqual([
      { device: 'cpu', installed: true },
      { device: 'webgpu', installed: true },
      { device: 'dml', installed: true },
    ]);
    expect(listDevices('/nowhere', BACKENDS.mac).map(({ device }) => device)).toEqual(['cpu', 'webgpu', 'coreml']);
    expect(listDevices('/nowhere', BACKENDS.linux)).toEqual([
      { device: 'cpu', installed: true },
      { device: 'webgpu', installed: true },
      { device: 'cuda', installed: false },
    ]);
  });

  it('are installed where their library lies beside the others', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'libonnxruntime_providers_cuda.so'), '');
    expect(listDevices(folder, BACKENDS.linux)[2]).toEqual({ device: 'cuda', installed: true });
  });

  it('are refused where the build has no such one, with those that it has', () => {
    const windows = listDevices('/nowhere', BACKENDS.windows);
    for (const device of ['auto', 'cpu', 'webgpu', 'dml'] as const)
      expect(() => assertOffered(device, windows)).not.toThrow();
    for (const device of ['cuda', 'coreml'] as const) {
      expect(() => assertOffered(device, windows)).toThrow(UnavailableError);
      expect(() => assertOffered(device, windows)).toThrow(
        /The device \w+ is not in onnxruntime-node on \S+\. It has cpu, webgpu, dml\./,
      );
    }
  });
});

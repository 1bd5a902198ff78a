import { describe, expect, it } from 'vitest';
import { UnavailableError } from '../../src/errors.ts';
import { DEVICES, listDevices, resolveDevice } from '../../src/runtime/device.ts';

describe('devices', () => {
  it('always have the CPU, bundled', () => {
    expect(listDevices()[0]).toEqual({ device: 'cpu', bundled: true });
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

  it('are never a software WebGPU by themselves', () => {
    expect(['cpu', 'cuda']).toContain(resolveDevice('auto'));
    expect(known('cuda') ? 'cuda' : 'cpu').toBe(resolveDevice('auto'));
  });
});

function known(device: string): boolean {
  return listDevices().some((info) => info.device === device && info.bundled);
}

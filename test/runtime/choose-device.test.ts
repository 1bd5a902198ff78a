import { describe, expect, it } from 'vitest';
import { RuntimeFailure } from '../../src/errors.ts';
import {
  chooseDevice,
  describeChoice,
  type Measurements,
  type MeasureOptions,
  measureDevices,
} from '../../src/runtime/choose-device.ts';
import { type Device, type DeviceInfo, listDevices } from '../../src/runtime/device.ts';
import { startHost } from '../../src/runtime/host.ts';
import { relativeRms } from '../../src/runtime/relative-rms.ts';
import { yardstick } from '../../src/runtime/yardstick.ts';

interface Machine {
  /** GFLOP/s; an error is what the device gives instead. */
  readonly products: number | Error;
  readonly milliseconds?: number | Error;
  /** By how much the results of the small UNet are too large. */
  readonly error?: number;
}

/** A machine of which every figure is known, and what was measured on it. */
function machine(devices: Readonly<Partial<Record<Device, Machine>>>) {
  const asked: string[] = [];
  const of = (device: Device) => devices[device] as Machine;
  const unlessError = <T>(value: T | Error): T => {
    if (value instanceof Error) throw value;
    return value;
  };
  const measure: Measurements = {
    products: async (device) => {
      asked.push(`${device} products`);
      return unlessError(of(device).products) * 1e9;
    },
    step: async (device) => {
      asked.push(`${device} step`);
      const milliseconds = unlessError(of(device).milliseconds ?? new Error('not expected'));
      return { milliseconds, output: Float32Array.of(1, -2, 3).map((x) => x * (1 + (of(device).error ?? 0))) };
    },
  };
  const known = Object.keys(devices).map((device) => ({ device: device as Device, installed: true }));
  return { options: { devices: known, measure } satisfies MeasureOptions, asked };
}

describe('auto', () => {
  it('is the device whose step is the fastest', async () => {
    const { options } = machine({
      cpu: { products: 100, milliseconds: 24 },
      webgpu: { products: 9000, milliseconds: 5 },
      cuda: { products: 30_000, milliseconds: 3 },
    });
    const choice = await measureDevices('float16', options);
    expect(choice.device).toBe('cuda');
    expect(choice.trials.map(({ device }) => device)).toEqual(['cuda', 'webgpu', 'cpu']);
    expect(describeChoice(choice)).toBe('auto: cuda 3.00 ms, webgpu 5.00 ms, cpu 24.0 ms for a step of a small UNet');
  });

  it('is the CPU where that is the fastest', async () => {
    const { options } = machine({
      cpu: { products: 100, milliseconds: 24 },
      webgpu: { products: 60, milliseconds: 30 },
    });
    expect((await measureDevices('float16', options)).device).toBe('cpu');
  });

  it('leaves out what multiplies matrices far slower than the CPU, as software does, without trying more', async () => {
    const { options, asked } = machine({ cpu: { products: 100 }, webgpu: { products: 3.9 } });
    const choice = await measureDevices('float16', options);
    expect(choice.device).toBe('cpu');
    expect(choice.trials[1]).toMatchObject({
      device: 'webgpu',
      reason: 'It multiplies matrices at 3.90 GFLOP/s, the CPU at 100 GFLOP/s.',
    });
    expect(asked).toEqual(['webgpu products', 'cpu products']);
    expect(describeChoice(choice)).toBe('auto: cpu 100 GFLOP/s, webgpu 3.90 GFLOP/s of matrix products');
  });

  it('leaves out what computes wrongly, dies or does not work, and says why', async () => {
    const { options } = machine({
      cpu: { products: 100, milliseconds: 24 },
      webgpu: { products: 9000, milliseconds: 1, error: 0.1 },
      cuda: { products: 9000, milliseconds: new RuntimeFailure('It died.') },
      dml: { products: new RuntimeFailure('No adapter.') },
    });
    const { device, trials } = await measureDevices('float32', options);
    expect(device).toBe('cpu');
    expect(Object.fromEntries(trials.map((trial) => [trial.device, trial.reason]))).toEqual({
      cpu: undefined,
      dml: 'No adapter.',
      webgpu: "It computes wrongly: a small UNet is 1.0e-1 away from the CPU's.",
      cuda: 'It died.',
    });
  });

  it('measures nothing where the CPU is alone', async () => {
    const others: DeviceInfo[] = [
      { device: 'cpu', installed: true },
      { device: 'cuda', installed: false },
    ];
    const { options, asked } = machine({ cpu: { products: 100 } });
    const choice = await measureDevices('float16', { ...options, devices: others });
    expect(choice).toEqual({ device: 'cpu', trials: [] });
    expect(describeChoice(choice)).toBeUndefined();
    expect(asked).toEqual([]);
  });

  it('ends when it is told to, and faults of this program are none of a device', async () => {
    const { options } = machine({ cpu: { products: 1 }, webgpu: { products: new TypeError('a fault') } });
    await expect(measureDevices('float16', options)).rejects.toThrow('a fault');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(measureDevices('float16', { ...options, signal })).rejects.toThrow('enough');
  });

  it('is no question where a device is named', async () => {
    expect(await chooseDevice('cpu', 'float16')).toEqual({ device: 'cpu', trials: [] });
  });

  it('is something that works, here, and is measured once', async () => {
    const choice = await chooseDevice('auto', 'float32');
    expect(await chooseDevice('auto', 'float32')).toBe(choice);
    await using host = startHost();
    expect(await host.load(yardstick('portable', 'float32').model, choice.device)).toBeDefined();
  });

  it('is still found when somebody else stops who asked first', async () => {
    const controller = new AbortController();
    const first = chooseDevice('auto', 'float16', controller.signal);
    const second = chooseDevice('auto', 'float16');
    controller.abort(new Error('enough'));
    if (listDevices().some(({ device, installed }) => installed && device !== 'cpu'))
      await expect(first).rejects.toThrow('enough');
    expect((await second).device).toBeDefined();
  });
});

describe('the small UNet', () => {
  it('gives the same in the graphs of different targets, and numbers of a sane size', async () => {
    await using host = startHost();
    const outputs: Float32Array[] = [];
    for (const [target, type] of [
      ['portable', 'float32'],
      ['cpu', 'float32'],
      ['portable', 'float16'],
    ] as const) {
      const { model, feeds } = yardstick(target, type);
      const { outputs: found } = await (await host.load(model, 'cpu')).run(feeds);
      outputs.push(found['out_sample']?.data as Float32Array);
    }
    const [portable, cpu, half] = outputs as [Float32Array, Float32Array, Float32Array];
    expect(relativeRms(cpu, portable)).toBeLessThan(1e-4);
    expect(relativeRms(half, portable)).toBeLessThan(2e-2);
    const size = Math.sqrt(portable.reduce((sum, x) => sum + x * x, 0) / portable.length);
    expect(size).toBeGreaterThan(0.01);
    expect(size).toBeLessThan(100);
  });
});

/**
 * The graphs of one package in an inference process of their own: loaded on first use, kept from sample to sample. A process
 * that failed or was ended in the middle of a run is replaced by a new one when a graph is next asked for.
 */
import { UsageError } from '../errors.ts';
import type { DeviceChoice } from './choose-device.ts';
import type { Device } from './device.ts';
import { type ChosenGraph, readRunnable } from './graph-contract.ts';
import { type InferenceHost, startHost } from './host.ts';
import type { GraphFile, ModelName, VideoPackage } from './package-folder.ts';
import { loadPlaced, type PlacedSession, type PlacementOptions } from './placement.ts';
import { probeDevice } from './probe.ts';

export interface GraphSessions extends AsyncDisposable {
  readonly pkg: VideoPackage;
  readonly device: Device;
  /** How `device` was chosen. */
  readonly choice: DeviceChoice;
  /**
   * What the files that a sample has chosen say of themselves.
   * @throws InputMissingError, FormatError when a graph is not what a package promises.
   */
  read(files: Readonly<Record<ModelName, GraphFile>>): Promise<Readonly<Record<ModelName, ChosenGraph>>>;
  /**
   * A graph of each model is kept: one of another shape takes the place of the one before.
   * @throws UnavailableError when the device does not work, RuntimeFailure when the graph does not load, or not without parts of it on the CPU.
   */
  session(model: ModelName, path: string): Promise<PlacedSession>;
  /** The most memory the process has had resident, in bytes. */
  peakBytes(): Promise<number>;
  /** Ends the process at once when `signal` aborts, until what is returned is disposed; calls in flight reject with its reason. */
  endOn(signal: AbortSignal | undefined): Disposable;
  /** Ends the process; the next session is one of a new process. */
  restart(): Promise<void>;
}

/** The same process for a package that has graphs in common with this one: those stay loaded from one to the other. */
export function sharedWith(sessions: GraphSessions, pkg: VideoPackage): GraphSessions {
  return { ...sessions, pkg, read: (files) => readRunnable(pkg, files) };
}

interface Running {
  readonly host: InferenceHost;
  readonly kill: AbortController;
  readonly sessions: Map<ModelName, { readonly path: string; readonly loading: Promise<PlacedSession> }>;
}

/** Starts nothing yet. */
export function openGraphs(pkg: VideoPackage, choice: DeviceChoice, placement: PlacementOptions = {}): GraphSessions {
  const { device } = choice;
  let running: Running | undefined;
  let closed = false;
  const known = new Map<string, ReturnType<GraphSessions['read']>>();

  const process = () => {
    if (closed) throw new UsageError(`The package ${pkg.folder} has been closed; load it again to sample.`);
    if (!running) {
      const kill = new AbortController();
      running = { host: startHost(kill.signal), kill, sessions: new Map() };
    }
    return running;
  };
  const restart = async () => {
    const ending = running;
    running = undefined;
    known.clear(); // whatever is wrong may be put right before the next sample
    await ending?.host[Symbol.asyncDispose]();
  };

  return {
    pkg,
    device,
    choice,
    read(files) {
      const key = Object.values(files)
        .map(({ path }) => path)
        .join('\n');
      const reading = known.get(key) ?? readRunnable(pkg, files);
      known.set(key, reading);
      return reading;
    },
    async session(model, path) {
      const { host, kill, sessions } = process();
      const kept = sessions.get(model);
      if (kept?.path === path) return kept.loading;
      await (await kept?.loading)?.[Symbol.asyncDispose]();
      const loading = loadPlaced(host, path, device, placement).catch(async (error: unknown) => {
        await probeDevice(device, kill.signal); // is it the graph, or the device?
        throw error;
      });
      sessions.set(model, { path, loading });
      return loading;
    },
    peakBytes: async () => process().host.peakBytes(),
    endOn(signal) {
      signal?.throwIfAborted();
      // a process that is not there yet is started, so that there is something to end
      const { kill } = process();
      const end = () => kill.abort(signal?.reason);
      signal?.addEventListener('abort', end, { once: true });
      return { [Symbol.dispose]: () => signal?.removeEventListener('abort', end) };
    },
    restart,
    async [Symbol.asyncDispose]() {
      closed = true;
      await restart();
    },
  };
}

/** How long a server has said nothing: a connection that has fallen silent counts as lost. */

export interface Watch {
  /** Aborted by silence and by the signal outside. */
  readonly signal: AbortSignal;
  /** From now on silence counts. */
  touch(): void;
  /** Silence does not count until the next touch. */
  rest(): void;
  end(): void;
}

/** `milliseconds` of silence abort it; they count from now on. `outer` does so at any time, with its own reason. */
export function watchSilence(milliseconds: number, outer: AbortSignal | undefined): Watch {
  const controller = new AbortController();
  const stop = () => controller.abort(outer?.reason);
  if (outer?.aborted) stop();
  outer?.addEventListener('abort', stop, { once: true });
  let timer: NodeJS.Timeout | undefined;
  const rest = () => clearTimeout(timer);
  const touch = () => {
    rest();
    timer = setTimeout(() => controller.abort(new Silence(milliseconds)), milliseconds);
  };
  touch();
  return {
    signal: controller.signal,
    touch,
    rest,
    end() {
      rest();
      outer?.removeEventListener('abort', stop);
    },
  };
}

class Silence extends Error {
  constructor(milliseconds: number) {
    super(`nothing came for ${milliseconds / 1000} seconds`);
  }
}

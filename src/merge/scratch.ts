/**
 * Memory that is used again and again. The first touch of a fresh page costs more than reading or multiplying what will lie in
 * it (a page fault, zeros, and on a virtual machine another fault below), so whatever streams tensors keeps its buffers.
 */

export interface Scratch {
  /** Memory for so many bytes, contents undefined, until the next `reset`. */
  readonly take: (bytes: number) => Uint8Array;
  /** Everything that was taken may be taken again. */
  reset(): void;
}

/** The n-th request after each reset gets the same memory, grown where it must; sizes are powers of two, so that growth ends soon. */
export function createScratch(): Scratch {
  const buffers: ArrayBuffer[] = [];
  let taken = 0;
  return {
    take(bytes) {
      const known = buffers[taken];
      let buffer = known;
      if (!buffer || buffer.byteLength < bytes) {
        known?.transfer(0); // frees it now; the garbage collector would keep it for long, as it weighs nothing in the heap
        buffer = fresh(2 ** Math.ceil(Math.log2(Math.max(bytes, 1))));
        buffers[taken] = buffer;
      }
      taken += 1;
      return new Uint8Array(buffer, 0, bytes);
    },
    reset() {
      taken = 0;
    },
  };
}

/** Unlike `new ArrayBuffer`, this touches no page before it is written to: rounding sizes up costs address space only. */
function fresh(bytes: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer;
}

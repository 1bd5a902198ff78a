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

/** The n-th request after each reset gets the same memory, grown where it must. */
export function createScratch(): Scratch {
  const buffers: ArrayBuffer[] = [];
  let taken = 0;
  return {
    take(bytes) {
      const known = buffers[taken];
      let buffer = known;
      if (!buffer || buffer.byteLength < bytes) {
        known?.transfer(0); // frees it now; the garbage collector would keep it for long, as it weighs nothing in the heap
        buffer = fresh(bytes);
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

/**
 * Buffers above the first size are made as large as the second at once. That costs address space only (unlike `new ArrayBuffer`,
 * `allocUnsafeSlow` touches no page before it is written to), and glibc takes memory of more than 32 MiB from the system
 * and gives it back, where smaller pieces that grow in turns would leave holes in its heap.
 */
const [LARGE, AT_ONCE] = [1 << 20, 1 << 26];

function fresh(bytes: number): ArrayBuffer {
  const size = Math.max(2 ** Math.ceil(Math.log2(Math.max(bytes, 1))), bytes > LARGE ? AT_ONCE : 0);
  return Buffer.allocUnsafeSlow(size).buffer as ArrayBuffer;
}

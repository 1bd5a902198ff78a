/**
 * `torch.randn` and `torch.randperm` on the CPU, for the same seed: MT19937 and Box–Muller in the order of PyTorch's kernels.
 * Source of truth: ATen/core/MT19937RNGEngine.h, ATen/core/DistributionsHelper.h, aten/src/ATen/native/cpu/DistributionTemplates.h,
 * aten/src/ATen/native/TensorFactories.cpp (2.13).
 */
import { UsageError } from '../errors.ts';

export interface Generator {
  /** The next `count` standard normal values, as `torch.randn(count, generator=…)` draws them: within 2e-6. */
  randn(count: number): Float32Array;
  /** 0 … count−1 in an order of chance, as `torch.randperm(count, generator=…)` gives them. */
  randperm(count: number): number[];
}

/** From this size on `normal_` fills the buffer in blocks; below it draws one double after the other. */
const BLOCK = 16;
const HALF_BLOCK = BLOCK / 2;
/** 2π as the float32 that the block kernel multiplies with. */
const TWO_PI_FLOAT32 = Math.fround(2 * Math.PI);

/**
 * A generator as `torch.Generator().manual_seed(seed)` makes it. Torch takes −2⁶³ … 2⁶⁴−1 and seeds MT19937 with the
 * low 32 bits. Throws UsageError outside that range and for a number that is not a safe integer.
 */
export function createGenerator(seed: number | bigint): Generator {
  const nextUint32 = mersenneTwister(lowBits(seed));
  /** The second half of the last Box–Muller pair of doubles; a block fill neither uses nor clears it. */
  let spare: number | undefined;

  const uniformFloat32 = () => (nextUint32() & 0xffffff) / 2 ** 24;
  const uniformFloat64 = () => {
    const high = nextUint32() & 0x1fffff;
    return (high * 2 ** 32 + nextUint32()) / 2 ** 53;
  };
  const nextNormal = () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const theta = 2 * Math.PI * uniformFloat64();
    const radius = Math.sqrt(-2 * Math.log1p(-uniformFloat64()));
    spare = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  };
  /** Turns 16 uniforms into 16 normals in place: element j is the radius and j + 8 the angle of one pair. */
  const boxMuller = (block: Float32Array) => {
    for (let j = 0; j < HALF_BLOCK; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - (block[j] as number)));
      const theta = Math.fround(TWO_PI_FLOAT32 * (block[j + HALF_BLOCK] as number));
      block[j] = radius * Math.cos(theta);
      block[j + HALF_BLOCK] = radius * Math.sin(theta);
    }
  };
  const fillBlocks = (values: Float32Array) => {
    for (let i = 0; i < values.length; i++) values[i] = uniformFloat32();
    for (let i = 0; i + BLOCK <= values.length; i += BLOCK) boxMuller(values.subarray(i, i + BLOCK));
    if (values.length % BLOCK === 0) return values;
    // The last 16 values are drawn anew, over what the blocks left there.
    const tail = values.subarray(values.length - BLOCK);
    for (let i = 0; i < BLOCK; i++) tail[i] = uniformFloat32();
    boxMuller(tail);
    return values;
  };
  return {
    randn(count) {
      const values = new Float32Array(count);
      return count >= BLOCK ? fillBlocks(values) : values.map(nextNormal);
    },
    randperm(count) {
      const order = Array.from({ length: count }, (_, i) => i);
      for (let i = 0; i < count - 1; i++) {
        const other = i + (nextUint32() % (count - i));
        [order[i], order[other]] = [order[other] as number, order[i] as number];
      }
      return order;
    },
  };
}

function lowBits(seed: number | bigint): number {
  const isWhole = typeof seed === 'bigint' || Number.isSafeInteger(seed);
  if (!isWhole || seed < -(2n ** 63n) || seed >= 2n ** 64n) {
    throw new UsageError(
      `The seed ${seed} cannot be used: expected a whole number from −2^63 to 2^64 − 1, as torch takes, ` +
        'and beyond 2^53 a bigint.',
    );
  }
  return Number(BigInt.asUintN(32, BigInt(seed)));
}

/** MT19937 (Matsumoto and Nishimura 1998) with the initialisation of 2002; gives uint32 after uint32. */
function mersenneTwister(seed: number): () => number {
  const size = 624;
  const period = 397;
  const state = new Uint32Array(size);
  state[0] = seed;
  for (let j = 1; j < size; j++) {
    const previous = state[j - 1] as number;
    state[j] = Math.imul(1812433253, previous ^ (previous >>> 30)) + j;
  }
  let next = size;

  const twistAll = () => {
    for (let j = 0; j < size; j++) {
      const low = state[(j + 1) % size] as number;
      const mixed = ((state[j] as number) & 0x80000000) | (low & 0x7fffffff);
      state[j] = (state[(j + period) % size] as number) ^ (mixed >>> 1) ^ (low & 1 ? 0x9908b0df : 0);
    }
    next = 0;
  };
  return () => {
    if (next === size) twistAll();
    let y = state[next++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/** Fused operators do what the plain ones do one after the other, so their operations are the sum. */
import { describe, expect, it } from 'vitest';
import { KNOWN_OPERATORS, type NodeWork, nodeWork } from '../../src/onnx/node-cost.ts';

type Shape = readonly number[] | undefined;

/** Of a node on float32 tensors. */
function work(
  operator: string,
  inputs: readonly Shape[],
  outputs: readonly Shape[],
  attributes: Readonly<Record<string, number | string | readonly number[]>> = {},
): NodeWork | undefined {
  const [opType = '', domain = ''] = operator.split(':').reverse();
  const sized = (shape: Shape) => {
    const count = shape?.reduce((n, length) => n * length, 1) ?? 0;
    return shape && { shape, count, bytes: 4 * count };
  };
  return nodeWork({ opType, domain }, { attributes, inputs: inputs.map(sized), outputs: outputs.map(sized) });
}

const flops = (...of: Parameters<typeof work>) => {
  const { matrix_flops, other_flops } = work(...of) as NodeWork;
  return [matrix_flops, other_flops];
};
const sum = (...parts: readonly number[][]) => [0, 1].map((i) => parts.reduce((n, part) => n + (part[i] as number), 0));

describe('products', () => {
  it('count a multiplication and an addition for every element of the weight that an output element meets', () => {
    expect(
      flops(
        'MatMul',
        [
          [5, 3, 7],
          [7, 2],
        ],
        [[5, 3, 2]],
      ),
    ).toEqual([2 * 5 * 3 * 2 * 7, 0]);
    expect(flops('MatMul', [[7], [7]], [[]])).toEqual([14, 0]);
    expect(flops('Gemm', [[3, 7], [7, 2], [2]], [[3, 2]])).toEqual([2 * 3 * 2 * 7, 6]);
    expect(
      flops(
        'Gemm',
        [
          [7, 3],
          [7, 2],
        ],
        [[3, 2]],
        { transA: 1 },
      ),
    ).toEqual([2 * 3 * 2 * 7, 0]);
    expect(flops('Conv', [[2, 8, 9, 9], [6, 8, 3, 3], [6]], [[2, 6, 5, 5]])).toEqual([2 * 300 * 72, 300]);
    expect(
      flops(
        'Conv',
        [
          [1, 8, 4, 4],
          [8, 1, 3, 3],
        ],
        [[1, 8, 4, 4]],
        { group: 8 },
      ),
    ).toEqual([2 * 128 * 9, 0]);
    expect(
      flops(
        'ConvTranspose',
        [
          [1, 8, 4, 4],
          [8, 3, 2, 2],
        ],
        [[1, 3, 8, 8]],
      ),
    ).toEqual([2 * 128 * 12, 0]);
  });

  it('are the same in another layout', () => {
    expect(flops('com.microsoft:NhwcConv', [[2, 9, 9, 8], [6, 3, 3, 8], [6]], [[2, 5, 5, 6]])).toEqual(
      flops('Conv', [[2, 8, 9, 9], [6, 8, 3, 3], [6]], [[2, 6, 5, 5]]),
    );
    expect(
      flops(
        'com.microsoft:FusedMatMul',
        [
          [4, 7, 3],
          [4, 2, 7],
        ],
        [[4, 3, 2]],
        { transA: 1, transB: 1 },
      ),
    ).toEqual(
      flops(
        'MatMul',
        [
          [4, 3, 7],
          [4, 7, 2],
        ],
        [[4, 3, 2]],
      ),
    );
    expect(
      flops(
        'com.microsoft:FusedMatMul',
        [
          [3, 7],
          [7, 2],
        ],
        [[3, 2]],
        { alpha: 0.5 },
      ),
    ).toEqual([84, 6]);
    const turned = { transBatchA: 1, transBatchB: 1, transB: 1 };
    expect(
      flops(
        'com.microsoft:FusedMatMul',
        [
          [3, 4, 5, 7],
          [2, 4, 5, 7],
        ],
        [[4, 5, 3, 2]],
        turned,
      ),
    ).toEqual(
      flops(
        'MatMul',
        [
          [4, 5, 3, 7],
          [4, 5, 7, 2],
        ],
        [[4, 5, 3, 2]],
      ),
    );
    expect(
      flops(
        'Einsum',
        [
          [6, 3, 3],
          [4, 5, 3, 3],
        ],
        [[6, 5, 4]],
        { equation: 'phw,oihw->pio' },
      ),
    ).toEqual([2 * 6 * 9 * 20, 0]);
  });
});

describe('attention', () => {
  const [B, N, S, T, H] = [2, 4, 6, 9, 5];
  const D = N * H;
  const heads = { num_heads: N };
  /** Scaling of the logits, two products, softmax. */
  const plain = (keys: number) =>
    sum(
      flops('Mul', [[B, N, S, keys], []], [[B, N, S, keys]]),
      flops(
        'MatMul',
        [
          [B, N, S, H],
          [B, N, H, keys],
        ],
        [[B, N, S, keys]],
      ),
      flops('Softmax', [[B, N, S, keys]], [[B, N, S, keys]]),
      flops(
        'MatMul',
        [
          [B, N, S, keys],
          [B, N, keys, H],
        ],
        [[B, N, S, H]],
      ),
    );
  const MHA = 'com.microsoft:MultiHeadAttention';

  it.each([
    [
      'three tensors',
      MHA,
      [
        [B, S, D],
        [B, T, D],
        [B, T, D],
      ],
      heads,
      T,
    ],
    [
      'keys and values by heads',
      MHA,
      [
        [B, S, D],
        [B, N, T, H],
        [B, N, T, H],
      ],
      heads,
      T,
    ],
    [
      'packed keys and values',
      MHA,
      [
        [B, S, D],
        [B, T, N, 2, H],
      ],
      heads,
      T,
    ],
    ['all packed', MHA, [[B, S, N, 3, H]], heads, S],
    [
      'ONNX, rank 3',
      'Attention',
      [
        [B, S, D],
        [B, T, D],
        [B, T, D],
      ],
      { q_num_heads: N, kv_num_heads: N },
      T,
    ],
    [
      'ONNX, shared keys',
      'Attention',
      [
        [B, S, D],
        [B, T, 2 * H],
        [B, T, 2 * H],
      ],
      { q_num_heads: N, kv_num_heads: 2 },
      T,
    ],
  ] as const)('of %s is two products and a softmax', (_, operator, inputs, attributes, keys) => {
    expect(flops(operator, inputs, [[B, S, D]], attributes)).toEqual(plain(keys));
  });

  it('by heads in ONNX', () => {
    expect(
      flops(
        'Attention',
        [
          [B, N, S, H],
          [B, N, T, H],
          [B, N, T, H],
        ],
        [[B, N, S, H]],
      ),
    ).toEqual(plain(T));
  });

  it('adds biases and masks', () => {
    const inputs = [[B, S, D], [B, T, D], [B, T, D], [3 * D], undefined, [1, 1, S, T]];
    expect(flops(MHA, inputs, [[B, S, D]], heads)).toEqual(sum(plain(T), [0, B * D * (S + 2 * T)], [0, B * N * S * T]));
  });

  it('reads and writes its operands, never the scores', () => {
    expect(
      work(
        MHA,
        [
          [B, S, D],
          [B, T, D],
          [B, T, D],
        ],
        [[B, S, D]],
        heads,
      ),
    ).toMatchObject({
      read: [4 * B * S * D, 4 * B * T * D, 4 * B * T * D],
      written: 4 * B * S * D,
    });
  });

  it('with a past is not understood', () => {
    const past = [B, N, 3, H];
    const inputs = [[B, S, D], [B, S, D], [B, S, D], undefined, undefined, undefined, past, past];
    expect(work(MHA, inputs, [[B, S, D]], heads)).toBeUndefined();
  });
});

describe('fused operators', () => {
  const x = [2, 6, 8];
  const elementwise = (operator: string, shape: readonly number[] = x) =>
    flops(operator, operator === 'Add' || operator === 'Mul' ? [shape, shape] : [shape], [shape]);
  const norm = flops('LayerNormalization', [x, [8], [8]], [x]);
  const silu = sum(elementwise('Sigmoid'), elementwise('Mul'));

  it.each([
    ['BiasGelu', [x, [8]], [x], {}, sum(elementwise('Add'), elementwise('Gelu'))],
    ['BiasAdd', [x, [8], x], [x], {}, sum(elementwise('Add'), elementwise('Add'))],
    ['QuickGelu', [x], [x], { alpha: 1.702 }, sum(elementwise('Mul'), silu)],
    [
      'BiasSplitGelu',
      [[2, 6, 16], [16]],
      [x],
      {},
      sum(elementwise('Add', [2, 6, 16]), elementwise('Gelu'), elementwise('Mul')),
    ],
    ['SkipLayerNormalization', [x, x, [8], [8]], [x], {}, sum(elementwise('Add'), norm)],
    [
      'SkipLayerNormalization',
      [x, x, [8], [8], [8]],
      [x, undefined, undefined, x],
      {},
      sum(elementwise('Add'), elementwise('Add'), norm),
    ],
    ['GroupNorm', [x, [8], [8]], [x], { groups: 2, activation: 0 }, norm],
    ['GroupNorm', [x, [8], [8]], [x], { groups: 2, activation: 1 }, sum(norm, silu)],
    [
      'SkipGroupNorm',
      [x, [8], [8], x, [8]],
      [x, x],
      { activation: 1 },
      sum(elementwise('Add'), elementwise('Add'), norm, silu),
    ],
  ] as const)('%s of %j', (operator, inputs, outputs, attributes, expected) => {
    expect(flops(`com.microsoft:${operator}`, inputs, outputs, attributes)).toEqual(expected);
  });

  it('write what they are asked for', () => {
    const name = 'com.microsoft:SkipLayerNormalization';
    expect(work(name, [x, x, [8], [8]], [x, undefined, undefined, x])?.written).toBe(2 * 4 * 96);
    expect(work(name, [x, x, [8], [8]], [x])?.written).toBe(4 * 96);
  });
});

describe('movement', () => {
  it('computes nothing', () => {
    for (const operator of ['Transpose', 'Concat', 'Cast', 'Reshape', 'Slice', 'Resize']) {
      expect(flops(operator, [[4, 6]], [[4, 6]])).toEqual([0, 0]);
    }
  });

  it('moves what it must: views nothing, picks what comes out', () => {
    expect(work('Transpose', [[4, 6]], [[6, 4]])).toMatchObject({ read: [96], written: 96 });
    expect(work('Reshape', [[4, 6], [2]], [[6, 4]])).toMatchObject({ read: [0, 0], written: 0 });
    expect(work('Shape', [[4, 6]], [[2]])).toMatchObject({ read: [0], written: 0 });
    expect(work('Gather', [[49408, 6], [3]], [[3, 6]])).toMatchObject({ read: [72, 12], written: 72 });
  });
});

it('an operator or a use of it that has no formula is said to be unknown', () => {
  expect(work('Loop', [[1]], [[1]])).toBeUndefined();
  expect(work('com.microsoft:NoSuch', [[1]], [[1]])).toBeUndefined();
  expect(
    work(
      'org.example:MatMul',
      [
        [1, 1],
        [1, 1],
      ],
      [[1, 1]],
    ),
  ).toBeUndefined();
  expect(work('Resize', [[1, 1, 2, 2]], [[1, 1, 4, 4]], { mode: 'cubic' })).toBeUndefined();
  expect(KNOWN_OPERATORS).toContain('com.microsoft:NhwcConv');
});

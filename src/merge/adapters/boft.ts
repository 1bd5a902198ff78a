/**
 * BOFT: a butterfly of rotations. Stage i takes rows that lie 2^i·size/2 apart together and turns each block by R_i, interpolated
 * toward the identity by the strength, stage by stage as LyCORIS does; then `rescale`. Source: LyCORIS functional/boft.py.
 */
import * as op from '../../onnx/ops.ts';
import type { Adapter } from './adapter.ts';
import { partialRotation, planRotation, type RotationTerm, rescaled } from './oft.ts';
import { matrixSizes } from './shapes.ts';

export interface BoftTerm extends RotationTerm<'boft'> {}

export const boft: Adapter<BoftTerm> = {
  kind: 'boft',
  parts: ['oft_blocks', 'rescale', 'alpha'],
  plan: (module, options) => planRotation('boft', 4, module, options),
  arithmetic: {
    rows: () => undefined,
    apply(f, { constraint }, scale, weight) {
      const { s } = f;
      const [out, into, kernel] = matrixSizes(f.shape);
      const [stages, count, size] = f.shapeOf('blocks') as readonly [number, number, number];
      const rotations = op.Split(s, op.Reshape(s, partialRotation(f, constraint, scale), [stages, count, size, size]), {
        axis: 0,
        parts: stages,
      });
      const columns = into * kernel;
      let x = weight;
      for (const [i, rotation] of rotations.entries()) {
        const apart = 2 ** i * (size / 2);
        const groups = out / (2 * apart);
        const together = op.Transpose(s, op.Reshape(s, x, [groups, 2, apart, columns]), [0, 2, 1, 3]);
        const turned = op.MatMul(
          s,
          op.Reshape(s, rotation, [count, size, size]),
          op.Reshape(s, together, [count, size, columns]),
        );
        const back = op.Transpose(s, op.Reshape(s, turned, [groups, apart, 2, columns]), [0, 2, 1, 3]);
        x = op.Reshape(s, back, [out, columns]);
      }
      return rescaled(f, x, scale);
    },
  },
};

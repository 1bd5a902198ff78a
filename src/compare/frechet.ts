/**
 * The Fréchet distance between the Gaussians that fit two sets of features: FID over pictures (Heusel et al. 2017, eq. 6), FVD
 * over the features of a video network (Unterthiner et al. 2018). Held to scipy's `sqrtm` by test/oracle/metrics.py.
 */
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { RuntimeFailure, UsageError } from '../errors.ts';

/** What float64 leaves of terms that cancel: a set is at distance 0 from itself. */
const ROUNDING = 1e-12;

/**
 * ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2·√(Σ₁Σ₂)) of rows of features, with unbiased covariances.
 *
 * No square root of a matrix is taken: with Σ = AᵀA, where A holds the centred rows over √(n − 1), the eigenvalues of Σ₁Σ₂ are the
 * squared singular values of A₁A₂ᵀ. That is n₁ × n₂ however long the features are, and exact for fewer clips than features.
 * @throws UsageError for fewer than two rows on a side, or rows of different lengths; RuntimeFailure for what is not finite.
 */
export function frechetDistance(first: readonly Float32Array[], second: readonly Float32Array[]): number {
  const length = first[0]?.length ?? 0;
  if (first.length < 2 || second.length < 2)
    throw new UsageError(
      `A Fréchet distance compares distributions: it takes at least two clips on each side, not ${first.length} and ${second.length}. ` +
        'Give more prompts or more seeds.',
    );
  if ([...first, ...second].some((row) => row.length !== length))
    throw new UsageError('The features to compare have different lengths; they are not of one model.');
  if ([...first, ...second].some((row) => !row.every(Number.isFinite)))
    throw new RuntimeFailure(
      'The features of a clip are not finite numbers; the network that made them overflowed or is broken.',
    );
  const [a, b] = [gaussian(first, length), gaussian(second, length)];
  const apart = a.mean.reduce((sum, mean, i) => sum + (mean - (b.mean[i] as number)) ** 2, 0);
  const { diagonal } = new SingularValueDecomposition(a.deviations.mmul(b.deviations.transpose()), {
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false,
    autoTranspose: true,
  });
  const shared = diagonal.reduce((sum, value) => sum + value, 0);
  const total = apart + a.variance + b.variance;
  const distance = total - 2 * shared;
  return distance <= ROUNDING * total ? 0 : distance;
}

/** The mean, the total variance, and the centred rows over √(n − 1), in float64. */
function gaussian(rows: readonly Float32Array[], length: number) {
  const mean = new Float64Array(length);
  for (const row of rows) for (let i = 0; i < length; i += 1) mean[i] = (mean[i] as number) + (row[i] as number);
  for (let i = 0; i < length; i += 1) mean[i] = (mean[i] as number) / rows.length;
  const scale = 1 / Math.sqrt(rows.length - 1);
  const deviations = new Matrix(
    rows.map((row) => Array.from(row, (value, i) => (value - (mean[i] as number)) * scale)),
  );
  const variance = deviations.to1DArray().reduce((sum, value) => sum + value * value, 0);
  return { mean, deviations, variance };
}

/** What two packages were made of: each source by its role and its SHA-256, so that a file is known again under another name or role. */
import type { Lock, LockedInput } from '../../export/lock.ts';

export interface Source {
  /** `lcm`, `personalized[0]` … */
  readonly role: string;
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Of one that came from the Hub. */
  readonly reference?: string;
  readonly commit?: string;
}

export interface SourcePair {
  /** `renamed`: the same bytes in the same role from elsewhere; `moved`: the same bytes in another role. */
  readonly kind: 'same' | 'renamed' | 'moved' | 'exchanged' | 'only_a' | 'only_b';
  readonly a?: Source;
  readonly b?: Source;
}

/** Rules by which a source of the one is found in the other, the surest first. */
const MATCHES: readonly ((a: Source, b: Source) => boolean)[] = [
  (a, b) => a.role === b.role && a.sha256 === b.sha256,
  (a, b) => a.sha256 === b.sha256,
  (a, b) => a.role === b.role,
];

/** Every source of both, in the order of the first recipe, then of the second. */
export function sourcePairs(a: Lock, b: Lock): readonly SourcePair[] {
  const [own, others] = [a.inputs.map((input) => sourceOf(a, input)), b.inputs.map((input) => sourceOf(b, input))];
  const found = new Map<Source, Source>();
  const left = new Set(others);
  for (const matches of MATCHES)
    for (const source of own) {
      const other = found.has(source) ? undefined : [...left].find((candidate) => matches(source, candidate));
      if (!other) continue;
      found.set(source, other);
      left.delete(other);
    }
  return [
    ...own.map((source) => pairOf(source, found.get(source))),
    ...[...left].map((source) => ({ kind: 'only_b' as const, b: source })),
  ];
}

function pairOf(a: Source, b: Source | undefined): SourcePair {
  if (!b) return { kind: 'only_a', a };
  if (a.sha256 !== b.sha256) return { kind: 'exchanged', a, b };
  if (a.role !== b.role) return { kind: 'moved', a, b };
  const isFromElsewhere = (['file', 'reference', 'commit'] as const).some((key) => a[key] !== b[key]);
  return { kind: isFromElsewhere ? 'renamed' : 'same', a, b };
}

function sourceOf({ origins }: Lock, { role, file, sha256, bytes, origin }: LockedInput): Source {
  const from = origin !== undefined && origins && Object.hasOwn(origins, origin) ? origins[origin] : undefined;
  return { role, file, sha256, bytes, ...(from && { reference: from.reference, commit: from.commit }) };
}

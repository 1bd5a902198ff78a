/** What publishing would do, in words. */
import { formatBytes, formatTime } from '../text/quantity.ts';
import { describeStanding } from './place.ts';
import type { Publication } from './preview.ts';

/** Everything but the files, as labels and texts. */
export function describePublication({
  folder,
  to,
  verdict,
  verifiedAt,
  bytes,
  target,
}: Publication): [string, string][] {
  const { replaces, free } = target ?? {};
  return [
    ['package', folder],
    ['verification', verifiedAt === undefined ? verdict : `${verdict}, ${formatTime(verifiedAt)}`],
    ['to', to],
    ...(target ? [['replaces', replaces ? describeStanding(replaces) : 'nothing'] as [string, string]] : []),
    ...(free === undefined
      ? []
      : [['room', `${formatBytes(free)}, of which ${formatBytes(bytes)} would be used`] as [string, string]]),
  ];
}

/** What publishing would do, in words. */
import { describeKey, type KeyName } from '../sign/keys.ts';
import { SIGNATURE_FILE } from '../sign/manifest.ts';
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
  signer,
  files,
  target,
}: Publication): [string, string][] {
  const { replaces, free } = target ?? {};
  return [
    ['package', folder],
    ['verification', verifiedAt === undefined ? verdict : `${verdict}, ${formatTime(verifiedAt)}`],
    ...describeSigning(signer, files),
    ['to', to],
    ...(target ? [['replaces', replaces ? describeStanding(replaces) : 'nothing'] as [string, string]] : []),
    ...(free === undefined
      ? []
      : [['room', `${formatBytes(free)}, of which ${formatBytes(bytes)} would be used`] as [string, string]]),
  ];
}

function describeSigning(signer: KeyName | undefined, files: Publication['files']): [string, string][] {
  if (signer) return [['signature', `would be made with the ${describeKey(signer)}`]];
  return files.some(({ name }) => name === SIGNATURE_FILE) ? [['signature', `${SIGNATURE_FILE} of the package`]] : [];
}

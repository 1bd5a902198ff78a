/** What publishing would do, in words. */
import { describeKey, type KeyName } from '../sign/keys.ts';
import { SIGNATURE_FILE } from '../sign/manifest.ts';
import { formatBytes, formatTime } from '../text/quantity.ts';
import { describeStanding, type HubTarget } from './place.ts';
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
  const { replaces, free, hub } = target ?? {};
  return [
    ['package', folder],
    ['verification', verifiedAt === undefined ? verdict : `${verdict}, ${formatTime(verifiedAt)}`],
    ...describeSigning(signer, files),
    ['to', to],
    ...(target ? [['replaces', replaces ? describeStanding(replaces) : 'nothing'] as [string, string]] : []),
    ...(hub ? describeHub(hub) : []),
    ...(free === undefined
      ? []
      : [['room', `${formatBytes(free)}, of which ${formatBytes(bytes)} would be used`] as [string, string]]),
  ];
}

function describeHub({ account, mayWrite, creates, pullRequest }: HubTarget): [string, string][] {
  const told = mayWrite === 'yes' ? 'whose token may write' : 'whether the token may write shows when it does';
  return [
    ['as', `${account}, ${told}`],
    ...(creates ? [['creates', `the ${creates}`] as [string, string]] : []),
    ...(pullRequest ? [['offers', 'a pull request'] as [string, string]] : []),
  ];
}

function describeSigning(signer: KeyName | undefined, files: Publication['files']): [string, string][] {
  if (signer) return [['signature', `would be made with the ${describeKey(signer)}`]];
  return files.some(({ name }) => name === SIGNATURE_FILE) ? [['signature', `${SIGNATURE_FILE} of the package`]] : [];
}

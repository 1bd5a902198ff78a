/** `publish`: a verified package to its place; `--dry-run`: what that would do. */

import { failureOf } from '../../exit-codes.ts';
import { describePublication } from '../../publish/describe.ts';
import { type Publication, previewPublication } from '../../publish/preview.ts';
import { publish } from '../../publish/publish.ts';
import { refusalError } from '../../publish/refusal.ts';
import { table } from '../../text/columns.ts';
import { count, formatBytes } from '../../text/quantity.ts';
import { type Paint, sanitise } from '../../text/terminal.ts';
import type { Command, Outcome } from '../context.ts';
import { signerFor } from '../signer.ts';

export const publishCommand: Command<'publish'> = async (args, { signal, follow, paint }) => {
  const { package: folder, to, sign } = args;
  const signer = sign === undefined ? undefined : await signerFor(sign, folder);
  const wishes = {
    to,
    ...(args.private && { private: true }),
    ...(args['pull-request'] && { pullRequest: true }),
    ...(args.message !== undefined && { message: args.message }),
  };
  if (args['dry-run']) return describe(await follow(previewPublication(folder, { ...wishes, signer, signal })), paint);
  const { to: published, ...sent } = await follow(publish(folder, { ...wishes, signer, signal }));
  const text = sent.pullRequest === undefined ? published : `${published}\n${sanitise(sent.pullRequest)}`;
  return { text, value: { published, ...sent } };
};

/** Ends as publishing would. */
function describe(publication: Publication, paint: Paint): Outcome {
  const [first] = publication.refusals;
  return {
    text: render(publication, paint),
    value: publication,
    ...(first && {
      complaint: publication.refusals.map(({ message }) => message).join('\n'),
      exitCode: failureOf(refusalError(first)).exitCode,
    }),
  };
}

function render(publication: Publication, paint: Paint): string {
  const { files, bytes, signer, refusals } = publication;
  const rows = files.map(({ name, bytes: size, sha256 }) => [
    sanitise(name),
    formatBytes(size),
    sha256?.slice(0, 12) ?? '–',
  ]);
  const sum = `${count(files.length, 'file')}, ${formatBytes(bytes)}${signer ? ', and the signature' : ''}${refusals.length > 0 ? '; nothing would be published' : ''}`;
  return [
    sanitise(table(describePublication(publication))),
    `${paint('bold', 'Files')}\n${table([['file', 'size', 'sha256'], ...rows], { right: [1] })}`,
    sum,
  ].join('\n\n');
}

/** `sign`: a verified package gets a signature that others can check. */
import { signPackage } from '../../publish/sign.ts';
import type { Command } from '../context.ts';
import { signerFor } from '../signer.ts';

export const signCommand: Command<'sign'> = async ({ package: folder, key, out }, { signal, follow }) => {
  const signed = await follow(signPackage(folder, { signer: await signerFor(key, folder), out, signal }));
  return { text: signed.signature, value: signed };
};

/** `pull`: a package from the Hub or a registry into a folder. */
import { pull } from '../../publish/pull.ts';
import type { Command } from '../context.ts';

export const pullCommand: Command<'pull'> = async ({ reference, out, offline }, { signal, follow }) => {
  const pulled = await follow(pull(reference, { out, offline, signal }));
  return { text: pulled.folder, value: { ...pulled } };
};

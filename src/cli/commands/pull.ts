/** `pull`: a package from a registry into a folder. */
import { pull } from '../../publish/pull.ts';
import type { Command } from '../context.ts';

export const pullCommand: Command<'pull'> = async ({ reference, out }, { signal, follow }) => {
  const pulled = await follow(pull(reference, { out, signal }));
  return { text: pulled.folder, value: { ...pulled } };
};

/** `publish`: a verified package to its place. */
import { publish } from '../../publish/folder.ts';
import type { Command } from '../context.ts';

export const publishCommand: Command<'publish'> = async ({ package: folder, to }, { signal, follow }) => {
  const published = await follow(publish(folder, { to, signal }));
  return { text: published.to, value: { published: published.to, files: published.files, bytes: published.bytes } };
};

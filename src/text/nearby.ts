/** Paths as somebody in this folder would write them. */
import { isAbsolute, relative, sep } from 'node:path';

/** Of a path in the current folder, the rest; any other stays as it is. */
export function nearby(path: string): string {
  const rest = relative(process.cwd(), path);
  return rest === '' || rest.startsWith(`..${sep}`) || rest === '..' || isAbsolute(rest) ? path : rest;
}

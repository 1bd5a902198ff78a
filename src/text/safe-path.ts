/**
 * The one check that names from elsewhere (a repository's tree, a manifest, a reference) stand before they become paths: below a folder
 * on every system, and nowhere anything else. What Windows reserves is refused everywhere, so that a package is the same on every disk.
 */
import { quote } from './quote.ts';

/** Longest name of a file that common file systems take, in bytes. */
const MAX_PART_BYTES = 255;
/** Leaves room for folders of ours above it below the 4096 bytes of PATH_MAX. */
const MAX_PATH_BYTES = 1024;
/** Windows: devices, whatever their ending; "File names" of its documentation ("Naming Files, Paths, and Namespaces"). */
const DEVICE = /^(con|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³]|conin\$|conout\$)(\.|$)/i;

/** What a part of a path must not be; the first that fits, as the end of a sentence behind `has "…" in its path`. */
const RULES: readonly (readonly [wrong: (part: string) => boolean, why: string])[] = [
  [(part) => part === '.' || part === '..', ''],
  [(part) => /\\|%(2f|5c|2e|00)/i.test(part), ', with a backslash or an encoded character'],
  [(part) => /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(part) || !part.isWellFormed(), ', with an unprintable character'],
  [(part) => /[:*?"<>|]/.test(part), ', with a character that Windows has no place for'],
  [(part) => /[. ]$/.test(part), ', which ends with a dot or a blank'],
  [(part) => DEVICE.test(part), ', which is a device on Windows'],
];

/** Why `path` (forward slashes) must not become one, as the end of a sentence; undefined when it may. */
export function wrongPath(path: string): string | undefined {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `has a path of more than ${MAX_PATH_BYTES} bytes`;
  for (const part of path.split('/')) {
    if (part === '') return 'has an empty part between slashes or at its end';
    const [, why] = RULES.find(([wrong]) => wrong(part)) ?? [];
    if (why !== undefined) return `has ${quote(part)} in its path${why}`;
    if (Buffer.byteLength(part) > MAX_PART_BYTES) return `has a name of more than ${MAX_PART_BYTES} bytes in its path`;
  }
  return undefined;
}

/** What file systems that do not tell capitals or compositions apart take for the same. */
const folded = (path: string) => path.normalize('NFC').toLowerCase();

/**
 * Why `paths` must not all become files of one folder, as the end of a sentence: one of them must not become a path at all, or some
 * systems have no room for both of two (one name twice, a file that is the folder of another, a folder in two spellings). Undefined
 * when they may.
 */
export function wrongPaths(paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const wrong = wrongPath(path);
    if (wrong !== undefined) return `holds ${quote(path, 200)}, which ${wrong}`;
  }
  const files = new Map<string, string>();
  for (const path of paths) {
    const other = files.get(folded(path));
    if (other !== undefined) return `holds ${quote(other)} and ${quote(path)}, which some systems take for one file`;
    files.set(folded(path), path);
  }
  const folders = new Map<string, string>();
  for (const path of paths) {
    for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
      const folder = path.slice(0, end);
      if (files.has(folded(folder))) return `holds ${quote(folder)} as a file and as a folder at once`;
      const other = folders.get(folded(folder)) ?? folder;
      if (other !== folder) return `holds ${quote(other)} and ${quote(folder)}, which some systems take for one folder`;
      folders.set(folded(folder), folder);
    }
  }
  return undefined;
}

/** The bytes on disk are the bytes that were baked. */
import { digestBytes } from '../../export/digest.ts';
import { LOCK_FILE } from '../../export/lock.ts';
import { PROVENANCE_FILE, provenanceJson } from '../../export/provenance.ts';
import { type Check, failed, passed, unknown } from '../check.ts';

export const integrity: Check = {
  id: 'integrity',
  proves:
    'every file has the SHA-256 that the lock records; none is missing, none was added; the provenance says what the lock says',
  cost: 'one read of the package',
  from: 'quick',
  prepared: 'files',
  run({ lock, files }) {
    if (!lock) return unknown(`The package has no ${LOCK_FILE}: nothing says what its bytes should be.`);
    const present = Object.keys(files).filter((file) => file !== LOCK_FILE && file !== PROVENANCE_FILE);
    const [own, told] = [files[LOCK_FILE], files[PROVENANCE_FILE]]; // packages of tools before 0.2 have no provenance
    const isTold = !own || !told || digestBytes(Buffer.from(provenanceJson(lock, own))).sha256 === told.sha256;
    const missing = Object.keys(lock.outputs).filter((file) => !files[file]);
    const added = present.filter((file) => !lock.outputs[file]);
    const changed = present.filter((file) => lock.outputs[file] && lock.outputs[file]?.sha256 !== files[file]?.sha256);
    const faults = [
      ...missing.map((file) => `${file} is missing`),
      ...added.map((file) => `${file} is not in the lock`),
      ...changed.map((file) => `${file} has other bytes than were baked`),
      ...(isTold ? [] : [`${PROVENANCE_FILE} is not what the lock makes of it`]),
    ];
    const figures = { files: present.length, bytes: Object.values(files).reduce((sum, file) => sum + file.bytes, 0) };
    return faults.length > 0
      ? failed(`${faults.join('; ')}.`, figures)
      : passed(`${present.length} files match the lock.`, figures);
  },
};

/** The source files at hand are those that the package was made of. */
import { digestFile } from '../../export/digest.ts';
import type { FileDigest } from '../../export/lock.ts';
import { type Check, failed, passed, unknown } from '../check.ts';
import { sentence } from '../sentence.ts';

export const sources: Check = {
  id: 'sources',
  proves: 'the source files at hand have the SHA-256 that the lock records, one for one',
  cost: 'one read of the source files',
  from: 'standard',
  applies: ({ plan }) => plan !== undefined,
  async run({ lock, plan, signal }) {
    if (!plan) throw new RangeError('sources needs the plan.');
    if (!lock) return unknown('Without a lock nothing says which files the package was made of.');
    const digests: FileDigest[] = [];
    for (const { path } of plan.files) digests.push(await digestFile(path, signal));
    const faults = plan.files.flatMap(({ role, path }, i) => {
      const recorded = lock.inputs[i];
      if (recorded?.role !== role) return [`the lock has ${recorded?.role ?? 'nothing'} where the recipe has ${role}`];
      const found = digests[i];
      return found?.sha256 === recorded.sha256
        ? []
        : [`${path} (${role}) has the SHA-256 ${found?.sha256}, the package was made of ${recorded.sha256}`];
    });
    for (const { role, file } of lock.inputs.slice(plan.files.length))
      faults.push(`the lock has ${file} as ${role}, which the recipe has not`);
    const figures = { files: digests.length, bytes: digests.reduce((sum, { bytes }) => sum + bytes, 0) };
    return faults.length > 0
      ? failed(sentence(faults), figures)
      : passed(`${digests.length} source files are those of the lock.`, figures);
  },
};

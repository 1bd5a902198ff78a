/**
 * Uploads that have been begun, so that the next process goes on with what a killed one has left: of each blob the address that the
 * registry gave for it. Such addresses may let whoever has them write there: only their owner can read the records, and none is shown.
 */
import { z } from 'zod';
import type { Cache, CacheKey } from '../hub/cache.ts';
import { HOST, isAlive } from '../hub/partial.ts';
import { endpointOf, type OciReference } from './reference.ts';

export interface Uploads {
  /** Where the upload of a blob goes on that nobody is at any more. */
  begun(digest: string): Promise<string | undefined>;
  note(digest: string, location: string): Promise<void>;
  forget(digest: string): Promise<void>;
}

const record = z.object({ location: z.string(), host: z.string(), pid: z.int() });

/** Of one repository. Where nothing can be noted, the next process begins again; that is no reason not to publish. */
export function openUploads(
  cache: Pick<Cache, 'recall' | 'record' | 'forget'>,
  reference: Pick<OciReference, 'registry' | 'repository'>,
): Uploads {
  const keyOf = (digest: string): CacheKey => ({
    endpoint: endpointOf(reference),
    repo: reference.repository,
    at: digest,
    path: '',
    kind: 'upload',
  });
  return {
    async begun(digest) {
      const found = await cache.recall(keyOf(digest), record);
      // what another process is at is not interfered with; whether one of another machine is, nobody knows
      if (!found || found.host !== HOST || (found.pid !== process.pid && isAlive(found.pid))) return undefined;
      return found.location;
    },
    async note(digest, location) {
      await cache.record(keyOf(digest), { location, host: HOST, pid: process.pid }).catch(() => undefined);
    },
    async forget(digest) {
      await cache.forget(keyOf(digest)).catch(() => undefined);
    },
  };
}

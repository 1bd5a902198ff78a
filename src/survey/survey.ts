/**
 * What lies in a folder: every file of weights and every model in diffusers' layout, with the part of a recipe that it can be, or the
 * reason why it can be none. Headers and configs are read, no weights; a damaged file is a finding like any other.
 */
import { basename } from 'node:path';
import type { Stage } from '../events.ts';
import { findCandidates } from './candidates.ts';
import { type Finding, identify } from './identify.ts';

export interface Survey {
  /** As it was given. */
  readonly folder: string;
  /** Shallow ones first, then by path. */
  readonly findings: readonly Finding[];
  /** What was not looked at, as a sentence. */
  readonly left_out?: string;
}

/** @throws InputMissingError or IoError for a folder that cannot be listed; the signal's reason when it is aborted. */
export async function* surveyFiles(folder: string, { signal }: { signal?: AbortSignal } = {}): Stage<Survey> {
  yield { type: 'stage-started', stage: 'survey', subject: folder };
  const began = performance.now();
  const { candidates, left_out } = await findCandidates(folder, signal);
  const findings: Finding[] = [];
  for (const [done, candidate] of candidates.entries()) {
    const detail = basename(candidate.path);
    yield { type: 'progress', stage: 'survey', done, total: candidates.length, unit: 'files', detail };
    signal?.throwIfAborted();
    findings.push(await identify(candidate));
  }
  if (left_out !== undefined) yield { type: 'warning', stage: 'survey', message: left_out };
  for (const finding of findings) {
    if (finding.part !== undefined || !finding.damaged) continue;
    yield { type: 'warning', stage: 'survey', message: `${finding.path} cannot be read. ${finding.reason}` };
  }
  const usable = findings.filter(({ part }) => part !== undefined).length;
  yield {
    type: 'stage-finished',
    stage: 'survey',
    milliseconds: performance.now() - began,
    summary: `${usable} of the ${findings.length} things in ${folder} can be part of a recipe`,
  };
  return { folder, findings, ...(left_out !== undefined && { left_out }) };
}

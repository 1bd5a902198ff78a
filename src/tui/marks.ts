/** What things are marked with: a sign and a colour, never a colour alone. */
import type { Style } from '../text/terminal.ts';
import type { JobStatus } from './job.ts';

export type Mark = 'passed' | 'failed' | 'unknown' | 'warning' | 'working' | 'stopped' | 'note';

export const MARKS: Readonly<Record<Mark, readonly [sign: string, style: Style]>> = {
  passed: ['✓', 'green'],
  failed: ['✗', 'red'],
  unknown: ['?', 'yellow'],
  warning: ['!', 'yellow'],
  working: ['…', 'cyan'],
  stopped: ['■', 'yellow'],
  note: ['·', 'gray'],
};

export const JOB_MARKS = {
  running: 'working',
  stopping: 'working',
  passed: 'passed',
  refused: 'failed',
  failed: 'failed',
  stopped: 'stopped',
} as const satisfies Record<JobStatus, Mark>;

/** The machine that a run was measured on, as far as Node can tell: a time says little without it. */
import { arch, availableParallelism, cpus, platform } from 'node:os';
import { count } from '../text/quantity.ts';
import { printable } from '../text/quote.ts';

/** `2 cores of AMD EPYC 9B14, linux x64`; containers may have fewer cores than the machine. */
export function describeMachine(): string {
  const model = printable(cpus()[0]?.model.trim() || 'an unknown processor');
  return `${count(availableParallelism(), 'core')} of ${model}, ${platform()} ${arch()}`;
}

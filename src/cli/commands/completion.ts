/** `completion`: the script that teaches a shell to complete this program's command line. */
import { COMPLETIONS } from '../completion.ts';
import type { Command } from '../context.ts';

export const completion: Command<'completion'> = async ({ shell }) => {
  const script = COMPLETIONS[shell]();
  return { text: script, value: { shell, script } };
};

import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { SPECS, VERBS } from '../../src/cli/command-table.ts';
import { COMPLETIONS } from '../../src/cli/completion.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

describe.each(Object.entries(COMPLETIONS))('the %s script', (shell, script) => {
  it('knows every verb and every option', () => {
    const text = script();
    for (const verb of VERBS) {
      expect(text).toContain(verb);
      const option = shell === 'fish' ? (name: string) => ` -l ${name} ` : (name: string) => `--${name}`;
      for (const name of Object.keys(SPECS[verb].options)) expect(text).toContain(option(name));
    }
  });
});

describe('bash', () => {
  let file: string;
  beforeAll(async () => {
    file = join(await temporaryFolder(), 'completion.bash');
    await writeFile(file, COMPLETIONS.bash());
  });

  /** What bash would offer for the last word. */
  const complete = (...words: string[]) =>
    execFileSync(
      'bash',
      [
        '-c',
        `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lcm_merge; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        file,
        ...words,
      ],
      { encoding: 'utf8', cwd: import.meta.dirname },
    )
      .split('\n')
      .filter((word) => word !== '');

  it.each([
    [['pl'], ['plan']],
    [['run', 'p', '--dev'], ['--device']],
    [
      ['run', 'p', '--device', ''],
      ['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'],
    ],
    [
      ['plan', '--j'],
      ['--json', '--json=stream'],
    ],
    [['plan', '--dr'], []],
    [['--dr'], ['--dry-run']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['bake', 'args'], ['args.test.ts']],
    [['bake', 'x', '-o', 'args'], []],
    [['run', 'p', '--prompt', 'args'], []],
    [['doctor', ''], []],
  ])('completes %j', (words, expected) => {
    expect(complete('lcm-merge', ...words)).toEqual(expected);
  });
});

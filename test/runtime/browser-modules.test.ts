import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** What examples/browser loads as it is. */
const ENTRIES = [
  'runtime/denoise.ts',
  'runtime/frames.ts',
  'runtime/noise.ts',
  'runtime/prompt/encode.ts',
  'runtime/tokenizer.ts',
  'runtime/schedulers/index.ts',
];

/** The modules that `entries` import, directly or not, and whatever else they name in an import. */
async function reach(entries: readonly string[]) {
  const [modules, foreign] = [new Set(entries), new Set<string>()];
  for (const module of modules) {
    const code = stripTypeScriptTypes(await readFile(join('src', module), 'utf8'));
    for (const [, name = ''] of code.matchAll(/^\s*(?:import|export)\b[^'"]*?from\s*['"]([^'"]+)['"]/gm)) {
      if (name.startsWith('.')) modules.add(join(module, '..', name));
      else foreign.add(`${name} in ${module}`);
    }
    if (/\b(Buffer|process|require|__dirname)\b(?=[.(])|import\s*['"(]/.test(code))
      foreign.add(`a global in ${module}`);
  }
  return { modules: [...modules], foreign: [...foreign] };
}

describe('the modules that run in browsers too', () => {
  it('need nothing but each other, once their types are stripped', async () => {
    const { modules, foreign } = await reach(ENTRIES);
    expect(foreign).toEqual([]);
    expect(modules).toContain('architecture/tokenizer-tables.ts'); // the walk does follow imports
  });

  it('would be found out: the pipeline around them needs Node', async () => {
    const { foreign } = await reach(['runtime/pipeline.ts']);
    expect(foreign).toContain('node:child_process in runtime/host.ts');
  });
});

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import type { Plan } from '../../src/merge/plan.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import type { Check, CheckContext } from '../../src/verify/check.ts';
import { CHECKS, digestPackage } from '../../src/verify/gate.ts';
import { contextWith } from '../helpers/clip.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { FAULTS, type Fault, honestRecipe } from './sabotage/faults.ts';
import { type Bench, bakeSound, openBench } from './sabotage/workshop.ts';

/** The checks that look at the package and need no run. */
const OF_PACKAGE = ['integrity', 'accounting', 'sources', 'configs', 'graph', 'weights', 'recompute'];

describe('the sabotage table', () => {
  let sound: string;
  let planned: Plan;

  beforeAll(async () => {
    sound = join(await temporaryFolder(), 'sound');
    planned = await bakeSound(honestRecipe(), sound);
  });

  const openCopy = async ({ recipe }: Partial<Fault> = {}) => {
    const folder = await temporaryFolder();
    if (!recipe) return openBench(sound, planned, join(folder, 'package'));
    const other = await bakeSound(await recipe(), join(folder, 'sound'));
    return openBench(join(folder, 'sound'), other, join(folder, 'package'));
  };

  const contextOf = async ({ folder, plan }: Bench, changes: Partial<CheckContext> = {}): Promise<CheckContext> => {
    const pkg = await openPackage(folder);
    return contextWith({
      pkg,
      files: await digestPackage(folder),
      plan,
      video: new Error('nothing was run'),
      ...changes,
    });
  };

  const find = (id: string) => CHECKS.find((candidate) => candidate.id === id) as Check;
  const judge = async (id: string, bench: Bench, changes: Partial<CheckContext> = {}) =>
    find(id).run(await contextOf(bench, changes));

  /** Ids of the checks that do not pass. */
  const caughtBy = async (bench: Bench, { profile = 'standard', checks = [], given, ...fault }: Partial<Fault>) => {
    const context = await contextOf(bench, { profile, ...(await given?.(bench)) });
    const isSound = fault.fault !== undefined && !fault.inject && !fault.recipe;
    const made = new Set([...(isSound ? [] : OF_PACKAGE), ...checks, ...(profile === 'full' ? ['reproduce'] : [])]);
    const caught: string[] = [];
    for (const check of CHECKS.filter(({ id }) => made.has(id))) {
      const { verdict, reason } = await check.run(context);
      expect(reason).toMatch(/\.$/);
      if (verdict !== 'passed') caught.push(check.id);
    }
    return caught;
  };

  it.each(['quick', 'standard', 'full'] as const)('passes the sound package in the profile %s', async (profile) => {
    expect(await caughtBy(await openCopy(), { profile })).toEqual([]);
  });

  it.each(FAULTS)('$fault', async (fault) => {
    const bench = await openCopy(fault);
    await fault.inject?.(bench);
    expect(await (fault.judge?.(bench) ?? caughtBy(bench, fault))).toEqual(fault.caught);
    if (!fault.caught.includes('graph')) return;
    // what lock and configs tell is enough
    expect(await judge('graph', bench, { plan: undefined })).toMatchObject({ verdict: 'failed' });
  });

  it('cannot tell what another version of the tool would have written', async () => {
    const bench = await openCopy();
    await bench.rewrite('tokenizer/special_tokens_map.json', (map: object) => ({ ...map, pad_token: '!' }));
    await bench.rewrite(LOCK_FILE, (lock: Lock) => ({ ...lock, tool: { ...lock.tool, version: '0.0.1' } }));
    expect((await judge('configs', bench)).reason).toMatch(
      /^The package was baked by version 0\.0\.1, and this is .*: tokenizer\/special_tokens_map\.json: pad_token is "!", not "<\|endoftext\|>"\.$/,
    );
    expect((await judge('configs', bench)).verdict).toBe('unknown');
  });

  it('stands in docs/gates.md', async () => {
    const table = FAULTS.map(({ fault, caught, profile }) => {
      const by = caught.map((id) => `\`${id}\``).join(', ');
      return `| ${fault} | ${by}${profile ? ` (${profile})` : ''} |`;
    });
    expect(await readFile('docs/gates.md', 'utf8')).toContain(
      ['| fault | caught by |', '|---|---|', ...table, ''].join('\n'),
    );
  });
});

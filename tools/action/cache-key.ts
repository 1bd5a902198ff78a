/**
 * The action's step that says what may be cached: nothing for a recipe without files from a hub, else the cache folder, under the hash of the
 * recipe. Contents in it are addressed by their hashes, so that what another recipe left there is never wrong.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { environment, setOutputs } from './runner.ts';

const recipe = environment('INPUT_RECIPE');
const text = existsSync(recipe) ? readFileSync(recipe) : ''; // that it is missing, lcm-merge says better
if (text.includes('hf://')) {
  const family = `lcm-merge-${environment('RUNNER_OS')}-`;
  setOutputs({
    family,
    key: `${family}${createHash('sha256').update(text).digest('hex')}`,
    path: process.env['LCM_MERGE_CACHE'] || join(environment('RUNNER_TEMP'), 'lcm-merge-cache'),
  });
}

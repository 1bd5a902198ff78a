import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../helpers/temporary.ts';

const MODULE = pathToFileURL('src/onnx/onnxruntime.ts').href;
/** What is no graph is refused by the whole of onnxruntime, which is then awake. */
const LOAD = `const { InferenceSession } = await import('${MODULE}');
await InferenceSession.create(new Uint8Array(8)).catch(() => console.log(process.env.ORT_DISABLE_TELEMETRY));`;

async function load(env: Readonly<Record<string, string>>): Promise<{ out: string; left: readonly string[] }> {
  const home = await temporaryFolder();
  // no CI of ours, with which onnxruntime is quiet anyway
  const options = { cwd: home, env: { HOME: home, PATH: process.env['PATH'] ?? '', ...env } };
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', LOAD], options);
  return { out: stdout.trim(), left: await readdir(home, { recursive: true }) };
}

it('onnxruntime is told to report nothing, and keeps nothing for it in the home or the working folder', async () => {
  expect(await load({})).toEqual({ out: '1', left: [] });
});

it('what the environment says stays', async () => {
  expect((await load({ ORT_DISABLE_TELEMETRY: 'true' })).out).toBe('true');
});

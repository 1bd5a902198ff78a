import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { builtProgram } from '../helpers/built-program.ts';

const HEAVY =
  /\/node_modules\/(onnxruntime|sharp|onnx-proto|protobufjs|@huggingface)|\/dist\/verify\/(gate|report)\.js/;

it('draws its screen without what runs models, reads pictures or writes packages', async () => {
  const { path } = await builtProgram();
  const main = new URL('tui/main.js', `file://${path}`);
  const program = `import { registerHooks } from 'node:module';
    const found = [];
    registerHooks({ load(url, context, next) { found.push(url); return next(url, context); } });
    await import(${JSON.stringify(main.href)});
    console.log(JSON.stringify(found));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  const loaded: readonly string[] = JSON.parse(stdout);
  expect(loaded).toContain(main.href);
  expect(loaded.filter((url) => HEAVY.test(url))).toEqual([]);
});

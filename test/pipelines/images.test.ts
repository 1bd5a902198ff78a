/** The Dockerfiles, as far as they can be read: they build what package.json says, of files that exist and that .dockerignore lets through. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };

const CPU = await readFile('Dockerfile', 'utf8');
const CUDA = await readFile('Dockerfile.cuda', 'utf8');
const IGNORED = (await readFile('.dockerignore', 'utf8'))
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));

/** The values of an instruction, in order. */
const instructions = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`^${name} (.*)$`, 'gm'))].map(([, value]) => value as string);

describe('the images', () => {
  it('have the Node of package.json, by digest', () => {
    const bases = instructions(CPU, 'FROM').map((base) => base.replace(/ AS .*/, ''));
    expect(new Set(bases).size, 'all stages have one base').toBe(1);
    expect(bases[0]).toMatch(
      new RegExp(`^node:${packageJson.devDependencies.node}-bookworm-slim@sha256:[0-9a-f]{64}$`),
    );
  });

  it('copy files that are there, and nothing that the program needs is left out of the context', () => {
    const copied = instructions(CPU, 'COPY')
      .filter((line) => !line.startsWith('--'))
      .flatMap((line) => line.split(' ').slice(0, -1));
    for (const file of copied) expect(existsSync(file), file).toBe(true);
    expect(IGNORED[0]).toBe('*');
    expect(IGNORED.slice(1).toSorted()).toEqual([...new Set(copied)].map((file) => `!${file}`).toSorted());
    // of what npm would install, all but the documentation; dist comes from the stage that built it
    const published = packageJson.files.filter((file) => !/^(docs|examples)/.test(file));
    expect([...copied, 'dist']).toEqual(expect.arrayContaining(published));
    expect(CPU).toContain(`ln -s /app/${packageJson.bin['lcm-merge']} `);
  });

  it.each([
    ['Dockerfile', CPU],
    ['Dockerfile.cuda', CUDA],
  ])('%s ends with the program, started by a user without rights, in /work', (_, text) => {
    const last = text.slice(text.lastIndexOf('\nFROM '));
    expect(instructions(last, 'ENTRYPOINT')).toEqual(['["lcm-merge"]']);
    expect(instructions(last, 'USER').at(-1)).toMatch(/^(node|1000:1000)$/);
    expect(instructions(last, 'WORKDIR').at(-1)).toBe('/work');
    expect(instructions(last, 'ENV').join(' ')).toContain('ORT_DISABLE_TELEMETRY=1');
  });

  it('have the provider of the very onnxruntime that is installed, where that looks for it', () => {
    expect(CUDA).toMatch(new RegExp(`onnxruntime-gpu==${packageJson.dependencies['onnxruntime-node']} --hash=sha256:`));
    const [, folder = ''] = /^COPY --from=provider \/provider \/app\/(.*)$/m.exec(CUDA) ?? [];
    expect(existsSync(`${folder}/libonnxruntime.so.1`), folder).toBe(true);
    expect(CPU).toContain('onnxruntime-node/bin/napi-v6 ');
  });
});

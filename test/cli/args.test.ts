import { describe, expect, it } from 'vitest';
import { outputOptions, parseCommandLine } from '../../src/cli/args.ts';
import { COMMANDS } from '../../src/cli/command-table.ts';
import { MAX_GUIDANCE, MAX_SIDE } from '../../src/recipe/schema.ts';

/** A file system in which `notes` and `ink` are a file and a folder. */
const parse = (...argv: string[]) =>
  parseCommandLine(argv, (path) => (path === 'notes' ? 'file' : path === 'ink' ? 'folder' : undefined));

const invocation = (...argv: string[]) => {
  const request = parse(...argv);
  return request.kind === 'run' ? request.invocation : request;
};

describe('parseCommandLine', () => {
  it('tells the whole job from the verbs', () => {
    expect(invocation('a.yaml')).toMatchObject({ verb: 'make', args: { recipe: 'a.yaml' } });
    expect(invocation('a.YML')).toMatchObject({ verb: 'make' });
    expect(invocation('notes')).toMatchObject({ verb: 'make', args: { recipe: 'notes' } });
    expect(invocation('make', 'a.yaml')).toMatchObject({ verb: 'make', args: { recipe: 'a.yaml' } });
    expect(invocation('missing/recipe')).toMatchObject({ verb: 'make' });
    expect(invocation('plan', 'notes')).toMatchObject({ verb: 'plan', args: { recipe: 'notes' } });
  });

  it('finds the verb wherever the options stand', () => {
    const args = { recipe: 'a.yaml', out: 'd', quiet: true };
    expect(invocation('-o', 'd', '-q', 'bake', 'a.yaml')).toMatchObject({ verb: 'bake', args });
    expect(invocation('bake', '--out=d', 'a.yaml', '--quiet')).toMatchObject({ verb: 'bake', args });
    expect(invocation('-qo', 'd', 'a.yaml')).toMatchObject({ verb: 'make', args });
    expect(invocation('--out', 'plan', 'a.yaml')).toMatchObject({ verb: 'make', args: { out: 'plan' } });
  });

  it('gives every option of the verb a value of its type', () => {
    expect(invocation('run', 'p', '--seed', '7', '--guidance', '1.5', '--fps=.5', '--prompt', '')).toEqual({
      verb: 'run',
      args: {
        package: 'p',
        out: 'out/frames',
        prompt: '',
        negative: undefined,
        seed: 7,
        steps: undefined,
        frames: undefined,
        width: undefined,
        height: undefined,
        guidance: 1.5,
        device: 'auto',
        'allow-fallback': false,
        fps: 0.5,
        'save-latents': undefined,
        preview: false,
        offline: false,
        json: undefined,
        quiet: false,
        'no-color': false,
        help: false,
      },
    });
  });

  it('takes all of the options that may be repeated', () => {
    const sources = (...argv: string[]) => invocation('reproduce', 'p', ...argv);
    expect(sources()).toMatchObject({ args: { sources: [] } });
    expect(sources('--sources', 'a', '--sources=b')).toMatchObject({ args: { sources: ['a', 'b'] } });
    expect(() => sources('--sources', 'a', '--sources=')).toThrow('needs the name of a folder');
  });

  it('takes the last of other repeated options, and operands after --', () => {
    expect(invocation('run', '--seed', '1', '--seed', '2', '--', '-p')).toMatchObject({
      args: { package: '-p', seed: 2 },
    });
    expect(invocation('inspect', '--', '--json')).toMatchObject({ args: { file: '--json', json: undefined } });
  });

  it('asks for help and version before it judges', () => {
    expect(parse('--help')).toEqual({ kind: 'help', verb: undefined });
    expect(parse('run', '-h')).toEqual({ kind: 'help', verb: 'run' });
    expect(parse('a.yaml', '--nonsense', '--help')).toEqual({ kind: 'help', verb: 'make' });
    expect(parse('help')).toEqual({ kind: 'help', verb: undefined });
    expect(parse('help', 'run')).toEqual({ kind: 'help', verb: 'run' });
    expect(() => parse('help', 'rnu')).toThrow(/Did you mean run\?/);
    expect(parse('--version')).toEqual({ kind: 'version' });
    expect(parse()).toEqual({ kind: 'bare' });
  });

  it.each([
    [['pln', 'a.yaml'], '"pln" is neither a verb of lcm-merge nor a recipe. Did you mean plan?'],
    [['ink'], '"ink" is a folder, but a recipe or a verb was expected.'],
    [['qqqqqq'], 'The verbs are make, init, plan, '],
    [['--dry-run'], 'lcm-merge needs RECIPE'],
    [['plan'], 'lcm-merge plan needs RECIPE'],
    [['plan', 'a', 'b'], '"b" is too much'],
    [['doctor', 'x'], 'lcm-merge doctor takes no operand'],
    [['run', 'p', '--promt', 'x'], 'lcm-merge run has no option --promt. Did you mean --prompt?'],
    [['plan', 'a.yaml', '--steps', '4'], 'lcm-merge plan has no option --steps'],
    [['plan', 'a.yaml', '-x'], 'lcm-merge plan has no option -x'],
    [['plan', 'a.yaml', '--__proto__', 'x'], 'has no option --__proto__'],
    [['run', 'p', '--prompt'], '--prompt needs a value (P).'],
    [['run', 'p', '--prompt', '-x'], 'If "-x" is the value, write --prompt=-x.'],
    [['bake', 'a.yaml', '-o', '--quiet'], '-o needs a value (DIR). If "--quiet" is the value, write --out=--quiet.'],
    [['plan', ''], 'lcm-merge plan needs RECIPE; an empty name was given.'],
    [['bake', 'a.yaml', '-o', ''], '--out needs the name of a folder'],
    [['publish', 'p'], 'lcm-merge publish needs --to PLACE'],
    [['plan', 'a.yaml', '--quiet=yes'], '--quiet takes no value, but "yes" was given.'],
    [['plan', 'a.yaml', '--json=xml'], '--json must be one of object, stream; "xml" was given.'],
    [['a.yaml', '--device', 'gpu'], '--device must be one of auto, cpu, webgpu, cuda, dml, coreml; "gpu" was given.'],
    [['completion', 'bsh'], 'SHELL must be one of bash, zsh, fish; "bsh" was given. Did you mean bash?'],
    [['run', 'p', '--steps', '4x'], '--steps must be a whole number from 1 to 1000; "4x" was given.'],
    [['run', 'p', '--steps', '0'], '"0" was given'],
    [['run', 'p', '--steps', '1e1'], '"1e1" was given'],
    [['run', 'p', '--steps', ''], '--steps must be a whole number'],
    [['run', 'p', '--context', '0'], '--context must be a whole number of 1 or more; "0" was given.'],
    [['run', 'p', '--overlap=-1'], '--overlap must be a whole number of 0 or more; "-1" was given.'],
    [
      ['run', 'p', '--schedule', 'statik'],
      '--schedule must be one of static, uniform, looped; "statik" was given. Did you mean static?',
    ],
    [['run', 'p', '--noise', 'free'], '--noise must be one of random, freenoise; "free" was given.'],
    [['run', 'p', '--seed', '9007199254740993'], '--seed must be a whole number from 0 to 9007199254740991'],
    [['run', 'p', '--guidance', 'Infinity'], '--guidance must be a number from 0 to 1000; "Infinity" was given.'],
    [['run', 'p', '--guidance', '0x10'], '"0x10" was given'],
    [['run', 'p', '--guidance=-1'], '"-1" was given'],
    [['\u001b[2J'], '"\\u001b[2J" is neither'],
  ])('refuses %j', (argv, sentence) => {
    expect(() => parse(...argv)).toThrowError(
      expect.objectContaining({ kind: 'usage', message: expect.stringContaining(sentence) }),
    );
  });
});

it('holds runs to the limits of recipes', () => {
  const { width, height, guidance } = COMMANDS.run.options;
  expect([width.max, height.max, guidance.max]).toEqual([MAX_SIDE, MAX_SIDE, MAX_GUIDANCE]);
});

describe('outputOptions', () => {
  it.each([
    [['plan', 'x'], { mode: 'text', quiet: false, color: true }],
    [['plan', '--json', '-q'], { mode: 'object', quiet: true, color: true }],
    [['--json=stream', '--no-color', '--nonsense'], { mode: 'stream', quiet: false, color: false }],
    [['--json=object', '--json=stream'], { mode: 'stream', quiet: false, color: true }],
    [['run', '--', '--json'], { mode: 'text', quiet: false, color: true }],
    [['--json=xml'], { mode: 'text', quiet: false, color: true }],
    [['--preview', '-q'], { mode: 'text', quiet: true, color: true, preview: true }],
  ])('reads %j, whatever else is wrong', (argv, expected) => {
    expect(outputOptions(argv)).toEqual({ preview: false, ...expected });
  });
});

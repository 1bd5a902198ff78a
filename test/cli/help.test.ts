import { describe, expect, it } from 'vitest';
import { COMMANDS, SPECS, VERBS } from '../../src/cli/command-table.ts';
import { help } from '../../src/cli/help.ts';
import { EXIT_CODES } from '../../src/exit-codes.ts';
import { DEVICES } from '../../src/runtime/device.ts';

const plain = (_: unknown, text: string) => text;

describe('the command table', () => {
  it('has one type and one letter for options of one name, so that a line can be cut before its verb is known', () => {
    const kinds = new Map<string, string>();
    const letters = new Map<string, string>();
    for (const verb of VERBS) {
      for (const [name, { type, short, bare }] of Object.entries(SPECS[verb].options)) {
        // which number a number is does not matter to the cut
        const kind = `${type === 'boolean' ? type : 'value'} ${short} ${bare}`;
        expect(kinds.get(name) ?? kind, `--${name}`).toBe(kind);
        kinds.set(name, kind);
        if (short) expect(letters.get(short) ?? name, `-${short}`).toBe(name);
        if (short) letters.set(short, name);
      }
    }
  });

  it('offers every device', () => {
    expect(COMMANDS.run.options.device.choices).toEqual(['auto', ...DEVICES]);
  });

  it('has defaults that are among the choices and within the limits', () => {
    for (const verb of VERBS) {
      for (const { default: value, choices, min, max } of Object.values(SPECS[verb].options)) {
        if (typeof value === 'string' && choices) expect(choices).toContain(value);
        if (typeof value === 'number') expect(value >= (min ?? value) && value <= (max ?? value)).toBe(true);
      }
    }
  });
});

describe('help', () => {
  it.each(VERBS)('of %s says every operand, option, choice and exit code, and gives two examples', (verb) => {
    const text = help(verb, plain);
    const words = text.replace(/\s+/g, ' ');
    const { operands, options, examples } = SPECS[verb];
    for (const [name, { description }] of Object.entries(operands))
      expect(words).toContain(`${name.toUpperCase()} ${description}`);
    for (const [name, { short, choices, description }] of Object.entries(options)) {
      expect(text).toMatch(new RegExp(`${short ? `-${short}, ` : '    '}--${name}[ [=]`));
      expect(words).toContain(description);
      for (const choice of choices ?? []) expect(words).toContain(choice);
    }
    for (const code of Object.values(EXIT_CODES)) expect(text).toMatch(new RegExp(`^ +${code}  \\S`, 'm'));
    expect(examples).toHaveLength(2);
    for (const example of examples) expect(text).toContain(`  ${example}\n`);
  });

  it('in general says every verb with its summary', () => {
    const words = help(undefined, plain).replace(/\s+/g, ' ');
    for (const verb of VERBS) expect(words).toContain(SPECS[verb].summary);
  });

  it.each([
    [100, undefined],
    [100, 250],
    [80, 80],
    [60, 20],
  ])('fits into %i columns of a terminal that has %s', (most, columns) => {
    for (const verb of [undefined, ...VERBS]) {
      // an example is a line to copy and is not broken
      const lines = help(verb, plain, columns).split('Examples\n')[0]?.split('\n') ?? [];
      expect(lines.filter((line) => line.length > most)).toEqual([]);
    }
  });
});

/** Help, made from the command table: an overview, and one page per verb. */

import { EXIT_CODES, EXIT_MEANINGS } from '../exit-codes.ts';
import { wrap } from '../text/columns.ts';
import type { Paint } from '../text/terminal.ts';
import { COMMANDS, type OptionSpec, SPECS, type Verb } from './command-table.ts';

const INDENT = '  ';
/** Where lines end at the latest, and at the earliest however narrow the terminal is. */
const [WIDEST, NARROWEST] = [100, 60];

/** The verbs by what one wants. */
const GROUPS: readonly (readonly [title: string, verbs: readonly Verb[]])[] = [
  ['The job', ['make']],
  ['Its parts', ['init', 'plan', 'bake', 'verify', 'sign', 'publish', 'pull']],
  ['Using and examining', ['run', 'sweep', 'compare', 'diff', 'inspect', 'reproduce', 'doctor']],
  ['For editor and shell', ['schema', 'completion']],
];

const ABOUT =
  'lcm-merge turns a merge recipe (SD1.5 base, personalized LoRAs, LCM LoRA, motion module) into one ONNX video model, runs it, and publishes it only if what came out is right.';
const STREAMS = 'stdout carries the result only: a path, a table or JSON. `lcm-merge --version` shows the version.';

/** The page of one verb, or the overview, for a terminal of `columns`. */
export function help(verb: Verb | undefined, paint: Paint, columns = WIDEST): string {
  const width = Math.max(NARROWEST, Math.min(WIDEST, columns));
  return verb === undefined ? generalHelp(paint, width) : verbHelp(verb, paint, width);
}

function generalHelp(paint: Paint, width: number): string {
  return page(paint, [
    ['', wrap(ABOUT, width)],
    ['Usage', ['lcm-merge RECIPE [options]', 'lcm-merge VERB [options]', 'lcm-merge VERB --help']],
    ...GROUPS.map(
      ([title, verbs]) =>
        [
          title,
          columns(
            verbs.map((verb) => [synopsis(verb), COMMANDS[verb].summary]),
            width,
          ),
        ] as const,
    ),
    ['Options of most verbs', optionLines(COMMANDS.make.options, width)],
    ['Exit codes', exitCodeLines(width)],
    ['Examples', [...COMMANDS.make.examples, ...COMMANDS.run.examples.slice(0, 1)]],
    ['', wrap(STREAMS, width)],
  ]);
}

function verbHelp(verb: Verb, paint: Paint, width: number): string {
  const { summary, details, operands, options, examples } = SPECS[verb];
  const about = `${summary[0]?.toUpperCase()}${summary.slice(1)}.${details ? ` ${details}` : ''}`;
  return page(paint, [
    ['', wrap(about, width)],
    ['Usage', [`lcm-merge ${synopsis(verb)} [options]`]],
    [
      'Operands',
      columns(
        Object.entries(operands).map(([name, operand]) => [name.toUpperCase(), operand.description]),
        width,
      ),
    ],
    ['Options', optionLines(options, width)],
    ['Exit codes', exitCodeLines(width)],
    ['Examples', examples],
  ]);
}

/** `run PACKAGE`; the verb `make` need not be said. */
function synopsis(verb: Verb): string {
  const operands = Object.entries(SPECS[verb].operands).map(([name, { many }]) =>
    many ? `${name.toUpperCase().replace(/S$/, '')}…` : name.toUpperCase(),
  );
  return [...(verb === 'make' ? [] : [verb]), ...operands].join(' ');
}

function optionLines(options: Readonly<Record<string, OptionSpec>>, width: number): string[] {
  return columns(
    Object.entries(options).map(([name, option]) => [writtenOption(name, option), describeOption(option)]),
    width,
  );
}

/** `-o, --out DIR`, `    --json[=stream]` */
function writtenOption(name: string, { type, short, placeholder, choices, bare }: OptionSpec): string {
  const others = choices?.filter((choice) => choice !== bare) ?? [];
  const value = bare ? `[=${others.join('|')}]` : type === 'boolean' ? '' : ` ${placeholder ?? ''}`;
  return `${short ? `-${short}, ` : '    '}--${name}${value}`;
}

function describeOption({ description, choices, bare, default: fallback, otherwise, required }: OptionSpec): string {
  const notes = [
    ...(choices && !bare ? [`one of ${choices.join(', ')}`] : []),
    ...(required ? ['must be given'] : []),
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
    ...(otherwise === undefined ? [] : [`default: ${otherwise}`]),
  ];
  return notes.length === 0 ? description : `${description} (${notes.join('; ')})`;
}

function exitCodeLines(width: number): string[] {
  const outcomes = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];
  return columns(
    outcomes.map((outcome) => [String(EXIT_CODES[outcome]).padStart(3), EXIT_MEANINGS[outcome]]),
    width,
  );
}

type Section = readonly [title: string, lines: readonly string[]];

function page(paint: Paint, sections: readonly Section[]): string {
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) =>
      title === ''
        ? `${lines.join('\n')}\n`
        : `${paint('bold', title)}\n${lines.map((line) => `${INDENT}${line}\n`).join('')}`,
    )
    .join('\n');
}

/** Two columns, the second one wrapped. */
function columns(rows: readonly (readonly [string, string])[], width: number): string[] {
  const second = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.flatMap(([left, right]) =>
    wrap(right, width - INDENT.length - second).map((line, i) => `${(i === 0 ? left : '').padEnd(second)}${line}`),
  );
}

/**
 * From argv to what is asked for. node:util's parseArgs cuts it into tokens; what they mean, and every complaint about them,
 * comes from the command table.
 */
import { parseArgs } from 'node:util';
import { UsageError } from '../errors.ts';
import { nearest } from '../text/nearest.ts';
import { quote } from '../text/quote.ts';
import { type CommandSpec, type Invocation, type OptionSpec, SPECS, VERBS, type Verb } from './command-table.ts';

export type Request =
  | { readonly kind: 'run'; readonly invocation: Invocation }
  | { readonly kind: 'help'; readonly verb: Verb | undefined }
  | { readonly kind: 'version' }
  /** Nothing was said at all. */
  | { readonly kind: 'bare' };

export type OutputMode = 'text' | 'object' | 'stream';

/** Options that stand before or instead of a verb. */
const GLOBAL: CommandSpec['options'] = {
  version: { type: 'boolean', short: 'V', description: 'show the version' },
};

/** Every option of every verb: options of one name are of one type everywhere, so tokens can be cut before the verb is known. */
const ALL_OPTIONS: CommandSpec['options'] = Object.assign({}, GLOBAL, ...VERBS.map((verb) => SPECS[verb].options));

/** The first operand is a recipe, not a mistyped verb, when it looks like one. */
const RECIPE_LIKE = /\.ya?ml$|[\\/]/i;

/**
 * Reads the command line. `kindOf` looks at the file system, to tell a recipe of any name from a mistyped verb.
 * @throws UsageError in a full sentence.
 */
export function parseCommandLine(
  argv: readonly string[],
  kindOf: (path: string) => 'file' | 'folder' | undefined,
): Request {
  if (argv.length === 0) return { kind: 'bare' };
  const args = withBareValues(argv);
  const { values, operands } = tokenise(args, ALL_OPTIONS);
  if (values.has('version')) return { kind: 'version' };
  const saysHelp = operands[0] === 'help'; // as git and npm take it
  const [first] = saysHelp ? operands.slice(1) : operands;
  const asksForHelp = saysHelp || values.has('help');
  if (first === undefined) {
    return asksForHelp
      ? { kind: 'help', verb: undefined }
      : { kind: 'run', invocation: readArguments('make', args, []) };
  }
  const verb = isVerb(first) ? first : verbOfFile(first, kindOf);
  if (asksForHelp) return { kind: 'help', verb };
  return { kind: 'run', invocation: readArguments(verb, args, isVerb(first) ? operands.slice(1) : operands) };
}

export interface OutputOptions {
  readonly mode: OutputMode;
  readonly quiet: boolean;
  readonly color: boolean;
  /** Show the previews of a run. */
  readonly preview: boolean;
}

/** How results and errors are to be written: known even when the rest of the command line is wrong. */
export function outputOptions(argv: readonly string[]): OutputOptions {
  const { values } = tokenise(withBareValues(argv), ALL_OPTIONS);
  const json = values.get('json');
  return {
    mode: json === 'object' || json === 'stream' ? json : 'text',
    quiet: values.has('quiet'),
    color: !values.has('no-color'),
    preview: values.has('preview'),
  };
}

function isVerb(word: string): word is Verb {
  return Object.hasOwn(SPECS, word);
}

function verbOfFile(word: string, kindOf: (path: string) => 'file' | 'folder' | undefined): Verb {
  const kind = kindOf(word);
  if (kind === 'folder') {
    throw new UsageError(
      `${quote(word)} is a folder, but a recipe or a verb was expected. To look at a package say \`lcm-merge inspect ${word}\`, to check it \`lcm-merge verify ${word}\`.`,
    );
  }
  if (kind === 'file' || RECIPE_LIKE.test(word)) return 'make';
  const near = nearest(word, VERBS);
  throw new UsageError(
    `${quote(word)} is neither a verb of lcm-merge nor a recipe.${near ? ` Did you mean ${near}?` : ` The verbs are ${VERBS.join(', ')}.`}`,
  );
}

interface Tokens {
  readonly values: ReadonlyMap<string, string | true>;
  /** All that was given, of options that may be given several times. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  readonly operands: readonly string[];
}

/** `--json` → `--json=object`: parseArgs itself knows no option whose value may be left out. */
function withBareValues(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  return argv.map((arg, i) => {
    const bare = arg.startsWith('--') && (end < 0 || i < end) ? ALL_OPTIONS[arg.slice(2)]?.bare : undefined;
    return bare === undefined ? arg : `${arg}=${bare}`;
  });
}

/** An option as it stands on the command line. */
interface GivenOption {
  readonly name: string;
  /** With its dashes: `-o`, `--out`. */
  readonly rawName: string;
  readonly value?: string | undefined;
  /** Whether the value hangs on the name, as in `--out=DIR`. */
  readonly inlineValue?: boolean | undefined;
}

/** `complain` judges each option: its spec (undefined if the verb has none of the name) and what was given. */
function tokenise(
  args: readonly string[],
  options: CommandSpec['options'],
  complain: (option: OptionSpec | undefined, given: GivenOption) => void = () => undefined,
): Tokens {
  const { tokens } = parseArgs({
    args: [...args],
    allowPositionals: true,
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(options).map(([name, { type, short }]) => [
        name,
        { type: type === 'boolean' ? ('boolean' as const) : ('string' as const), ...(short && { short }) },
      ]),
    ),
  });
  const values = new Map<string, string | true>();
  const lists = new Map<string, string[]>();
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    complain(Object.hasOwn(options, token.name) ? options[token.name] : undefined, token);
    values.set(token.name, token.value ?? true);
    lists.set(token.name, [...(lists.get(token.name) ?? []), token.value ?? '']);
  }
  return { values, lists, operands };
}

/** Checks and converts everything that was given to `verb`. */
function readArguments(verb: Verb, args: readonly string[], operands: readonly string[]): Invocation {
  const spec = SPECS[verb];
  const command = verb === 'make' ? 'lcm-merge' : `lcm-merge ${verb}`;
  const { values, lists } = tokenise(args, spec.options, (option, { name, rawName: written, value, inlineValue }) => {
    if (!option) throw unknownOption(command, written, spec);
    if (option.type === 'boolean') {
      if (inlineValue) throw new UsageError(`${written} takes no value, but ${quote(value ?? '')} was given.`);
    } else if (value === undefined || (!inlineValue && value.length > 1 && value.startsWith('-'))) {
      const instead = value === undefined ? '' : ` If ${quote(value)} is the value, write --${name}=${value}.`;
      throw new UsageError(
        `${written} needs a value (${option.placeholder ?? option.choices?.join(' or ')}).${instead}`,
      );
    }
  });
  const parsed: Record<string, unknown> = {};
  const names = Object.keys(spec.operands);
  if (operands.length < names.length) {
    const missing = names
      .slice(operands.length)
      .map((name) => `${name.toUpperCase()} (${spec.operands[name]?.description})`);
    throw new UsageError(`${command} needs ${missing.join(' and ')}.`);
  }
  const last = names.at(-1);
  const takesMany = last !== undefined && spec.operands[last]?.many === true;
  if (operands.length > names.length && !takesMany) {
    throw new UsageError(
      `${command} takes ${names.length === 0 ? 'no operand' : names.map((name) => name.toUpperCase()).join(' and ')}; ${quote(operands[names.length] ?? '')} is too much.`,
    );
  }
  for (const [i, name] of names.entries()) {
    const given = takesMany && name === last ? operands.slice(i) : operands.slice(i, i + 1);
    if (given.includes('')) throw new UsageError(`${command} needs ${name.toUpperCase()}; an empty name was given.`);
    const checked = given.map((text) => checkChoice(text, name.toUpperCase(), spec.operands[name]?.choices));
    parsed[name] = takesMany && name === last ? checked : checked[0];
  }
  for (const [name, option] of Object.entries(spec.options)) {
    const value = values.get(name);
    if (option.required && value === undefined) {
      throw new UsageError(`${command} needs --${name} ${option.placeholder} (${option.description}).`);
    }
    if (option.type === 'boolean') parsed[name] = value !== undefined;
    else if (option.many) parsed[name] = (lists.get(name) ?? []).map((text) => readValue(text, `--${name}`, option));
    else parsed[name] = typeof value === 'string' ? readValue(value, `--${name}`, option) : option.default;
  }
  return { verb, args: parsed } as unknown as Invocation; // the table that typed it has just been checked, entry by entry
}

function unknownOption(command: string, written: string, { options }: CommandSpec): UsageError {
  const near = written.startsWith('--') ? nearest(written.slice(2), Object.keys(options)) : undefined;
  return new UsageError(
    `${command} has no option ${quote(written).slice(1, -1)}.${near ? ` Did you mean --${near}?` : ` ${command} --help lists them.`}`,
  );
}

const NUMBERS = {
  integer: { pattern: /^[+-]?\d+$/, name: 'a whole number' },
  number: { pattern: /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, name: 'a number' },
} as const;

function readValue(text: string, written: string, option: OptionSpec): string | number {
  const { type, choices, completes, min = -Infinity, max = Infinity } = option;
  if (completes && text === '')
    throw new UsageError(`${written} needs the name of a ${completes}; an empty one was given.`);
  if (type !== 'number' && type !== 'integer') return checkChoice(text, written, choices);
  const value = Number(text);
  if (NUMBERS[type].pattern.test(text) && value >= min && value <= max) return value;
  const from = min === -Infinity ? '' : max === Infinity ? ` of ${min} or more` : ` from ${min} to ${max}`;
  throw new UsageError(`${written} must be ${NUMBERS[type].name}${from}; ${quote(text)} was given.`);
}

function checkChoice(text: string, written: string, choices: readonly string[] | undefined): string {
  if (!choices || choices.includes(text)) return text;
  const near = nearest(text, choices);
  throw new UsageError(
    `${written} must be one of ${choices.join(', ')}; ${quote(text)} was given.${near ? ` Did you mean ${near}?` : ''}`,
  );
}

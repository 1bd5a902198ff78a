/** What differs between two packages, for a terminal of 80 columns: a section for each part, in the order in which one thing follows from another. */
import { table, wrap } from '../../text/columns.ts';
import { count, formatBytes, formatDuration, threeFigures } from '../../text/quantity.ts';
import { printable } from '../../text/quote.ts';
import type { Paint } from '../../text/terminal.ts';
import type { Changed, GraphDifference } from './graphs.ts';
import type { KnobDifference } from './knobs.ts';
import type { DiffSide, PackageDiff } from './package-diff.ts';
import type { Source, SourcePair } from './sources.ts';
import type { VerificationDifference } from './verification.ts';
import { weightLines } from './weights-text.ts';

const COLUMNS = 80;
const INDENT = '  ';
/** Characters of a name or value from a file; a longer one is another's mistake. */
const MAX_TEXT = 300;

type Lines = readonly string[];
/** What a line is about, and the line, which may be broken. */
type Entry = readonly [label: string, text: string];

/** One line for packages that are the same; the verifications of such may still have found other things. */
export function describeDiff(diff: PackageDiff, paint: Paint): string {
  const { a, b, identical, verification, weights } = diff;
  const found = verification && (!identical || isChanged(verification)) ? verificationLines(verification, paint) : [];
  if (identical) {
    const size = `${count(a.files, 'file')}, ${formatBytes(a.bytes)}`;
    return [
      `${clean(a.package)} and ${clean(b.package)} are the same to the last bit: ${size}.`,
      ...section('Verification', found, paint),
    ].join('\n');
  }
  const norms = weights.some(({ differ }) => differ > 0) ? ': Δ = B − A, over the tensors that differ' : '';
  return [
    `A  ${sideText(a)}`,
    `B  ${sideText(b)}`,
    ...section('Knobs', diff.knobs ? knobLines(diff.knobs) : [], paint),
    ...section('Sources', diff.sources ? sourceLines(diff.sources) : [], paint),
    ...section(`Weights${norms}`, weightLines(weights, COLUMNS - INDENT.length), paint),
    ...section('Graphs', graphLines(diff.graphs), paint),
    ...section('Files', fileLines(diff.files), paint),
    ...section('Verification', found, paint),
    ...diff.absent.flatMap((sentence) => ['', ...wrap(clean(sentence), COLUMNS)]),
  ].join('\n');
}

function section(title: string, lines: Lines, paint: Paint): Lines {
  return lines.length === 0 ? [] : ['', paint('bold', title), ...lines.map((line) => `${INDENT}${line}`.trimEnd())];
}

const sideText = ({ package: name, files, bytes }: DiffSide): string =>
  `${clean(name)} (${count(files, 'file')}, ${formatBytes(bytes)})`;

const clean = (text: string): string => printable(text, MAX_TEXT);

// ---------------------------------------------------------------------------------------------------- asked for

interface KnobRow {
  readonly at: string;
  readonly knob: string;
  readonly a: string;
  readonly b: string;
}

/** A line for each as long as they fit; values for which there is no room stand below their name. */
function knobLines(knobs: readonly KnobDifference[]): Lines {
  if (knobs.length === 0) return ['none differs'];
  const rows = knobs.map(({ at, knob = '', a, b }) => ({
    at: clean(at),
    knob: clean(knob),
    a: valueText(a),
    b: valueText(b),
  }));
  const short = rows.toSorted((x, y) => lengthOf(x) - lengthOf(y));
  while (knobTable(short).some((line) => line.length > COLUMNS - INDENT.length)) short.pop();
  const fitting = new Set(short);
  return [
    ...knobTable(rows.filter((row) => fitting.has(row))),
    ...rows
      .filter((row) => !fitting.has(row))
      .flatMap(({ at, a, b }) => [
        at,
        ...indented(
          entryLines([
            ['A', a],
            ['B', b],
          ]),
        ),
      ]),
  ];
}

function knobTable(rows: readonly KnobRow[]): Lines {
  return rows.length === 0
    ? []
    : table(
        rows.map(({ at, knob, a, b }) => [at, knob, a, '→', b]),
        { right: [2] },
      ).split('\n');
}

const lengthOf = ({ at, knob, a, b }: KnobRow): number => at.length + knob.length + a.length + b.length;
const indented = (lines: Lines): Lines => lines.map((line) => `${INDENT}${line}`);

function valueText(value: unknown): string {
  if (value === undefined) return '–';
  return clean(typeof value === 'string' && value !== '' ? value : (JSON.stringify(value) ?? ''));
}

/** So much of a hash tells files apart. */
const HASH_DIGITS = 8;

const KINDS: Readonly<Record<SourcePair['kind'], string>> = {
  exchanged: 'exchanged',
  moved: 'other role',
  renamed: 'other name',
  only_a: 'only in A',
  only_b: 'only in B',
  same: 'same',
};

function sourceLines(pairs: readonly SourcePair[]): Lines {
  const kinds = Object.keys(KINDS) as SourcePair['kind'][];
  return entryLines(
    kinds.flatMap((kind): Entry[] => {
      const own = pairs.filter((pair) => pair.kind === kind);
      if (kind === 'same')
        return own.length === 0 ? [] : [[KINDS.same, own.map(({ a }) => clean(a?.role ?? '')).join(', ')]];
      return own.map(({ a, b }) => [KINDS[kind], changedSource(a, b)]);
    }),
  );
}

function changedSource(a: Source | undefined, b: Source | undefined): string {
  if (!a || !b)
    return [a, b].flatMap((source) => (source ? `${clean(source.role)}: ${sourceText(source)}` : [])).join();
  const roles = a.role === b.role ? clean(a.role) : `${clean(a.role)} → ${clean(b.role)}`;
  const isSame = a.sha256 === b.sha256 && sourceText(a) === sourceText(b);
  return `${roles}: ${isSame ? sourceText(a) : `${sourceText(a)} → ${sourceText(b)}`}`;
}

/** `ink.safetensors (aa0bf52b, 696 kB)`; of one from the Hub its commit, too. */
function sourceText({ file, sha256, bytes, reference, commit }: Source): string {
  const from = commit === undefined ? [] : [`${reference} at ${commit.slice(0, HASH_DIGITS)}`];
  return `${clean(file)} (${[sha256.slice(0, HASH_DIGITS), formatBytes(bytes), ...from.map(clean)].join(', ')})`;
}

// ---------------------------------------------------------------------------------------------------- made

/** Of graphs over the same weights, such as those of other devices, the first; the others differ for the same reasons. */
function graphLines(graphs: readonly GraphDifference[]): Lines {
  const ofFolders = Map.groupBy(graphs, ({ file }) => file.split('/')[0]);
  return [...ofFolders.values()].flatMap((own) => {
    const shown = own.find(({ file }) => file.endsWith('/model.onnx')) ?? (own[0] as GraphDifference);
    const others = own.filter((graph) => graph !== shown).map(({ file }) => clean(file));
    return [
      clean(shown.file),
      ...indented(
        entryLines([...graphEntries(shown), ...(others.length === 0 ? [] : [['also', others.join(', ')] as const])]),
      ),
    ];
  });
}

function graphEntries({ operators, opsets, boundary, first }: GraphDifference): Entry[] {
  return [
    ...changes(
      'opset',
      opsets.map((change) => ({ ...change, name: change.name || 'ONNX' })),
    ),
    ...boundary.map((change): Entry => ['boundary', changeText(change)]),
    ...changes('operators', operators),
    first === undefined
      ? ['', 'the same but for the version of the tool']
      : ['first', `seen from A, B ${clean(first)}`],
  ];
}

const changes = (label: string, all: readonly Changed<number>[]): Entry[] =>
  all.length === 0 ? [] : [[label, all.map(changeText).join(', ')]];

const changeText = ({ name, a, b }: Changed<number | string>): string => clean(`${name} ${a ?? '–'} → ${b ?? '–'}`);

function fileLines({ same, altered, only_a, only_b }: PackageDiff['files']): Lines {
  const lists = [
    ['differ', altered],
    ['only in A', only_a],
    ['only in B', only_b],
  ] as const;
  return entryLines([
    ...lists.flatMap(([label, names]): Entry[] => (names.length === 0 ? [] : [[label, names.map(clean).join(', ')]])),
    ['same', String(same)],
  ]);
}

// ---------------------------------------------------------------------------------------------------- found

const TIMES: Readonly<Record<NonNullable<VerificationDifference['times']>[number]['what'], string>> = {
  step_ms: 'a step (median)',
  denoise_ms: 'all steps',
  decode_ms: 'VAE',
  total_ms: 'a clip',
  load_ms: 'loading',
  peak_bytes: 'memory at most',
};

/** Two verifications of one package take other times; so much is not worth a line. */
function isChanged({ checks, times, device }: VerificationDifference): boolean {
  return checks.length > 0 || device.a !== device.b || (times ?? []).some(({ a, b }) => a !== b);
}

function verificationLines(
  { verdict, device, checks, times, incomparable }: VerificationDifference,
  paint: Paint,
): Lines {
  const sides = [
    ['verdict', verdict],
    ['device', device],
  ] as const;
  const verdicts = sides.map(([what, { a, b }]): Entry => [what, a === b ? clean(a) : `${clean(a)} → ${clean(b)}`]);
  const found = checks.flatMap(({ id, a, b }): Entry[] => {
    const reasons = [a, b].filter((side) => side && side.verdict !== 'passed').map((side) => clean(side?.reason ?? ''));
    return [[clean(id), [`${a?.verdict ?? 'not checked'} → ${b?.verdict ?? 'not checked'}`, ...reasons].join('. ')]];
  });
  const rows = (times ?? []).map(({ what, a, b, ratio }) => {
    const text = what === 'peak_bytes' ? formatBytes : formatDuration;
    return [TIMES[what], text(a), text(b), ratio === null ? '–' : `${threeFigures(ratio)}×`];
  });
  return [
    ...entryLines([...verdicts, ...found]),
    ...(times === null
      ? ['no times: a run did not end']
      : ['', ...table([['', 'A', 'B', 'B/A'], ...rows], { right: [1, 2, 3] }).split('\n')]),
    ...incomparable.flatMap((sentence) => [
      '',
      ...wrap(clean(sentence), COLUMNS - 12).map(
        (line, i) => `${i === 0 ? paint('yellow', 'warning:') : '        '} ${line}`,
      ),
    ]),
  ];
}

/** Labels in a column, their texts broken beside them. */
function entryLines(entries: readonly Entry[]): string[] {
  const width = Math.max(0, ...entries.map(([label]) => label.length)) + 2;
  return entries.flatMap(([label, text]) =>
    wrap(text, COLUMNS - 2 * INDENT.length - width).map((line, i) => `${(i === 0 ? label : '').padEnd(width)}${line}`),
  );
}

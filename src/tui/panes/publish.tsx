/** What would be published where, and whether it may be; the question, and what came of it. */
import { Box } from 'ink';
import { describePublication } from '../../publish/describe.ts';
import type { Publication } from '../../publish/preview.ts';
import { table } from '../../text/columns.ts';
import { formatBytes } from '../../text/quantity.ts';
import type { StageRow } from '../job.ts';
import type { Mark } from '../marks.ts';
import { progressLines } from '../progress-line.ts';
import { type PublicationView, questionOf } from '../publication.ts';
import { Marked, Words } from '../theme.tsx';
import { PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface PublishPaneProps extends Pick<PaneProps, 'box' | 'focused' | 'offset' | 'onLimit'> {
  readonly publication: PublicationView;
}

export function PublishPane({ publication, ...pane }: PublishPaneProps) {
  const { run } = publication;
  const columns = pane.box.width - PANE_SIDES;
  const row = 'row' in run ? run.row : undefined;
  const sayings = sayingsOf(publication).map(({ mark, text, isBold }) => (
    <Marked key={text} mark={mark} {...(isBold && { style: 'bold' as const })}>
      {text}
    </Marked>
  ));
  const isLong = run.status === 'refused' || run.status === 'failed'; // reasons have any length, and are scrolled
  const head = (
    <>
      {!isLong && sayings}
      {row && <Advance row={row} columns={columns} />}
    </>
  );
  return (
    <Pane title="Publish" {...pane} head={head}>
      {isLong && sayings}
      <Facts publication={publication} />
    </Pane>
  );
}

function Advance({ row, columns }: { readonly row: StageRow; readonly columns: number }) {
  return progressLines(row, row.progress?.at ?? row.startedAt, columns).map((line, i) => (
    <Words key={i === 0 ? 'bar' : 'numbers'} wrap="truncate-end">
      {line}
    </Words>
  ));
}

interface Saying {
  readonly mark: Mark;
  readonly text: string;
  readonly isBold?: boolean;
}

const PLACES =
  'A folder of this machine can be one, the Hugging Face Hub (hf://owner/name) or a registry: oci://registry/name:tag.';

/** How it stands, and what can be done about it; of what was refused, only why. */
function sayingsOf(view: PublicationView): readonly Saying[] {
  const { folder, run } = view;
  switch (run.status) {
    case 'idle':
      if (folder === undefined) return [{ mark: 'note', text: 'There is no package yet: bake a recipe first.' }];
      return [{ mark: 'note', text: `There is no target: type one with t. ${PLACES}` }];
    case 'reading':
      return [{ mark: 'working', text: 'Checking that these are the bytes that passed' }];
    case 'refused':
      return [
        { mark: 'failed', text: 'This is not published.', isBold: true },
        ...run.survey.refusals.map(({ message }): Saying => ({ mark: 'failed', text: message })),
      ];
    case 'ready':
      return [{ mark: 'passed', text: 'These are exactly the bytes that passed. Enter publishes them.', isBold: true }];
    case 'asking':
      return [
        { mark: 'unknown', text: questionOf(view) ?? '', isBold: true },
        { mark: 'note', text: 'y or Enter: yes. n or Esc: no.' },
      ];
    case 'publishing':
      return [{ mark: 'working', text: `Publishing to ${run.survey.to}`, isBold: true }];
    case 'stopping':
      return [{ mark: 'working', text: 'Stopping', isBold: true }];
    case 'stopped':
      return [{ mark: 'stopped', text: 'Stopped. What stood at the target stands there still. Enter begins again.' }];
    case 'failed':
      return [
        ...run.problems.map((text): Saying => ({ mark: 'failed', text })),
        { mark: 'note', text: 'Enter tries again.' },
      ];
    case 'done': {
      const { to: where, files, bytes, pullRequest, unchanged } = run.published;
      const done = unchanged ? 'The same is there already, as' : 'Published to';
      return [
        { mark: 'passed', text: `${done} ${where}: ${files} files, ${formatBytes(bytes)}`, isBold: true },
        ...(pullRequest === undefined ? [] : [{ mark: 'note', text: `Offered at ${pullRequest}` } as const]),
      ];
    }
  }
}

/** The longest label. */
const LABEL = 'verification'.length;

function Facts({ publication: { packages, folder, to, run } }: { readonly publication: PublicationView }) {
  const survey = 'survey' in run ? run.survey : undefined;
  const place = `${packages.indexOf(folder ?? '') + 1} of ${packages.length}; ← → for the others`;
  const facts = survey
    ? describePublication(survey)
    : ([
        ['package', folder ?? '–'],
        ['to', to ?? '–'],
      ] as const);
  return (
    <>
      {[...(packages.length > 1 ? [['choice', place] as const] : []), ...facts].map(([label, text]) => (
        <Box key={label}>
          <Box width={LABEL + 2} flexShrink={0}>
            <Words style="dim">{label}</Words>
          </Box>
          <Words>{text}</Words>
        </Box>
      ))}
      {survey && survey.refusals.length === 0 && <Files survey={survey} />}
    </>
  );
}

/** Hexadecimal digits of a hash that are shown. */
const PREFIX = 12;

function Files({ survey: { files, bytes } }: { readonly survey: Publication }) {
  const rows = files.map(({ name, bytes: size, sha256 = '' }) => [name, formatBytes(size), sha256.slice(0, PREFIX)]);
  const titles = [`${files.length} files`, formatBytes(bytes), 'sha256'];
  return (
    <>
      <Words> </Words>
      {table([titles, ...rows], { right: [1] })
        .split('\n')
        .map((line, i) => (
          <Words key={i === 0 ? 'titles' : files[i - 1]?.name} style={i === 0 ? 'dim' : undefined} wrap="truncate-end">
            {line}
          </Words>
        ))}
    </>
  );
}

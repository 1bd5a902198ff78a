/**
 * Publishing by hand: a package and a target are chosen, what would happen is read and shown, and only a clear yes to a question
 * that names it all begins. Pure; who runs the stages follows `run` and answers with what came of them.
 */
import type { Event } from '../events.ts';

import { describeStanding, type HubWishes, type Published } from '../publish/place.ts';

import type { Publication } from '../publish/preview.ts';
import { formatBytes } from '../text/quantity.ts';
import { hearStage, type StageRow } from './job.ts';

/** What is to be published where. A new object for every wish: answers to another are too late. */
export interface PublicationWish extends HubWishes {
  readonly folder: string;
  readonly to: string;
}

export type PublicationRun =
  /** A package or a target is missing. */
  | { readonly status: 'idle' }
  /** First what shows at once comes (`survey`), then all files are hashed. */
  | (Wished & { readonly status: 'reading'; readonly survey?: Publication; readonly row?: StageRow })
  | (Wished & { readonly status: 'ready' | 'refused' | 'asking'; readonly survey: Publication })
  | (Wished & { readonly status: 'publishing' | 'stopping'; readonly survey: Publication; readonly row?: StageRow })
  | (Wished & { readonly status: 'done'; readonly published: Published })
  | (Wished & { readonly status: 'stopped' })
  | (Wished & { readonly status: 'failed'; readonly problems: readonly string[] });

interface Wished {
  readonly wish: PublicationWish;
}

export interface PublicationView {
  /** Folders to choose among. */
  readonly packages: readonly string[];
  readonly folder: string | undefined;
  readonly to: string | undefined;
  /** What the recipe says of `to` besides. */
  readonly wishes: HubWishes;
  readonly run: PublicationRun;
}

export type PublicationCommand = 'left' | 'right' | 'open' | 'confirm' | 'back';

export const NO_PUBLICATION: PublicationView = {
  packages: [],
  folder: undefined,
  to: undefined,
  wishes: {},
  run: { status: 'idle' },
};

/** Takes another package, and a target where one is known; the target that was there stays otherwise. */
export function choosePackage(
  view: PublicationView,
  folder: string,
  target?: HubWishes & { readonly to: string },
): PublicationView {
  const packages = view.packages.includes(folder) ? view.packages : [folder, ...view.packages];
  const { to, ...wishes } = target ?? { ...view.wishes, to: view.to };
  return read(view, { ...view, packages, folder, to, wishes });
}

/** The packages that there are; the first is taken where none is. */
export function offerPackages(view: PublicationView, packages: readonly string[]): PublicationView {
  const { folder = packages[0] } = view;
  const offered = folder === undefined || packages.includes(folder) ? packages : [folder, ...packages];
  const next = { ...view, packages: offered, folder };
  return folder === view.folder ? next : read(view, next);
}

export function setTarget(view: PublicationView, text: string): PublicationView {
  return read(view, { ...view, to: text.trim() === '' ? undefined : text.trim(), wishes: {} });
}

export function obeyPublication(view: PublicationView, command: PublicationCommand): PublicationView {
  const { run } = view;
  switch (command) {
    case 'left':
      return neighbour(view, -1);
    case 'right':
      return neighbour(view, 1);
    case 'open':
    case 'confirm':
      return proceed(view, command);
    case 'back':
      if (run.status === 'asking') return { ...view, run: { ...run, status: 'ready' } };
      return run.status === 'publishing' ? { ...view, run: { ...run, status: 'stopping' } } : view;
  }
}

/** What shows without reading the files; if that refuses already, there is nothing more to come. */
export function surveyed(view: PublicationView, wish: PublicationWish, survey: Publication): PublicationView {
  return answer(view, wish, READING, (run) =>
    survey.refusals.length > 0 ? { wish, status: 'refused', survey } : { ...run, survey },
  );
}

/** The files have been hashed. */
export function previewed(view: PublicationView, wish: PublicationWish, survey: Publication): PublicationView {
  return answer(view, wish, READING, () => ({
    wish,
    status: survey.refusals.length > 0 ? 'refused' : 'ready',
    survey,
  }));
}

export function published(view: PublicationView, wish: PublicationWish, result: Published): PublicationView {
  return answer(view, wish, PUBLISHING, () => ({ wish, status: 'done', published: result }));
}

/** Reading or publishing broke. */
export function publicationFailed(
  view: PublicationView,
  wish: PublicationWish,
  problems: readonly string[],
): PublicationView {
  return answer(view, wish, ANY, () => ({ wish, status: 'failed', problems }));
}

export function publicationStopped(view: PublicationView, wish: PublicationWish): PublicationView {
  return answer(view, wish, ANY, () => ({ wish, status: 'stopped' }));
}

export function hearPublication(
  view: PublicationView,
  wish: PublicationWish,
  event: Event,
  at: number,
): PublicationView {
  return answer(view, wish, ANY, (run) => {
    const row = hearStage(run.row, event, at);
    return row === undefined || row === run.row ? run : { ...run, row };
  });
}

/** Something is being written, and leaving must wait for it. */
export function isPublishing({ run: { status } }: PublicationView): boolean {
  return status === 'publishing' || status === 'stopping';
}

/** What yes means, in full. */
export function questionOf({ run }: PublicationView): string | undefined {
  if (run.status !== 'asking') return undefined;
  const { folder, to, files, bytes, target } = run.survey;
  const replaces =
    target?.replaces && !target.hub?.pullRequest ? ` and replace ${describeStanding(target.replaces)}` : '';
  const creates = target?.hub?.creates ? `, making the ${target.hub.creates}` : '';
  const offered = target?.hub?.pullRequest ? ' as a pull request' : '';
  return `Publish ${folder} (${files.length} files, ${formatBytes(bytes)}) to ${to}${creates}${replaces}${offered}?`;
}

// ---------------------------------------------------------------------------------------------------- changes

type Working = Extract<PublicationRun, { status: 'reading' | 'publishing' | 'stopping' }>;

const READING = ['reading'] as const;
const PUBLISHING = ['publishing', 'stopping'] as const;
const ANY = [...READING, ...PUBLISHING];

function isWorking(run: PublicationRun): run is Working {
  return run.status === 'reading' || run.status === 'publishing' || run.status === 'stopping';
}

/** What is being written is not changed under way. */
function read(before: PublicationView, { folder, to, ...view }: PublicationView): PublicationView {
  if (isPublishing(before)) return before;
  const run: PublicationRun =
    folder === undefined || to === undefined
      ? { status: 'idle' }
      : { status: 'reading', wish: { ...view.wishes, folder, to } };
  return { ...view, folder, to, run };
}

function answer(
  view: PublicationView,
  wish: PublicationWish,
  awaiting: readonly Working['status'][],
  change: (run: Working) => PublicationRun,
): PublicationView {
  const { run } = view;
  if (!isWorking(run) || run.wish !== wish || !awaiting.includes(run.status)) return view;
  const next = change(run);
  return next === run ? view : { ...view, run: next };
}

/** One step at a time: ready, asked, begun. What was refused, or is over, is read again; nothing else leads on from there. */
function proceed(view: PublicationView, command: 'open' | 'confirm'): PublicationView {
  const { run } = view;
  if (run.status === 'asking') return { ...view, run: { wish: run.wish, status: 'publishing', survey: run.survey } };
  if (command === 'confirm') return view; // there was no question
  if (run.status === 'ready') return { ...view, run: { ...run, status: 'asking' } };
  return isWorking(run) ? view : read(view, view);
}

function neighbour(view: PublicationView, by: 1 | -1): PublicationView {
  const { packages, folder, run } = view;
  const at = packages.indexOf(folder ?? '');
  const next = packages[at + by];
  return next === undefined || run.status === 'asking' ? view : read(view, { ...view, folder: next });
}

import { describe, expect, it } from 'vitest';
import type { Event } from '../../src/events.ts';
import type { Publication } from '../../src/publish/preview.ts';
import {
  choosePackage,
  hearPublication,
  isPublishing,
  NO_PUBLICATION,
  obeyPublication,
  offerPackages,
  type PublicationCommand,
  type PublicationView,
  type PublicationWish,
  previewed,
  publicationFailed,
  publicationStopped,
  published,
  questionOf,
  setTarget,
  surveyed,
} from '../../src/tui/publication.ts';
import { publicationOf } from './publications.ts';

const chosen = () => choosePackage(NO_PUBLICATION, 'out/ink', { to: '/srv/ink' });
const wishIn = ({ run }: PublicationView): PublicationWish => {
  if (run.status === 'idle') throw new Error('There is no wish.');
  return run.wish;
};
const read = (changes: Partial<Publication> = {}, view = chosen()) =>
  previewed(view, wishIn(view), publicationOf(changes));
const given = (view: PublicationView, ...commands: readonly PublicationCommand[]) =>
  commands.reduce(obeyPublication, view);
const REFUSED = { refusals: [{ kind: 'publish', message: 'It has not been verified.' }] } as const;

describe('the Hub', () => {
  const head = 'a'.repeat(40);
  const hub = { head, account: 'me', mayWrite: 'yes' } as const;
  const replaces = { name: 'oil', files: 24, bytes: 21.8e6, commit: head };
  const wished = choosePackage(NO_PUBLICATION, 'out/ink', { to: 'hf://me/ink', pullRequest: true });

  it('is offered a pull request where the recipe says so, until another target is typed', () => {
    expect(wishIn(wished)).toEqual({ folder: 'out/ink', to: 'hf://me/ink', pullRequest: true });
    const next = offerPackages(wished, ['out/ink', 'out/oil']);
    expect(wishIn(obeyPublication(next, 'right'))).toEqual({ folder: 'out/oil', to: 'hf://me/ink', pullRequest: true });
    expect(wishIn(choosePackage(wished, 'out/oil'))).toMatchObject({ pullRequest: true });
    expect(wishIn(setTarget(wished, 'hf://me/oil'))).toEqual({ folder: 'out/ink', to: 'hf://me/oil' });
  });

  it('is asked about with the commit that would be replaced, or the pull request', () => {
    const to = 'hf://me/ink@main';
    const committed = read({ to, target: { place: to, replaces, hub } }, chosen());
    expect(questionOf(given(committed, 'open'))).toMatch(
      /to hf:\/\/me\/ink@main and replace oil \(24 files, 21\.8 MB, commit aaaaaaaaaaaa\)\?$/,
    );
    const creates = 'private repository';
    const fresh = read({ to, target: { place: to, hub: { account: 'me', mayWrite: 'yes', creates } } }, chosen());
    expect(questionOf(given(fresh, 'open'))).toMatch(/ to hf:\/\/me\/ink@main, making the private repository\?$/);
    const proposed = read({ to, target: { place: to, replaces, hub: { ...hub, pullRequest: true } } }, wished);
    expect(questionOf(given(proposed, 'open'))).toMatch(/to hf:\/\/me\/ink@main as a pull request\?$/);
  });
});

describe('what is to be published', () => {
  it('is read as soon as a package and a target are known, and not before', () => {
    expect(NO_PUBLICATION.run.status).toBe('idle');
    expect(offerPackages(NO_PUBLICATION, []).run.status).toBe('idle');
    const offered = offerPackages(NO_PUBLICATION, ['out/ink', 'out/oil']);
    expect(offered).toMatchObject({ folder: 'out/ink', run: { status: 'idle' } });
    expect(setTarget(offered, ' /srv/x ').run).toEqual({
      status: 'reading',
      wish: { folder: 'out/ink', to: '/srv/x' },
    });
    expect(setTarget(setTarget(offered, '/srv/x'), ' ').run.status).toBe('idle');
  });

  it('is the package that was chosen, also when others are found', () => {
    const before = chosen();
    const view = offerPackages(before, ['out/oil', 'out/ink']);
    expect(view).toMatchObject({ folder: 'out/ink', packages: ['out/oil', 'out/ink'] });
    expect(view.run).toBe(before.run);
    expect(offerPackages(chosen(), ['out/oil']).packages).toEqual(['out/ink', 'out/oil']);
  });

  it('changes along the list, and stops at its ends', () => {
    const view = offerPackages(chosen(), ['out/ink', 'out/oil']);
    expect(given(view, 'right')).toMatchObject({ folder: 'out/oil', to: '/srv/ink', run: { status: 'reading' } });
    expect(given(view, 'right', 'right').folder).toBe('out/oil');
    expect(given(view, 'left')).toBe(view);
  });

  it('hears answers to the last wish only', () => {
    const before = chosen();
    const after = setTarget(before, '/srv/other');
    for (const late of [surveyed, previewed]) expect(late(after, wishIn(before), publicationOf())).toBe(after);
    expect(hearPublication(after, wishIn(before), progress(1), 5)).toBe(after);
    expect(publicationFailed(after, wishIn(before), ['late'])).toBe(after);
  });

  it('shows what can be known at once, then how far the hashing is, then that it may be published', () => {
    const at = chosen();
    const seen = surveyed(at, wishIn(at), publicationOf());
    expect(seen.run).toMatchObject({ status: 'reading', survey: { to: '/srv/ink' } });
    const wish = wishIn(seen);
    const heard = [started, progress(5)].reduce((view, event, i) => hearPublication(view, wish, event, i), seen);
    expect(heard.run).toMatchObject({ status: 'reading', row: { progress: { done: 5, total: 10 } } });
    expect(previewed(heard, wish, publicationOf()).run).toMatchObject({ status: 'ready' });
  });
});

const started: Event = { type: 'stage-started', stage: 'publish', subject: 'out/ink' };
const progress = (done: number): Event => ({ type: 'progress', stage: 'publish', done, total: 10, unit: 'bytes' });

describe('publishing', () => {
  it('takes two steps: one that asks, one that says yes', () => {
    const ready = read();
    expect(questionOf(ready)).toBeUndefined();
    const asking = given(ready, 'open');
    expect(questionOf(asking)).toBe('Publish /work/out/ink (2 files, 19.3 MB) to /srv/ink?');
    expect(isPublishing(asking)).toBe(false);
    for (const yes of ['open', 'confirm'] as const) expect(given(asking, yes).run.status).toBe('publishing');
    expect(given(asking, 'back').run.status).toBe('ready');
    expect(given(ready, 'confirm')).toBe(ready);
  });

  it('says in its question what would be replaced', () => {
    const replaces = { name: 'oil', files: 24, bytes: 21_800_000 };
    const asking = given(read({ target: { place: '/srv/ink', replaces } }), 'open');
    expect(questionOf(asking)).toMatch(/ to \/srv\/ink and replace oil \(24 files, 21\.8 MB\)\?$/);
  });

  it.each(['reading', 'refused', 'done', 'failed', 'stopped', 'idle'] as const)(
    'begins in no way when %s',
    (status) => {
      const at = chosen();
      const publishing = given(read(), 'open', 'confirm');
      const views: Record<typeof status, PublicationView> = {
        reading: surveyed(at, wishIn(at), publicationOf()),
        refused: read(REFUSED),
        done: published(publishing, wishIn(publishing), { to: '/srv/ink', files: 2, bytes: 3 }),
        failed: publicationFailed(publishing, wishIn(publishing), ['The disk is full.']),
        stopped: publicationStopped(given(publishing, 'back'), wishIn(publishing)),
        idle: NO_PUBLICATION,
      };
      const view = views[status];
      expect(view.run.status).toBe(status);
      for (const command of ['open', 'confirm', 'back', 'left', 'right'] as const) {
        const next = given(view, command, 'confirm', 'open', 'confirm', 'open');
        expect(['idle', 'reading', 'refused', 'failed', 'done', 'stopped']).toContain(next.run.status);
      }
      expect(questionOf(given(view, 'open'))).toBeUndefined();
    },
  );

  it('is refused at once where that shows without reading files, and read again on demand', () => {
    const at = chosen();
    const refused = surveyed(at, wishIn(at), publicationOf(REFUSED));
    expect(refused.run).toMatchObject({ status: 'refused', survey: REFUSED });
    expect(given(refused, 'open').run.status).toBe('reading');
  });

  it('is not disturbed by other wishes, and stops when it is told to', () => {
    const publishing = given(offerPackages(read(), ['out/ink', 'out/oil']), 'open', 'open');
    expect(isPublishing(publishing)).toBe(true);
    expect(setTarget(publishing, '/elsewhere')).toBe(publishing);
    expect(choosePackage(publishing, 'out/oil')).toBe(publishing);
    expect(given(publishing, 'right')).toBe(publishing);
    expect(given(publishing, 'open', 'confirm')).toBe(publishing);
    const stopping = given(publishing, 'back');
    expect(stopping.run).toMatchObject({ status: 'stopping', wish: wishIn(publishing) });
    expect(given(stopping, 'back')).toBe(stopping);
    expect(publicationStopped(stopping, wishIn(publishing)).run.status).toBe('stopped');
  });

  it('does not change what it asks about', () => {
    const asking = given(offerPackages(read(), ['out/ink', 'out/oil']), 'open');
    expect(given(asking, 'right')).toBe(asking);
    expect(setTarget(asking, '/elsewhere').run.status).toBe('reading');
  });

  it('tells what was published where, and takes no answer of another kind', () => {
    const publishing = given(read(), 'open', 'open');
    expect(previewed(publishing, wishIn(publishing), publicationOf())).toBe(publishing);
    const result = { to: '/srv/ink', files: 2, bytes: 19_300_000 };
    expect(published(publishing, wishIn(publishing), result).run).toMatchObject({ status: 'done', published: result });
    const ready = read();
    expect(published(ready, wishIn(ready), result)).toBe(ready);
  });
});

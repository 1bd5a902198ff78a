import { renderToString } from 'ink';
import { describe, expect, it } from 'vitest';
import type { Publication } from '../../../src/publish/preview.ts';
import { PublishPane } from '../../../src/tui/panes/publish.tsx';
import {
  choosePackage,
  hearPublication,
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
  surveyed,
} from '../../../src/tui/publication.ts';
import { publicationOf } from '../publications.ts';

const CHOSEN = choosePackage(NO_PUBLICATION, 'out/ink', { to: '/srv/ink' });
const WISH = (CHOSEN.run as { readonly wish: PublicationWish }).wish;
const read = (changes: Partial<Publication> = {}) => previewed(CHOSEN, WISH, publicationOf(changes));
const given = (view: PublicationView, ...commands: readonly PublicationCommand[]) =>
  commands.reduce(obeyPublication, view);
const REPLACES = { target: { place: '/srv/ink', replaces: { name: 'oil', files: 24, bytes: 21.8e6 }, free: 58e9 } };

function drawn(view: PublicationView, width: number, height: number): string[] {
  const text = renderToString(<PublishPane publication={view} box={{ width, height }} focused />, { columns: width });
  const lines = text.split('\n');
  expect(lines).toHaveLength(height);
  for (const line of lines) expect(line.length, line).toBe(width);
  return lines.slice(1, -1).map((line) => line.slice(2, -2).trimEnd());
}

describe.each([
  [56, 18],
  [76, 22],
  [116, 36],
  [246, 66],
] as const)('the publish pane in %i×%i', (width, height) => {
  const show = (view: PublicationView) => drawn(view, width, height);
  const words = (view: PublicationView) => show(view).join(' ').replaceAll(/\s+/g, ' ').trim();

  it('says what is missing', () => {
    expect(words(NO_PUBLICATION)).toContain('There is no package yet');
    const targetless = offerPackages(NO_PUBLICATION, ['out/ink', 'out/oil']);
    expect(words(targetless)).toMatch(/There is no target: .* oci:\/\/registry\/name:tag\./);
    expect(words(targetless)).toContain('1 of 2; ← → for the others');
  });

  it('says of the Hub who publishes and what would be made, and then where it is offered', () => {
    const hub = { account: 'me', mayWrite: 'yes', creates: 'private repository', pullRequest: true } as const;
    const view = read({ to: 'hf://me/ink@main', target: { place: 'hf://me/ink@main', hub } });
    expect(words(view)).toContain('me, whose token may write');
    expect(words(view)).toContain('the private repository');
    const asked = given(view, 'open', 'confirm');
    const pullRequest = 'https://hub/me/ink/discussions/1';
    const done = published(asked, WISH, { to: 'hf://me/ink@abc', files: 2, bytes: 9, pullRequest });
    expect(words(done)).toContain(`Offered at ${pullRequest}`);
  });

  it('shows what can be known while the rest is read', () => {
    const started = { type: 'stage-started', stage: 'publish', subject: '' } as const;
    const progress = {
      type: 'progress',
      stage: 'publish',
      done: 3e6,
      total: 1e7,
      unit: 'bytes',
      detail: 'check unet',
    } as const;
    const view = [started, progress].reduce(
      (before, event) => hearPublication(before, WISH, event, 0),
      surveyed(CHOSEN, WISH, publicationOf()),
    );
    const lines = show(view);
    expect(lines[0]).toBe('… Checking that these are the bytes that passed');
    expect(words(view)).toMatch(/30%.*3\.00 MB of 10\.0 MB/);
    expect(lines).toContain('to            /srv/ink');
    expect(words(view)).not.toMatch(/Enter/);
  });

  it('shows package, target, what is replaced, room and every file with its hash', () => {
    const lines = show(read(REPLACES));
    expect(lines.join(' ').replaceAll(/\s+/g, ' ')).toMatch(
      /^✓ These are exactly the bytes that passed\. Enter publishes them\./,
    );
    expect(lines).toContain('package       /work/out/ink');
    expect(lines).toContain('verification  passed, 2026-11-25 21:46');
    expect(lines).toContain('replaces      oil (24 files, 21.8 MB)');
    expect(lines.join(' ')).toMatch(/room +58\.0 GB, of which 19\.3 MB would be/);
    expect(lines).toContain('README.md             1.13 kB  64e0b132fdc4');
    expect(lines).toContain('unet/model.onnx_data  19.3 MB  20807ab160ab');
  });

  it('asks with everything named', () => {
    expect(words(given(read(REPLACES), 'open'))).toMatch(
      /^\? Publish \/work\/out\/ink \(2 files, 19\.3 MB\) to \/srv\/ink and replace oil \(24 files, 21\.8 MB\)\? · y or Enter: yes\. n or Esc: no\./,
    );
  });

  it('says of what was refused why, and offers nothing', () => {
    const refusals = [
      { kind: 'publish', message: "/work/out/ink is not published: its verification's verdict is failed." },
      { kind: 'io', message: '/srv/ink: the package has 9 bytes, and there is room for 3.' },
    ] as const;
    const view = read({ verdict: 'failed', refusals });
    const text = words(view);
    expect(text).toMatch(
      /^✗ This is not published\. ✗ \/work\/out\/ink is not published: its verification's verdict is failed\./,
    );
    expect(text).toContain('there is room for 3.');
    expect(text).not.toMatch(/Enter|yes|README\.md/);
    expect(words(given(view, 'open', 'confirm'))).not.toMatch(/Publish \/work|yes/);
  });

  it('says how far it is and what came of it', () => {
    const publishing = given(read(), 'open', 'confirm');
    expect(words(publishing)).toMatch(/^… Publishing to \/srv\/ink/);
    expect(words(given(publishing, 'back'))).toMatch(/^… Stopping/);
    expect(words(publicationStopped(publishing, WISH))).toMatch(
      /^■ Stopped\. What stood at the target stands there still\./,
    );
    expect(words(published(publishing, WISH, { to: '/srv/ink', files: 2, bytes: 19.3e6 }))).toMatch(
      /^✓ Published to \/srv\/ink: 2 files, 19\.3 MB/,
    );
    expect(words(publicationFailed(publishing, WISH, ['The disk is full.']))).toMatch(/^✗ The disk is full\./);
  });

  it('can be obeyed by no terminal', () => {
    expect(show(read({ folder: '/work/\u001b[31mout' })).join('')).toContain('/work/\\u001b[31mout');
  });
});

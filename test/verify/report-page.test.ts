import { describe, expect, it } from 'vitest';
import { figure } from '../../src/verify/report/figures.ts';
import { html } from '../../src/verify/report/html.ts';
import { reportHtml } from '../../src/verify/report/page.ts';
import { type ColourName, GROUNDS, PAIRS, PALETTE, TEXT } from '../../src/verify/report/palette.ts';
import { STYLE } from '../../src/verify/report/style.ts';
import { type Described, emptyReport, extremeReport, HOSTILE, pageOf, plainReport } from '../helpers/report-page.ts';

/** Tags with their attributes, as a browser's tokenizer cuts them; in a sound page no `<` stands anywhere else. */
interface Tag {
  readonly name: string;
  readonly closes: boolean;
  readonly attributes: ReadonlyMap<string, string>;
}

const TAG = /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-z-]+(?:="[^"<>]*")?)*)\s*>/g;

function tagsOf(page: string): Tag[] {
  const body = page.replace(/^<!doctype html>/, '').replace(/<style>[\s\S]*?<\/style>/, '');
  expect(body.replaceAll(TAG, '')).not.toMatch(/[<>]/);
  return [...body.matchAll(TAG)].map(([, slash, name = '', attributes = '']) => ({
    name,
    closes: slash === '/',
    attributes: new Map(
      [...attributes.matchAll(/([a-z-]+)(?:="([^"]*)")?/g)].map(([, key = '', value = '']) => [key, value]),
    ),
  }));
}

const render = async (described: Described) => reportHtml(await pageOf(described));

const PAGES = { plain: plainReport, extreme: extremeReport, empty: emptyReport } as const;

describe.each(Object.entries(PAGES))('the page of a report that is %s', (_, describe_) => {
  it('lets nothing of a file or recipe become markup, and takes nothing from elsewhere', async () => {
    const page = await render(describe_());
    const tags = tagsOf(page);
    const known =
      'html head meta title body header div figure input label span img figcaption p h1 ul li ol a dl dt dd nav main section h2 h3 table thead tbody tfoot tr th td details summary pre b code strong footer';
    expect(tags.map(({ name }) => name).filter((name) => !known.split(' ').includes(name))).toEqual([]);
    for (const { name, attributes } of tags) {
      for (const [key, value] of attributes) {
        expect(key).not.toMatch(/^on|^srcset$|^action$|^data$|^poster$/);
        if (key === 'src') expect(value).toMatch(/^data:image\/webp;base64,[A-Za-z0-9+/=]+$/);
        if (key === 'href') expect(value, name).toMatch(/^#/);
        if (key === 'style') expect(value).toMatch(/^((margin-left|width|left):[\d.]+%;?)+$|^aspect-ratio:\d+\/\d+$/);
      }
    }
    expect(STYLE).not.toMatch(/url\(|@import|https?:|<|expression/i);
  });

  it('is nested as it should be', async () => {
    const open: string[] = [];
    for (const { name, closes } of tagsOf(await render(describe_()))) {
      if (['meta', 'img', 'input'].includes(name)) continue;
      if (!closes) open.push(name);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
  });

  it('can be read by whoever does not see it: texts for pictures, scopes, ids, landmarks, headings in order', async () => {
    const page = await render(describe_());
    const tags = tagsOf(page).filter(({ closes }) => !closes);
    const all = (name: string) => tags.filter((tag) => tag.name === name);
    expect(page).toMatch(/^<!doctype html>\n<html lang="en">/);
    for (const { attributes } of all('img')) expect(attributes.get('alt')).toMatch(/\S/);
    for (const { attributes } of all('th')) expect(attributes.get('scope')).toMatch(/^(col|row)$/);
    const ids = tags.flatMap(({ attributes }) => attributes.get('id') ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { attributes } of all('a')) expect(ids).toContain(attributes.get('href')?.slice(1));
    for (const { attributes } of all('label')) expect(ids).toContain(attributes.get('for'));
    for (const { attributes } of all('section')) expect(ids).toContain(attributes.get('aria-labelledby'));
    expect(['header', 'nav', 'main', 'footer', 'h1', 'title'].map((name) => all(name).length)).toEqual([
      1, 1, 1, 1, 1, 1,
    ]);
    const levels = tags.flatMap(({ name }) => (/^h[1-6]$/.test(name) ? [Number(name[1])] : []));
    expect(levels.every((level, i) => level <= (levels[i - 1] ?? 0) + 1)).toBe(true);
  });
});

describe('the page of a report', () => {
  it('shows the clip, its still, and every step but those that have no colours', async () => {
    const page = await render(plainReport());
    const alts = tagsOf(page).flatMap(({ name, attributes }) => (name === 'img' ? [attributes.get('alt')] : []));
    expect(alts).toEqual([
      ...['The clip, 16 frames: a red circle', 'The middle frame of the clip: a red circle'],
      ...[1, 3, 4].map((step) => `Middle frame as step ${step} of 4 estimates it`),
    ]);
    expect(page).toContain('The estimate has no colours.');
    expect(STYLE).toContain('prefers-reduced-motion');
  });

  it('says first what keeps the package from passing', async () => {
    const page = await render(extremeReport());
    const objections = page.slice(page.indexOf('class="objections"'), page.indexOf('</ul>'));
    expect(objections).toMatch(/href="#check-integrity">integrity<\/a> failed: .*differs\./);
    expect(objections).toContain('could not tell');
    expect(await render(plainReport())).not.toContain('class="objections"');
  });

  it('holds whatever budget has a figure to it, and marks those that were passed', async () => {
    const page = await render(extremeReport());
    const budgets = page.slice(
      page.indexOf('class="budgets"'),
      page.indexOf('</table>', page.indexOf('class="budgets"')),
    );
    const rows = [
      ...budgets.matchAll(
        /<th scope="row">(.*?)<\/th>(?:<td class="n">(.*?)<\/td>){2}<td class="n (.*?)">(.*?)<\/td>/g,
      ),
    ];
    expect(rows.map(([, name, budget, kept, used]) => [name, budget, kept, used])).toEqual([
      ['denoise', '95.0 s', 'bad', '200 %'],
      ['warm step', '60.0 ms', 'good', '73.3 %'],
      ['peak', '16.0 GB', 'good', '75 %'],
      ['load', '1.0 ms', 'bad', '60000×'],
      ['step', '4000 ms', 'bad', '101 %'], // the slowest, 4040 ms
    ]);
    expect(budgets).toContain('left:50.00%'); // twice the budget
  });

  it('shows the recipe in the order in which recipes are written', async () => {
    const page = await render(plainReport());
    const recipe = page.slice(page.indexOf('<pre>'), page.indexOf('</pre>'));
    expect([...recipe.matchAll(/^(?:<pre>)?<b>(\w+):<\/b>/gm)].map(([, key]) => key)).toEqual([
      'name',
      'base',
      'personalized',
      'motion',
      'sampler',
      'verify',
    ]);
  });

  it('has a step of the heat map for every size of a change', async () => {
    const page = await render(plainReport());
    const row = (block: string) => /<td[^>]*>(.*?)<\/td>/g[Symbol.matchAll](page.slice(page.indexOf(`>${block}<`)));
    const cells = [0, 1, 2, 3, 4, 5, 6].map((i) => [...row(`IN0${i}`)].slice(0, 2).map(([cell]) => cell));
    expect(cells.map(([, lcm]) => lcm)).toEqual(
      [
        [0, 0],
        [0, 0.2],
        [1, 0.5],
        [2, 2],
        [3, 5],
        [4, 20],
        [5, 90],
      ].map(([heat, percent]) => `<td class="heat-${heat}">${percent}</td>`),
    );
    expect(cells[3]?.[0]).toBe('<td class="no-change">–</td>');
  });
});

describe('colours', () => {
  /** WCAG 2.2: relative luminance and contrast ratio. */
  const luminance = (hex: string) => {
    const [r, g, b] = [1, 3, 5]
      .map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: ColourName, b: ColourName, mode: 0 | 1) => {
    const [low, high] = [luminance(PALETTE[a][mode]), luminance(PALETTE[b][mode])].sort((x, y) => x - y) as [
      number,
      number,
    ];
    return (high + 0.05) / (low + 0.05);
  };
  const texts = [...PAIRS, ...TEXT.flatMap((text) => GROUNDS.map((ground) => [text, ground] as const))];

  it.each([
    ['light', 0],
    ['dark', 1],
  ] as const)('text can be read, and bars be seen, where it is %s', (_, mode) => {
    expect(luminance('#ffffff')).toBeCloseTo(1);
    expect(luminance('#777777')).toBeCloseTo(0.184, 3); // 4.48 on white: the best known failure
    expect(texts.filter(([text, ground]) => contrast(text, ground, mode) < 4.5)).toEqual([]);
    const bars = (['bar', 'rest', 'bad'] as const).flatMap((bar) =>
      (['card', 'track'] as const).map((ground) => [bar, ground] as const),
    );
    expect(bars.filter(([bar, ground]) => contrast(bar, ground, mode) < (ground === 'card' ? 3 : 2.5))).toEqual([]);
  });

  it('all come from the one table', () => {
    const rules = STYLE.slice(STYLE.lastIndexOf('}}', STYLE.indexOf('box-sizing')));
    expect(rules).not.toMatch(/#[0-9a-f]{3,8}\b(?![^{]*\{)|rgb|hsl|color-mix/i);
    const own = ['verdict', 'verdict-soft'];
    const used = new Set([...rules.matchAll(/var\(--([a-z0-9-]+)\)/g)].map(([, name = '']) => name));
    expect([...used].filter((name) => !(name in PALETTE) && !own.includes(name))).toEqual([]);
    const unused = Object.keys(PALETTE).filter((name) => !used.has(name));
    expect(unused).toEqual([]);
  });
});

describe('html', () => {
  it('escapes what is put in, in texts and in attributes, and leaves out what there is not', () => {
    expect(html`<p title="${HOSTILE}">${HOSTILE}</p>`.html).not.toMatch(/<(?!\/?p)|(?<!title=)"(?!>)|'/);
    expect(html`<p>${['a<', html`<b>${1}</b>`, undefined, false]}</p>`.html).toBe('<p>a&#60;<b>1</b></p>');
  });
});

describe('figure', () => {
  it.each([
    ['tensors', 9_126_555, '9\u202f126\u202f555'],
    ['tensors', 999, '999'],
    ['largest_difference', 0.00034363469, '0.0003436'],
    ['denoise_ms', 12_345, '12.3 s'],
    ['bytes', 21_768_726, '21.8 MB'],
    ['share_of_limit', 0.0814, '8.1 %'],
    ['achieved_flops_per_second', 8.2e9, '8.20 GFLOP/s'],
    ['not_run', '', 'none'],
    ['compared', ['a', 'b'], 'a, b'],
    ['compared', [], 'none'],
    ['before_and_now', { before_ms: 180, now_ms: 190 }, 'before 180 ms, now 190 ms'],
    ['is_there', true, 'true'],
    ['nothing', null, 'none'],
  ])('%s %j reads %s', (name, value, expected) => {
    expect(figure(name, value)).toBe(expected);
  });
});

it('says how the device was chosen, and what was left to the CPU', async () => {
  const page = await render(extremeReport());
  expect(page).toContain('auto: cuda 41.3 ms, cpu 2600 ms for a step of a small UNet');
  expect(page).toContain('3 of 100 nodes are computed on the CPU.</li>');
  expect(await render(plainReport())).not.toContain('auto:');
});

/** The report as a browser shows it; left out where there is no Chromium ($CHROMIUM may name one). */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { findChromium, type Page, startChromium } from '../../examples/browser/chromium.ts';
import { reportHtml } from '../../src/verify/report/page.ts';
import { CHROMIUM_FLAGS, openReport, WINDOWS } from '../../tools/report-in-browser.ts';
import { type Described, emptyReport, extremeReport, pageOf, plainReport } from '../helpers/report-page.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const path = await findChromium();

async function urlOf(described: Described, alter: (page: string) => string = (page) => page): Promise<string> {
  const file = join(await temporaryFolder(), 'report.html');
  await writeFile(file, alter(reportHtml(await pageOf(described))));
  return pathToFileURL(file).href;
}

it.skipIf(path === undefined)('fits into every window, can be read, and holds still when it is asked to', async () => {
  await using chromium = await startChromium(path as string, CHROMIUM_FLAGS);
  const page = await chromium.open();
  for (const described of [plainReport(), extremeReport(), emptyReport()]) {
    const url = await urlOf(described);
    for (const [name, window] of Object.entries(WINDOWS))
      expect(await openReport(page, url, window), `${described.report.name}, ${name}`).toEqual([]);
  }

  await page.goTo(await urlOf(plainReport()), WINDOWS['wide-light']);
  expect(await shown(page)).toEqual(['moving', 'Hold still']);
  await page.click('.clip label');
  expect(await shown(page)).toEqual(['still', 'Play']);

  // what the checks of this test are worth
  const wide = await urlOf(plainReport(), (text) => text.replace('<main>', '<main><p style="width:1300px">wide</p>'));
  expect(await openReport(page, wide, WINDOWS['wide-light'])).toContainEqual(
    expect.stringContaining('wider than the window'),
  );
  const faint = await urlOf(plainReport(), (text) => text.replaceAll(/--muted:#\w+/g, '--muted:#888888'));
  expect(await openReport(page, faint, WINDOWS['wide-light'])).toContainEqual(
    expect.stringContaining('has a contrast of 3'),
  );
});

/** The picture of the clip that can be seen, and what the button over it says. */
function shown(page: Page): Promise<string[]> {
  const visible = (selector: string) =>
    `[...document.querySelectorAll('${selector}')].find((element) => getComputedStyle(element).display !== 'none')`;
  return page.evaluate(`[${visible('.clip img')}.className, ${visible('.clip label span')}.textContent]`);
}

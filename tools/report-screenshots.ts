/**
 * `npm run screenshots -- PACKAGE…` opens the verification report of each package in Chromium without a window, at 1280 and 400 pixels,
 * light and dark, says what is wrong with it, and puts pictures into out/screenshots.
 * Exit codes: 0 nothing is wrong, 1 something is, 2 no package was named, 69 there is no Chromium.
 */
import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { findChromium, startChromium } from '../examples/browser/chromium.ts';
import { CHROMIUM_FLAGS, openReport, WINDOWS } from './report-in-browser.ts';

const OUT = 'out/screenshots';

const packages = process.argv.slice(2);
const path = await findChromium();
if (packages.length === 0) end(2, 'Which packages? npm run screenshots -- out/tiny');
else if (path === undefined) end(69, 'There is no Chromium on the PATH; $CHROMIUM may name one.');
else await photograph(path);

async function photograph(path: string): Promise<void> {
  await mkdir(OUT, { recursive: true });
  await using chromium = await startChromium(path, CHROMIUM_FLAGS);
  const page = await chromium.open();
  for (const folder of packages) {
    const url = pathToFileURL(resolve(folder, 'verification/report.html')).href;
    for (const [name, window] of Object.entries(WINDOWS)) {
      const faults = await openReport(page, url, window);
      const picture = join(OUT, `${basename(folder)}-${name}.png`);
      await page.screenshot(picture);
      console.log([`${picture}: ${faults.length === 0 ? 'no faults' : ''}`, ...faults].join('\n  '));
      if (faults.length > 0) process.exitCode = 1;
    }
  }
}

function end(exitCode: number, message: string): void {
  console.error(message);
  process.exitCode = exitCode;
}

/**
 * `npm run screenshots -- PACKAGE…` opens the verification report of each package in Chromium without a window, at 1280 and 400 pixels, light and
 * dark, holds what is on the page to what a report promises, and puts pictures into out/screenshots.
 */
import { mkdir } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { findChromium, type Page, startChromium, type Window } from '../examples/browser/chromium.ts';

const OUT = 'out/screenshots';
const WINDOWS: readonly (Window & { readonly name: string })[] = [
  { name: 'wide-light', width: 1280, height: 800 },
  { name: 'wide-dark', width: 1280, height: 800, dark: true },
  { name: 'narrow-light', width: 400, height: 800, mobile: true },
  { name: 'narrow-dark', width: 400, height: 800, mobile: true, dark: true },
];

/** Faults of the page as it is shown: what reaches beyond the window, and text whose contrast is too low (WCAG 2.2, 1.4.3). */
const FAULTS = `(() => {
  const faults = [];
  const name = (element) => element.tagName.toLowerCase() + (element.className ? '.' + element.className : '') + ' ' + JSON.stringify(element.textContent.trim().slice(0, 30));
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) faults.push('The page is ' + wide + ' pixels wider than the window.');
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const channels = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (rgb) => rgb.slice(0, 3)
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
      if (colour[3] > 0) faults.push(name(at) + ' has a half transparent ground.');
    }
    return [255, 255, 255, 255];
  };
  for (const element of document.body.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    if (box.right > innerWidth + 1 && getComputedStyle(element).clipPath === 'none') faults.push(name(element) + ' reaches beyond the window.');
    if (![...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())) continue;
    const [a, b] = [luminance(channels(getComputedStyle(element).color)), luminance(ground(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faults.push(name(element) + ' has a contrast of ' + contrast.toFixed(2) + '.');
  }
  return faults;
})()`;

const packages = process.argv.slice(2);
const path = await findChromium();
if (packages.length === 0 || path === undefined) {
  console.error(path === undefined ? 'There is no Chromium; $CHROMIUM may name one.' : 'Which packages?');
  process.exit(2);
}
await mkdir(OUT, { recursive: true });
await using chromium = await startChromium(path, ['--hide-scrollbars']);
for (const folder of packages) {
  const url = pathToFileURL(resolve(folder, 'verification/report.html')).href;
  const page = await chromium.open();
  for (const window of WINDOWS) await look(page, url, window, join(OUT, `${basename(folder)}-${window.name}.png`));
}

async function look(page: Page, url: string, window: Window, picture: string): Promise<void> {
  await page.goTo(url, window);
  const found = [...(await page.evaluate<string[]>(FAULTS)), ...page.complaints];
  await page.screenshot(picture);
  console.log(`${picture}: ${found.length === 0 ? 'no faults' : `\n  ${found.join('\n  ')}`}`);
  if (found.length > 0) process.exitCode = 1;
}

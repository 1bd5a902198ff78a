/** How a verification report stands in a browser: opened at the sizes and colours that it is made for, and held to what it promises. */
import type { Page, Window } from '../examples/browser/chromium.ts';

export const WINDOWS = {
  'wide-light': { width: 1280, height: 800 },
  'wide-dark': { width: 1280, height: 800, dark: true },
  'narrow-light': { width: 400, height: 800, mobile: true },
  'narrow-dark': { width: 400, height: 800, mobile: true, dark: true },
} as const satisfies Record<string, Window>;

/** So that a picture is as wide as its window. */
export const CHROMIUM_FLAGS = ['--hide-scrollbars'];

/** Opens `url` with every fold open; what is wrong with it, as sentences. */
export async function openReport(page: Page, url: string, window: Window): Promise<readonly string[]> {
  const before = page.complaints.length;
  await page.goTo(url, window);
  await page.evaluate(`document.querySelectorAll('details').forEach((fold) => { fold.open = true; })`);
  const faults = await page.evaluate<string[]>(FAULTS);
  await page.evaluate(`document.querySelectorAll('details').forEach((fold) => { fold.open = false; })`);
  return [...faults, ...page.complaints.slice(before)];
}

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

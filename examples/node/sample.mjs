// node examples/node/sample.mjs out/tiny 3 "a red circle" "a blue square"
import { loadPackage, writeWebp } from 'lcm-merge';

const [folder = 'out/tiny', seed = '0', ...prompts] = process.argv.slice(2);
await using video = await loadPackage(folder); // loaded once; its process ends with this program
for (const prompt of prompts.length > 0 ? prompts : ['a red circle']) {
  const { frames, timing } = await video.sample({ prompt, seed: Number(seed) });
  const file = `${prompt.replaceAll(/\W+/g, '-')}.webp`;
  await writeWebp(file, frames, { lossless: true });
  console.log(`${file}: ${frames.count} frames in ${Math.round(timing.denoise_ms)} ms on ${video.device}`);
}

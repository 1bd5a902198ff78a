/** How to run a package: on the command line, from Node, in a browser, and in Python with nothing of this tool. */
import { codeString, shellWord } from '../../text/code-words.ts';
import { fenced, markdownText } from '../../text/markdown.ts';
import { formatBytes } from '../../text/quantity.ts';
import type { Lock } from '../lock.ts';
import { BROWSER_FILE_BYTES, largestFile } from './largest-file.ts';
import { pythonSnippet } from './python.ts';

export function usageSection(lock: Lock): string {
  const { recipe } = lock;
  const { prompt, seed } = recipe.verify;
  const { guidance } = recipe.sampler;
  const options = [
    `--prompt ${shellWord(prompt)}`,
    `--seed ${seed}`,
    `--steps ${recipe.sampler.steps}`,
    ...(guidance > 1 ? [`--guidance ${guidance}`] : []),
  ];
  return `## Run it

On the command line, and from Node:

${fenced(`npx lcm-merge run . ${options.join(' ')} -o out`, 'sh')}

${fenced(nodeSnippet(lock), 'js')}

In Python, with onnxruntime and a scheduler of diffusers:

${fenced(pythonSnippet(lock), 'python')}

${browser(lock)}`;
}

function nodeSnippet({ recipe: { verify } }: Lock): string {
  return `import { loadPackage, writeWebp } from 'lcm-merge';

await using video = await loadPackage('.');
const { frames } = await video.sample({ prompt: ${codeString(verify.prompt)}, seed: ${verify.seed} });
await writeWebp('clip.webp', frames);
`;
}

function browser({ recipe: { output }, outputs }: Lock): string {
  const [file, bytes] = largestFile(outputs);
  if (bytes >= BROWSER_FILE_BYTES)
    return `A browser cannot hold \`${markdownText(file)}\` (${formatBytes(bytes)}): see the limitations.`;
  const graphs = output.targets.includes('webgpu')
    ? 'with the graph that was made for WebGPU'
    : 'on WebAssembly or, with the portable graph, on WebGPU';
  return `In a browser: the page in \`examples/browser\` of lcm-merge runs it ${graphs} (\`npm run browser -- PACKAGE\`).`;
}

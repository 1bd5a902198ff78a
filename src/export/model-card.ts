/**
 * README.md of a package: its model card, made of the lock and of what the verification found, and of nothing else. A bake writes it without a
 * report; the verification writes it anew beside its own folder, so that it is no output of the lock. Metadata as the Hugging Face Hub reads it
 * (huggingface.co/docs/hub/model-cards).
 */
import { schedulerClass } from '../architecture/sampler-config.ts';
import type { CheckVerdict } from '../events.ts';
import { recipeSchema } from '../recipe/schema.ts';
import { type Json, writePair } from '../recipe/yaml-write.ts';
import { fenced, markdownText } from '../text/markdown.ts';
import type { Lock } from './lock.ts';
import type { CardReport } from './model-card/card-report.ts';
import { cardHeader } from './model-card/header.ts';
import { licenseSection } from './model-card/license.ts';
import { limitations } from './model-card/limitations.ts';
import { sourcesSection, strengthsSection } from './model-card/sources.ts';
import { usageSection } from './model-card/usage.ts';
import { timingSection, verificationSection } from './model-card/verification.ts';

export const CARD_FILE = 'README.md';

/**
 * Whether the README.md beside this lock is a card that the tool may write: packages of other tools keep theirs, and in older packages it
 * is a file that was baked like any other. A recipe that is none has no card.
 */
export function hasCard(lock: Lock | undefined): lock is Lock {
  return lock !== undefined && !Object.hasOwn(lock.outputs, CARD_FILE) && recipeSchema.safeParse(lock.recipe).success;
}

export function modelCard(lock: Lock, report?: CardReport): string {
  const sections = [
    introduction(lock, report),
    usageSection(lock),
    strengthsSection(lock),
    sourcesSection(lock),
    licenseSection(lock),
    verificationSection(report),
    report && timingSection(report),
    provingSection(lock),
    `## Limitations\n\n${limitations(lock, report)
      .map((sentence) => `- ${sentence}`)
      .join('\n')}`,
    recipeSection(lock),
  ];
  return `${cardHeader(lock, report)}\n${sections.filter((section) => section !== undefined).join('\n\n')}\n`;
}

const VERDICTS: Readonly<Record<CheckVerdict, string>> = {
  passed: 'it has passed the verification below',
  failed: '**it has not passed the verification below**',
  unknown: '**whether it works could not be told, as the verification below says**',
};

function introduction({ name, recipe, tool }: Lock, report: CardReport | undefined): string {
  const { frames, width, height } = recipe.output;
  const { kind, steps } = recipe.sampler;
  const sampled = kind === 'lcm' ? `${steps} LCM steps` : `${steps} steps of ${schedulerClass(kind)}`;
  const numbers = recipe.output.dtype === 'fp16' ? '16-bit' : '32-bit';
  const clip = report?.timing
    ? `\n\n![The clip that was verified: ${markdownText(report.run.prompt)}](verification/frames.webp)\n\n${report.run.prompt.trim() ? `*${markdownText(report.run.prompt)}*` : 'No prompt'} — seed ${report.run.seed}, ${report.run.frames} frames`
    : '';
  return `# ${markdownText(name)}

A text-to-video model in ONNX with ${numbers} weights: ${frames} frames of ${width}×${height} in ${sampled}. It was merged from the sources below by
${markdownText(tool.name)} ${markdownText(tool.version)} as w′ = w₀ + α·τ(personalized) + β·τ(image) + γ·τ(video) ([AnimateLCM](https://arxiv.org/abs/2402.00769)), and ${report ? VERDICTS[report.verdict] : '**it has not been verified yet**'}.${clip}`;
}

function provingSection({ recipe, origins = {}, inputs }: Lock): string {
  const isPublic = inputs.every(({ origin }) => origin !== undefined && Object.hasOwn(origins, origin));
  const isBaked = recipe.output.weights ? ', weights for PyTorch (`weights/`)' : '';
  return `## Check it, make it again

\`\`\`sh
npx lcm-merge verify .                              # runs it, and compares with the clip above
npx lcm-merge verify . --public-key signer.pem      # where it is signed: by whom, and that nothing changed
npx lcm-merge reproduce .${isPublic ? '                           # bakes it anew from the lock, and compares every byte' : ' --sources FOLDER         # the same bytes anew, from the source files, found by their hashes'}
\`\`\`

\`lcm-merge.lock.json\` has every source and file with its SHA-256 and every rule with its counts${isBaked}; \`provenance.json\` says the same as an in-toto statement, and
\`verification/report.html\` shows all that was checked.`;
}

/** Keys in the order of the schema, whatever that in the file is. */
function recipeSection({ recipe }: Lock): string {
  const yaml = Object.entries(recipeSchema.parse(recipe)).map(([key, value]) =>
    writePair(key, value as Json, '', '\n'),
  );
  return `<details>
<summary>The recipe, as the lock has it</summary>

${fenced(yaml.join('\n'), 'yaml')}

</details>`;
}

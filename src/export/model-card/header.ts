/** The metadata that the Hugging Face Hub reads off a card: modelcard.md and docs/hub/model-cards.md of huggingface/hub-docs. */
import { stringify } from 'yaml';
import { parseReference } from '../../hub/reference.ts';
import { sumLicenses } from '../../recipe/licenses.ts';
import { sourceFields } from '../../recipe/sources.ts';
import type { Lock } from '../lock.ts';
import type { CardReport } from './card-report.ts';

/** YAML between two lines of hyphens, which no value can contain. */
export function cardHeader(lock: Lock, report: CardReport | undefined): string {
  const models = baseModels(lock);
  const metadata = {
    ...licenseOf(lock),
    ...(models.length > 0 && { base_model: models, base_model_relation: 'merge' }),
    // not diffusers, for which the Hub would show a line of Python that loads PyTorch weights
    library_name: 'onnx',
    pipeline_tag: 'text-to-video',
    tags: ['text-to-video', 'onnx', 'animatediff', ...(lock.recipe.lcm ? ['lcm'] : []), 'merge', 'lcm-merge'],
    ...(report?.timing && { widget: [{ text: report.run.prompt, output: { url: 'verification/frames.webp' } }] }),
  };
  // quoted where any version of YAML reads something else, and without text over several lines
  return `---\n${stringify(metadata, { version: '1.1', lineWidth: 0, blockQuote: false })}---\n`;
}

/** Repositories of the sources, in the order of the recipe. */
function baseModels({ recipe, origins = {} }: Lock): string[] {
  const repositories = sourceFields(recipe).flatMap(({ field }) => {
    const reference = parseReference(origins[field]?.reference ?? '');
    return 'fault' in reference ? [] : [reference.repo];
  });
  return [...new Set(repositories)];
}

/** Licences that the Hub lists are called by their identifier; anything else is `other`, with a name. */
function licenseOf({ recipe, licenses = {} }: Lock): Readonly<Record<string, string>> {
  const { strictest, unknown, unread, licenses: all } = sumLicenses(sourceFields(recipe), licenses);
  if (unknown.length > 0) return { license: 'other', license_name: 'unknown' };
  if (strictest !== undefined && !unread.includes(strictest)) return { license: strictest };
  const link = Object.values(licenses).find(({ license }) => license === strictest)?.link;
  return { license: 'other', license_name: slug(all.join(' and ')), ...(link !== undefined && { license_link: link }) };
}

/** As the Hub wants the name of a licence. */
function slug(name: string): string {
  return (
    name
      .toLowerCase()
      .replaceAll(/[^a-z0-9.+]+/g, '-')
      .replaceAll(/^-|-$/g, '') || 'custom'
  );
}

/** The licences of the sources, what they come to, and what is not known of them. */
import { DEMANDS, type Demand, demandsOf, type License, sumLicenses } from '../../recipe/licenses.ts';
import { sourceFields } from '../../recipe/sources.ts';
import { markdownLink, markdownTable, markdownText } from '../../text/markdown.ts';
import type { Lock } from '../lock.ts';

const FOUND: Readonly<Record<License['from'], string>> = {
  recipe: 'the recipe',
  hub: 'its repository on the Hub',
  file: 'the file itself',
};

export function licenseSection({ recipe, licenses = {} }: Lock): string {
  const sources = sourceFields(recipe);
  const sum = sumLicenses(sources, licenses);
  const rows = sources.map(({ field }) => {
    const found = licenses[field];
    if (!found) return [markdownText(field), '**unknown**', '–', '–'];
    const demands = demandsOf(found.license);
    const name = found.link === undefined ? markdownText(found.license) : markdownLink(found.license, found.link);
    return [markdownText(field), name, FOUND[found.from], demands ? demands.join(', ') || 'nothing' : 'not known here'];
  });
  const list = (names: readonly string[]) => new Intl.ListFormat('en-GB').format(names.map(markdownText));
  const notes = [
    ...(sum.unknown.length > 0
      ? [
          `The licence of ${list(sum.unknown)} is **unknown**. Find it out before you use or pass on this model: without a licence nobody may.`,
        ]
      : []),
    ...(sum.unread.length > 0 ? [`What ${list(sum.unread)} demands stands in its text.`] : []),
    ...(sum.strictest !== undefined && sum.unread.length === 0
      ? [
          sum.licenses.length === 1
            ? `All of it is under **${markdownText(sum.strictest)}**.`
            : `The strictest is **${markdownText(sum.strictest)}**, which the header states; the others stay in force for what came from their sources.`,
        ]
      : []),
    ...sum.conflicts.map((conflict) => `**They do not go together:** ${markdownText(conflict)}`),
    ...(sum.demands.length > 0 ? [`Whoever passes this model on, has to: ${sum.demands.map(dutyOf).join('; ')}.`] : []),
    'This was put together from what recipe, Hub and files state, and is no legal advice.',
  ];
  return `## Licence

${markdownTable(['source', 'licence', 'stated by', 'demands'], rows)}

${notes.join('\n\n')}`;
}

const dutyOf = (demand: Demand): string => `${DEMANDS[demand]} (${demand})`;

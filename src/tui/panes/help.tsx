/** All keys, from the table that they are handled by. */
import { table } from '../../cli/format.ts';
import { helpSections } from '../keys.ts';
import { TITLES } from '../layout.ts';
import { Words } from '../theme.tsx';
import { Pane, type PaneProps } from './pane.tsx';

export function HelpPane(pane: Pick<PaneProps, 'box' | 'offset' | 'onLimit'>) {
  const sections = helpSections();
  const rows = table(sections.flatMap((section) => section.rows)).split('\n');
  let at = 0;
  return (
    <Pane title="Keys" {...pane} focused>
      {sections.map(({ place, rows: { length } }) => [
        <Words key={place} style="bold">
          {place === 'everywhere' ? 'Everywhere' : TITLES[place]}
        </Words>,
        ...rows.slice(at, (at += length)).map((row) => <Words key={row}>{`  ${row}`}</Words>),
      ])}
    </Pane>
  );
}

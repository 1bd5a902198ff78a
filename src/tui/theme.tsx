/** How text looks on this terminal, and the one component through which text reaches it: nothing from a file can be obeyed. */
import { stripVTControlCharacters } from 'node:util';
import { Box, Text, type TextProps, Transform, useIsScreenReaderEnabled } from 'ink';
import { createContext, use } from 'react';
import { type Paint, painter, type Style, sanitise } from '../text/terminal.ts';
import { plainEmoji } from './emoji.ts';
import { MARKS, type Mark } from './marks.ts';
import { readAloud } from './read-aloud.ts';

export interface Theme {
  readonly paint: Paint;
  /** Bits per colour of the terminal: 1 for none, as with NO_COLOR. */
  readonly depth: number;
}

/** Without colours: what a terminal that is not asked gets. */
export const ThemeContext = createContext<Theme>({ paint: (_, text) => text, depth: 1 });

/** What the terminal and the environment (NO_COLOR, FORCE_COLOR, TERM) say together. */
export function themeOf(stdout: NodeJS.WritableStream & { getColorDepth?(): number }): Theme {
  const depth = stdout.getColorDepth?.() ?? 1;
  return { paint: painter(stdout, depth > 1), depth };
}

export interface WordsProps {
  readonly children: string;
  readonly style?: Style | undefined;
  readonly wrap?: NonNullable<TextProps['wrap']>;
}

export function Words({ children, style, wrap = 'wrap' }: WordsProps) {
  const { paint } = use(ThemeContext);
  const text = plainEmoji(sanitise(children));
  const isRead = useIsScreenReaderEnabled();
  const line = <Text wrap={wrap}>{isRead ? readAloud(text) : style === undefined ? text : paint(style, text)}</Text>;
  return wrap === 'wrap' ? <Transform transform={flushLeft}>{line}</Transform> : line;
}

/** Without the space between words that Ink leaves at the beginning of a line when it breaks one. */
const flushLeft = (line: string, index: number): string =>
  index > 0 && /^ (?! )/.test(stripVTControlCharacters(line)) ? line.replace(' ', '') : line;

/** A text behind its sign; what does not fit on one line goes on below itself. */
export function Marked({ mark, children, style, wrap }: WordsProps & { readonly mark: Mark }) {
  const [sign, colour] = MARKS[mark];
  return (
    <Box>
      <Box width={2} flexShrink={0}>
        <Words style={colour}>{sign}</Words>
      </Box>
      <Words style={style} {...(wrap && { wrap })}>
        {children}
      </Words>
    </Box>
  );
}

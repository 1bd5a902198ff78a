/**
 * Characters that are pictures of lines and blocks, as shapes: whatever font a viewer has, they meet. Unicode's charts "Box Drawing"
 * (U+2500) and "Block Elements" (U+2580).
 */

/** In parts of a cell: 0 left and above, 1 right and below. */
export interface Block {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Less than 1 for a shade. */
  readonly opacity?: number;
}

const block = (x: number, y: number, width: number, height: number): Block => ({ x, y, width, height });
const LEFT = { x: 0, width: 0.5 };
const RIGHT = { x: 0.5, width: 0.5 };
const UPPER = { y: 0, height: 0.5 };
const LOWER = { y: 0.5, height: 0.5 };
const QUARTERS = [
  { ...LEFT, ...UPPER },
  { ...RIGHT, ...UPPER },
  { ...LEFT, ...LOWER },
  { ...RIGHT, ...LOWER },
] as const;

/** For each of ▖▗▘▙▚▛▜▝▞▟, which quarters are filled: upper left, upper right, lower left, lower right. */
const QUADRANTS = ['0010', '0001', '1000', '1011', '1001', '1110', '1101', '0100', '0110', '0111'] as const;

const BLOCKS: ReadonlyMap<string, readonly Block[]> = new Map<string, readonly Block[]>([
  ['▀', [block(0, 0, 1, 0.5)]],
  ['▐', [block(0.5, 0, 0.5, 1)]],
  ['▔', [block(0, 0, 1, 1 / 8)]],
  ['▕', [block(7 / 8, 0, 1 / 8, 1)]],
  ...[...'▁▂▃▄▅▆▇█'].map((char, i) => [char, [block(0, 1 - (i + 1) / 8, 1, (i + 1) / 8)]] as const),
  ...[...'▏▎▍▌▋▊▉'].map((char, i) => [char, [block(0, 0, (i + 1) / 8, 1)]] as const),
  ...[...'░▒▓'].map((char, i) => [char, [{ ...block(0, 0, 1, 1), opacity: (i + 1) / 4 }]] as const),
  ...[...'▖▗▘▙▚▛▜▝▞▟'].map((char, i) => [char, QUARTERS.filter((_, k) => QUADRANTS[i]?.[k] === '1')] as const),
]);

export function blocksOf(char: string): readonly Block[] | undefined {
  return BLOCKS.get(char);
}

/** How thick the line from the middle of a cell to each of its sides is: 0 none, 1 light, 2 heavy. */
export interface Lines {
  readonly up: number;
  readonly right: number;
  readonly down: number;
  readonly left: number;
  readonly rounded?: boolean;
}

/** Up, right, down, left. */
// biome-ignore format: a table
const BOXES: Readonly<Record<string, string>> = {
  '─': '0101', '━': '0202', '│': '1010', '┃': '2020',
  '┌': '0110', '┐': '0011', '└': '1100', '┘': '1001',
  '┏': '0220', '┓': '0022', '┗': '2200', '┛': '2002',
  '├': '1110', '┤': '1011', '┬': '0111', '┴': '1101', '┼': '1111',
  '┣': '2220', '┫': '2022', '┳': '0222', '┻': '2202', '╋': '2222',
  '╴': '0001', '╵': '1000', '╶': '0100', '╷': '0010',
  '╸': '0002', '╹': '2000', '╺': '0200', '╻': '0020',
  '╭': '0110', '╮': '0011', '╰': '1100', '╯': '1001',
};

export function linesOf(char: string): Lines | undefined {
  const arms = Object.hasOwn(BOXES, char) ? BOXES[char] : undefined;
  if (arms === undefined) return undefined;
  const [up = 0, right = 0, down = 0, left = 0] = [...arms].map(Number);
  return { up, right, down, left, rounded: '╭╮╰╯'.includes(char) };
}

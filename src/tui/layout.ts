/** Which panes there are and where they stand: all five side by side where there is room, else one at a time under its tab. */

export const PANES = ['recipes', 'plan', 'bake', 'run', 'gate'] as const;

export type PaneName = (typeof PANES)[number];

export const TITLES: Readonly<Record<PaneName, string>> = {
  recipes: 'Recipes',
  plan: 'Plan',
  bake: 'Bake',
  run: 'Run',
  gate: 'Gate',
};

/** In terminal cells, borders included. */
export interface PaneBox {
  readonly width: number;
  readonly height: number;
}

export type Arrangement =
  | { readonly kind: 'too-small' }
  | { readonly kind: 'tabs'; readonly box: PaneBox }
  | { readonly kind: 'columns'; readonly columns: readonly (readonly (PaneBox & { readonly pane: PaneName })[])[] };

/** Below this a line of a message holds no more than a word or two. */
export const SMALLEST = { columns: 40, rows: 12 } as const;
/** From here on two columns are each as wide as a line of a plan or a small clip. */
const COLUMNS_FROM = { columns: 120, rows: 30 } as const;
/** Tabs above, keys below. */
const AROUND = 2;

export function arrange(columns: number, rows: number): Arrangement {
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) return { kind: 'too-small' };
  const height = rows - AROUND;
  if (columns < COLUMNS_FROM.columns || rows < COLUMNS_FROM.rows)
    return { kind: 'tabs', box: { width: columns, height } };
  const left = Math.round(columns * 0.55);
  const recipes = Math.max(5, Math.round(height * 0.15));
  const bake = Math.max(9, Math.round(height * 0.35));
  const gate = Math.max(9, Math.round(height * 0.28));
  return {
    kind: 'columns',
    columns: [
      [
        { pane: 'recipes', width: left, height: recipes },
        { pane: 'plan', width: left, height: height - recipes - bake },
        { pane: 'bake', width: left, height: bake },
      ],
      [
        { pane: 'run', width: columns - left, height: height - gate },
        { pane: 'gate', width: columns - left, height: gate },
      ],
    ],
  };
}

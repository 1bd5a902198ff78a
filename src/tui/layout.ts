/**
 * Which panes there are and where they stand. Where there is room, those that one turns knobs in stand to the left, and what
 * comes of it to the right; else there is one pane at a time under its tab.
 */

export const PANES = ['recipes', 'recipe', 'plan', 'bake', 'run', 'gate', 'compare', 'publish'] as const;

export type PaneName = (typeof PANES)[number];

export const TITLES: Readonly<Record<PaneName, string>> = {
  recipes: 'Recipes',
  recipe: 'Recipe',
  plan: 'Plan',
  bake: 'Bake',
  run: 'Run',
  gate: 'Gate',
  compare: 'Compare',
  publish: 'Publish',
};

/** For tabs in a narrow terminal. */
export const SHORT_TITLES: Readonly<Record<PaneName, string>> = {
  ...TITLES,
  recipes: 'List',
  compare: 'Comp',
  publish: 'Publ',
};

/** What can stand to the right: the job with what it made, or one of the panes that want all the room. */
export type Aside = 'job' | 'compare' | 'publish';

const LEFT: readonly PaneName[] = ['recipes', 'recipe', 'plan'];

/** What stands to the right when `pane` has the focus; a pane of the left leaves it as it is. */
export function asideOf(pane: PaneName, before: Aside): Aside {
  if (LEFT.includes(pane)) return before;
  return pane === 'compare' || pane === 'publish' ? pane : 'job';
}

/** In terminal cells, borders included. */
export interface PaneBox {
  readonly width: number;
  readonly height: number;
}

export type Arrangement =
  | { readonly kind: 'too-small' }
  /** `whole` is all but the tabs and the foot. */
  | { readonly kind: 'tabs'; readonly whole: PaneBox }
  | {
      readonly kind: 'columns';
      readonly whole: PaneBox;
      readonly columns: readonly (readonly (PaneBox & { readonly pane: PaneName })[])[];
    };

/** Below this a line of a message holds no more than a word or two. */
export const SMALLEST = { columns: 40, rows: 12 } as const;
/** From here on two columns are each as wide as a line of a plan or a small clip. */
const COLUMNS_FROM = { columns: 120, rows: 30 } as const;
/** A form or a plan gains nothing from more columns than this. */
const MAX_FORM = 100;

export interface ArrangeOptions {
  readonly aside: Aside;
  /** One pane alone, however much room there is. */
  readonly zoomed: boolean;
  /** Rows of the tabs and the foot. */
  readonly around: number;
}

export function arrange(columns: number, rows: number, { aside, zoomed, around }: ArrangeOptions): Arrangement {
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) return { kind: 'too-small' };
  const whole = { width: columns, height: rows - around };
  const { height } = whole;
  if (zoomed || columns < COLUMNS_FROM.columns || rows < COLUMNS_FROM.rows) return { kind: 'tabs', whole };
  const left = Math.min(MAX_FORM, Math.round(columns * 0.5));
  const recipes = Math.max(6, Math.round(height * 0.18));
  const plan = Math.max(9, Math.round(height * 0.32));
  return {
    kind: 'columns',
    whole,
    columns: [
      [
        { pane: 'recipes', width: left, height: recipes },
        { pane: 'recipe', width: left, height: height - recipes - plan },
        { pane: 'plan', width: left, height: plan },
      ],
      rightColumn(aside, { width: columns - left, height }),
    ],
  };
}

function rightColumn(aside: Aside, { width, height }: PaneBox): readonly (PaneBox & { readonly pane: PaneName })[] {
  if (aside !== 'job') return [{ pane: aside, width, height }];
  const bake = Math.max(9, Math.round(height * 0.22));
  const gate = Math.max(8, Math.round(height * 0.22));
  return [
    { pane: 'run', width, height: height - bake - gate },
    { pane: 'bake', width, height: bake },
    { pane: 'gate', width, height: gate },
  ];
}

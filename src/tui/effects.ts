/** What the reducer may ask to be done outside of it. */
import type { ComparisonRequest } from './comparison.ts';
import type { PublicationWish } from './publication.ts';

/** What runs as a stage, one at a time, and can be stopped. */
export type WorkKind = 'make' | 'new' | 'compare' | 'publish';

/** A text to be written in the place of what was read or written last. */
export interface Saving {
  readonly recipe: string;
  readonly text: string;
  /** What the file must still be, so that nobody's work is lost. */
  readonly replaces: string;
}

export type Effect =
  /** `select` is the recipe to choose among those that are found. */
  | { readonly do: 'find-recipes'; readonly select?: string }
  | { readonly do: 'find-packages' }
  /** `again`: what is here makes way for what the file says. */
  | { readonly do: 'open'; readonly recipe: string; readonly again?: true }
  /** A later one for whatever recipe takes the place of an earlier one. */
  | { readonly do: 'plan'; readonly recipe: string; readonly text: string }
  /** What could be a source of the recipe. A later one takes the place of an earlier one. */
  | { readonly do: 'find-sources'; readonly recipe: string }
  /** `edit`: the file is for the person's editor then. */
  | ({ readonly do: 'save'; readonly edit?: true } & Saving)
  /** In a file that is not there yet, in the place of the recipe that is open. */
  | { readonly do: 'save-as'; readonly recipe: string; readonly to: string; readonly text: string }
  | { readonly do: 'duplicate'; readonly recipe: string }
  | { readonly do: 'rename'; readonly recipe: string; readonly name: string }
  /** Begins work: the recipe is read from its file. */
  | { readonly do: 'make'; readonly recipe: string; readonly save?: Saving }
  /** Begins work: a recipe from the weight files in a folder. */
  | { readonly do: 'new'; readonly folder: string }
  /** Begins work: clips side by side, of packages or of one recipe at several strengths. */
  | { readonly do: 'compare'; readonly request: ComparisonRequest }
  /** What publishing would do. A later one takes the place of an earlier one. */
  | { readonly do: 'preview'; readonly wish: PublicationWish }
  /** Begins work; `over`: the commit that the question has shown. */
  | { readonly do: 'publish'; readonly wish: PublicationWish; readonly over?: string | undefined }
  | { readonly do: 'read-clip'; readonly folder: string }
  /** What was found of a package at another time, and its clip. */
  | { readonly do: 'view'; readonly folder: string }
  /** Stops what works. */
  | { readonly do: 'stop' };

/** The files of a plan: each is opened once, gets an index that tensors refer to it by, and is accounted for to the last tensor. */
import type { Component } from '../architecture/names.ts';
import { openTensorFile, type TensorFile } from '../formats/tensor-file.ts';
import type { Accounting } from './account.ts';

/** In the `__metadata__` of safetensors files, by the Model Spec (github.com/Stability-AI/ModelSpec). */
const LICENSE_KEY = 'modelspec.license';

/** Where in the recipe a file is named. A single file that holds all of a base is `base`; `base.vae` gives both halves of the VAE. */
export type Role =
  | 'base'
  | `base.${Component}`
  | 'base.vae'
  | `personalized[${number}]`
  | 'lcm'
  | 'motion'
  | 'motion.base'
  | `motion.loras[${number}]`;

/** A tensor in one of the plan's files. */
export interface TensorRef {
  /** Index into the plan's files. */
  readonly file: number;
  readonly tensor: string;
}

export interface PlannedFile {
  readonly role: Role;
  readonly path: string;
  readonly container: TensorFile['kind'];
  readonly bytes: number;
  readonly accounting: Accounting;
  /** Adapters: how many modules it changes, by component, and the ranks and alphas met. */
  readonly modules?: Readonly<Partial<Record<Component, number>>>;
  readonly ranks?: readonly number[];
  readonly alphas?: readonly (number | null)[];
  /** What the file says of its own licence. */
  readonly license?: string;
}

type Summary = Pick<PlannedFile, 'modules' | 'ranks' | 'alphas'>;

export interface PlanFiles extends AsyncDisposable {
  /** Opens a file without giving it an index yet. @throws what openTensorFile throws */
  open(path: string): Promise<TensorFile>;
  /** Gives an opened file its index, in the order of the calls. */
  add(file: TensorFile, role: Role): number;
  /** Closes the books on a file. */
  settle(index: number, accounting: Accounting, summary?: Summary): void;
  /** Adds to what is said of a settled file. */
  describe(index: number, summary: Summary): void;
  /** Every file, settled. */
  planned(): PlannedFile[];
}

export function openPlanFiles(): PlanFiles {
  const stack = new AsyncDisposableStack();
  const files: { readonly file: TensorFile; readonly role: Role; rest?: Summary & Pick<PlannedFile, 'accounting'> }[] =
    [];
  return {
    open: async (path) => stack.use(await openTensorFile(path)),
    add: (file, role) => files.push({ file, role }) - 1,
    settle(index, accounting, summary = {}) {
      const entry = files[index];
      if (!entry || entry.rest) throw new RangeError(`File ${index} of the plan cannot be settled.`);
      entry.rest = { accounting, ...summary };
    },
    describe(index, summary) {
      const { rest } = files[index] ?? {};
      if (!rest) throw new RangeError(`File ${index} of the plan is not settled.`);
      Object.assign(files[index] as object, {
        rest: { ...rest, ...summary, modules: { ...rest.modules, ...summary.modules } },
      });
    },
    planned: () =>
      files.map(({ file, role, rest }) => {
        if (!rest) throw new RangeError(`${file.source.name} was not accounted for.`);
        const { [LICENSE_KEY]: license } = file.metadata;
        return {
          role,
          path: file.source.name,
          container: file.kind,
          bytes: file.source.size,
          ...rest,
          ...(license !== undefined && { license }),
        };
      }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

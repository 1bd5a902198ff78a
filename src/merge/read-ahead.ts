/** Loads one item ahead of the one that is being worked on, into memory that every other item uses again. */
import { createScratch, type Scratch } from './scratch.ts';

/**
 * Yields what `load` makes of each item, in order. What it took from its scratch is valid until the item after the next is
 * asked for, so for as long as the caller works on it.
 */
export async function* readAhead<Item, Loaded>(
  items: readonly Item[],
  load: (item: Item, scratch: Scratch) => Promise<Loaded>,
): AsyncGenerator<readonly [Item, Loaded]> {
  const slots = [createScratch(), createScratch()] as const;
  const start = (index: number) => {
    const slot = slots[index % 2] as Scratch;
    slot.reset();
    const loading = load(items[index] as Item, slot);
    loading.catch(() => undefined); // met when it is awaited
    return loading;
  };
  let ahead = items.length > 0 ? start(0) : undefined;
  try {
    for (const [i, item] of items.entries()) {
      const loaded = (await ahead) as Loaded;
      ahead = i + 1 < items.length ? start(i + 1) : undefined;
      yield [item, loaded];
    }
  } finally {
    await ahead?.catch(() => undefined); // nobody closes a file or reuses memory that is still being read
  }
}

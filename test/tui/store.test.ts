import { expect, it, vi } from 'vitest';
import { createServices } from '../../src/tui/services.ts';
import { createStore } from '../../src/tui/store.ts';

const turn = () => new Promise((done) => setImmediate(done));

it('has a key seen at once, and what stages tell in one look for many events', async () => {
  const services = { ...createServices(), findRecipes: async () => [], findPackages: async () => [] };
  const store = createStore(services);
  const found = vi.fn();
  const end = store.subscribe(found);
  await vi.waitFor(() => expect(found).toHaveBeenCalled());
  end();
  store.dispatch({ type: 'command', command: 'make', at: 0 }); // there is no recipe: a notice
  await turn();

  const listener = vi.fn();
  store.subscribe(listener);
  for (let n = 0; n < 100; n++) store.dispatch({ type: 'complaint', problems: [`event ${n}`] });
  await turn();
  expect(listener).not.toHaveBeenCalled();
  store.dispatch({ type: 'command', command: 'help', at: 0 });
  await turn();
  expect(listener).toHaveBeenCalledTimes(1);
  await new Promise((done) => setTimeout(done, 100));
  expect(listener).toHaveBeenCalledTimes(1); // the key has shown the events, too
});

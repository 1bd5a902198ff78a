/** Preloaded with `node --import`: a program's `import 'lcm-merge'` gets the sources, so that tests need no build. */
import { registerHooks } from 'node:module';

const index = new URL('../../src/index.ts', import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'lcm-merge' ? { url: index, shortCircuit: true } : next(specifier, context),
});

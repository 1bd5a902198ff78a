/**
 * Halves what importing Ink costs, and is therefore called before that. Ink takes one function from an index of 400 modules, which all
 * would be loaded; React's development build checks what tests have checked. What has been
 * compiled once is taken from Node's cache. bench/first-paint.ts measures it.
 */
import { enableCompileCache, registerHooks } from 'node:module';

const INDEX = 'es-toolkit/compat';

export function quickStart(): void {
  process.env['NODE_ENV'] ??= 'production';
  enableCompileCache();
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context);
      if (specifier !== INDEX || !context.parentURL?.includes('/ink/build/')) return found;
      return { ...found, url: found.url.replace(/index\.mjs$/, 'function/throttle.mjs') };
    },
  });
}

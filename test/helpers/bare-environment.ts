/** The environment of a program that is to see nothing of whoever runs the tests: no home, no token, no cache but what a test gives it. */

/** Where programs are, and what makes them quick (vitest.config.ts). */
const KEPT = ['PATH', 'NODE_COMPILE_CACHE', 'LCM_MERGE_THREADS'];

export function bareEnvironment(given: Readonly<Record<string, string>>): Record<string, string> {
  return { ...Object.fromEntries(KEPT.map((name) => [name, process.env[name] ?? ''])), ...given };
}

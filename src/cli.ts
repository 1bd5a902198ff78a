#!/usr/bin/env node
/**
 * The program. It keeps to what Node has understood since version 12, so that an older one gets as far as the sentence that says
 * what is needed; everything else is imported once the version is known to be right.
 */
const NEEDED = 24;
const found = process.versions.node;

if (Number(found.split('.')[0]) >= NEEDED) {
  import('./cli/main.ts')
    .then((main) => main.run(process.argv.slice(2)))
    .then((code) => {
      process.exitCode = code;
    });
} else {
  process.stderr.write(
    `lcm-merge needs Node ${NEEDED} or newer, and this is Node ${found}: in its repository run \`npx lcm-merge\` or \`npm run\`, ` +
      'which use the Node 24 that `npm ci` installed; elsewhere install Node 24.\n',
  );
  process.exitCode = 2;
}

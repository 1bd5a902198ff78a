/**
 * What a step of a GitHub action says to its runner: outputs, a job summary, annotations. Source of truth: GitHub's "Workflow commands for
 * GitHub Actions" and actions/toolkit.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';

/** Values of several lines are held by a delimiter that nobody can guess. */
export function setOutputs(outputs: Readonly<Record<string, string | undefined>>): void {
  const text = Object.entries(outputs).map(([name, value]) => {
    const delimiter = randomUUID();
    return `${name}<<${delimiter}\n${value ?? ''}\n${delimiter}\n`;
  });
  appendFileSync(environment('GITHUB_OUTPUT'), text.join(''));
}

/** `markdown` is added to the page of the job. */
export function summarise(markdown: string): void {
  appendFileSync(environment('GITHUB_STEP_SUMMARY'), markdown);
}

/** Shown at the top of the run. */
export function annotateError(message: string): void {
  const escaped = message.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  process.stdout.write(`::error title=lcm-merge::${escaped}\n`);
}

/** What is printed until the promise settles is a log, and never a command to the runner, whatever a file's name says. */
export async function withoutCommands<Result>(print: () => Promise<Result>): Promise<Result> {
  const token = randomUUID();
  process.stdout.write(`::stop-commands::${token}\n`);
  try {
    return await print();
  } finally {
    process.stdout.write(`::${token}::\n`);
  }
}

/** @throws Error for a variable that the runner or action.yml always sets */
export function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; this runs as a step of action.yml.`);
  return value;
}

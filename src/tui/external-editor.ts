/** The person's own editor, as git and others call it: $VISUAL, else $EDITOR, else vi (on Windows: notepad). */
import { spawn } from 'node:child_process';
import { UnavailableError } from '../errors.ts';

/** Hands `file` and the terminal to the editor, and waits until it is done. @throws UnavailableError when it cannot be started or fails */
export async function editFile(file: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const fallback = process.platform === 'win32' ? 'notepad' : 'vi';
  const command = env['VISUAL'] || env['EDITOR'] || fallback;
  const remedy = 'Set EDITOR to the command of an editor, such as EDITOR=nano.';
  // the command may have options, as in EDITOR='code --wait': the shell takes it apart, and the file stays one word
  const child =
    process.platform === 'win32'
      ? spawn(`${command} "${file}"`, { stdio: 'inherit', shell: true })
      : spawn('/bin/sh', ['-c', `${command} "$1"`, 'sh', file], { stdio: 'inherit' });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', (error) =>
    reject(new UnavailableError(`The editor ${command} cannot be started: ${error.message}.`, remedy)),
  );
  child.once('exit', (code, signal) => {
    if (code === 0) return resolve();
    const how = code === null ? `was ended by ${signal}` : `ended with code ${code}`;
    reject(new UnavailableError(`The editor ${command} ${how}.`, remedy));
  });
  return promise;
}

/**
 * Who one is to a registry: LCM_MERGE_REGISTRY_USER and _PASSWORD, else what `docker login` (or podman, oras, crane) has left in the
 * file that all of them read. Credential helpers are programs, and are not run.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { jsonIn } from '../formats/json.ts';

export interface Credentials {
  readonly user: string;
  /** Sent to the registry and the token service that it names; never shown. */
  readonly password: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const entry = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
});
const config = z.looseObject({ auths: z.record(z.string(), entry).optional() });

/** Undefined where nothing is known, or the file cannot be read as one. */
export async function readCredentials(
  registry: string,
  env: Environment = process.env,
): Promise<Credentials | undefined> {
  const [user, password] = [env['LCM_MERGE_REGISTRY_USER'], env['LCM_MERGE_REGISTRY_PASSWORD']];
  if (user && password) return { user, password };
  for (const path of candidates(env)) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    const found = text === undefined ? undefined : credentialsIn(text, registry);
    if (found) return found;
  }
  return undefined;
}

function candidates(env: Environment): readonly string[] {
  const home = env['HOME'] || homedir();
  return [
    ...(env['REGISTRY_AUTH_FILE'] ? [env['REGISTRY_AUTH_FILE']] : []), // podman
    join(env['DOCKER_CONFIG'] || join(home, '.docker'), 'config.json'),
    ...(env['XDG_RUNTIME_DIR'] ? [join(env['XDG_RUNTIME_DIR'], 'containers/auth.json')] : []),
  ];
}

function credentialsIn(text: string, registry: string): Credentials | undefined {
  const { auths = {} } = config.safeParse(jsonIn(text)).data ?? {};
  const key = Object.keys(auths).find((name) => name.replace(/^https?:\/\//, '').replace(/\/.*$/, '') === registry);
  const { auth, username, password } = (key === undefined ? undefined : auths[key]) ?? {};
  if (username && password) return { user: username, password };
  const decoded = auth === undefined ? '' : Buffer.from(auth, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon > 0 ? { user: decoded.slice(0, colon), password: decoded.slice(colon + 1) } : undefined;
}

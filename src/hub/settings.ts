/**
 * What the environment says about the Hub, in the words that Hugging Face's own tools use (HF_TOKEN, HF_HOME, HF_ENDPOINT,
 * HF_HUB_OFFLINE: huggingface_hub, "Environment variables") and two of our own, LCM_MERGE_CACHE and LCM_MERGE_OFFLINE.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';

export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** Sent to the endpoint and nowhere else; never shown. */
  readonly token: string | undefined;
  /** The folder of the cache. */
  readonly cache: string;
  /** The variables of the environment that forbid the network; none when it may be used. */
  readonly offline: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const ENDPOINT = 'https://huggingface.co';
const YES = new Set(['1', 'true', 'yes', 'on']);

/** @throws UsageError for a variable that makes no sense; it does not repeat a token. */
export async function readHubSettings(env: Environment = process.env): Promise<HubSettings> {
  const offline = ['LCM_MERGE_OFFLINE', 'HF_HUB_OFFLINE'].filter((name) => YES.has((env[name] ?? '').toLowerCase()));
  return { endpoint: readEndpoint(env), token: await readToken(env), cache: cacheFolder(env), offline };
}

function readEndpoint(env: Environment): string {
  const text = env['HF_ENDPOINT'] || ENDPOINT;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const usable = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
  if (!usable)
    throw new UsageError('HF_ENDPOINT must be an address like https://huggingface.co, without a user or a query.');
  return url.href.replace(/\/+$/, '');
}

function cacheFolder(env: Environment): string {
  if (env['LCM_MERGE_CACHE']) return resolve(env['LCM_MERGE_CACHE']);
  return join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'lcm-merge');
}

/** HF_TOKEN, or what `hf auth login` has left. */
async function readToken(env: Environment): Promise<string | undefined> {
  if (env['HF_TOKEN']?.trim()) return checked(env['HF_TOKEN'].trim(), 'HF_TOKEN');
  const cache = env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache');
  const file = env['HF_TOKEN_PATH'] || join(env['HF_HOME'] || join(cache, 'huggingface'), 'token');
  const text = await readFile(file, 'utf8').catch(() => ''); // not logged in, or the file is not for us
  return text.trim() ? checked(text.trim(), file) : undefined;
}

/** A header takes printable ASCII; what fetch says of anything else would repeat the token. */
function checked(token: string, source: string): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw new UsageError(
    `The token in ${source} has characters that no token has (blanks, line ends, letters beyond ASCII).`,
  );
}

/**
 * What a registry wants to be shown by whoever asks (WWW-Authenticate): Basic, or a Bearer token that another service gives for user and
 * password (docker's "Token Authentication Specification").
 */
import { z } from 'zod';
import { jsonIn } from '../formats/json.ts';
import { ConnectionFailure, collect, isSafe, openWire, type WireOptions } from '../hub/http.ts';
import { parseChallenges } from './challenge.ts';
import type { Credentials } from './credentials.ts';

const MAX_TOKEN_ANSWER = 1 << 20;
/** What a header takes: what is said of anything else would repeat it. */
const token = z
  .string()
  .regex(/^[\x21-\x7e]+$/)
  .max(1 << 16);
const tokenAnswer = z.union([
  z.looseObject({ token }).transform((answer) => answer.token),
  z.looseObject({ access_token: token }).transform((answer) => answer.access_token),
]);

/**
 * What to show from now on in the header Authorization; undefined when the registry at `endpoint` asks for something that is not there.
 * @throws HttpRefusal, ConnectionFailure, the signal's reason: those of the token service
 */
export async function answerTo(
  challenge: string,
  credentials: Credentials | undefined,
  { endpoint, signal, patience }: Omit<WireOptions, 'authorization'>,
): Promise<string | undefined> {
  const basic = credentials && `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
  const challenges = parseChallenges(challenge);
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  const realm = bearer?.parameters['realm'];
  if (realm === undefined || !URL.canParse(realm))
    return challenges.some(({ scheme }) => scheme === 'basic') ? basic : undefined;
  const url = new URL(realm);
  if (!isSafe(url, new URL(endpoint)))
    throw new ConnectionFailure(
      `${endpoint} sends whoever wants in to ${url.protocol}//${url.host}, which is not safe`,
      true,
    );
  for (const name of ['service', 'scope']) {
    const value = bearer?.parameters[name];
    if (value !== undefined) url.searchParams.set(name, value);
  }
  const service = openWire({ endpoint: url.origin, authorization: () => basic, signal, patience });
  const answer = await service.send(url.href, { method: 'GET', headers: { accept: 'application/json' } });
  const parsed = tokenAnswer.safeParse(jsonIn(await collect(answer, MAX_TOKEN_ANSWER, `${url.host} answers`)));
  if (!parsed.success)
    throw new ConnectionFailure(`${url.host}, which gives tokens for the registry, gives none`, true);
  return `Bearer ${parsed.data}`;
}

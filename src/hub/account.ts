/**
 * Whose token it is and what it may (whoami-v2, as @huggingface/hub and huggingface_hub describe its answer). What cannot be told from
 * it is not guessed: the Hub says it when it is tried.
 */
import { whoAmI } from '@huggingface/hub';
import { z } from 'zod';
import { UnavailableError } from '../errors.ts';
import { type HubRepository, misunderstood } from './repository.ts';
import { SHOWN_BY_THE_WIRE } from './writing.ts';

export interface Account {
  readonly name: string;
  /** Of the token. */
  readonly mayWrite: 'yes' | 'unknown';
}

const entity = z.looseObject({ name: z.string(), type: z.string().optional() });

const answer = z.looseObject({
  name: z.string(),
  orgs: z.array(entity).default([]),
  auth: z.looseObject({
    accessToken: z
      .looseObject({
        role: z.string(),
        fineGrained: z
          .looseObject({ scoped: z.array(z.looseObject({ entity, permissions: z.array(z.string()) })).default([]) })
          .optional(),
      })
      .optional(),
  }),
});

type Answer = z.output<typeof answer>;

/**
 * `isProposal`: others may only be asked, with a pull request.
 * @throws UnavailableError when the token certainly may not write there; HttpRefusal, ConnectionFailure
 */
export async function readAccount(
  { wire, endpoint, repo }: HubRepository,
  { isProposal }: { readonly isProposal: boolean },
): Promise<Account> {
  const told: unknown = await whoAmI({ accessToken: SHOWN_BY_THE_WIRE, hubUrl: endpoint, fetch: wire.fetch });
  const parsed = answer.safeParse(told);
  if (!parsed.success) throw misunderstood(endpoint, 'whose token it is');
  const { name } = parsed.data;
  const { accessToken } = parsed.data.auth;
  const settings = `Make one that may write at ${endpoint}/settings/tokens, and put it into HF_TOKEN or log in with it (\`hf auth login\`).`;
  if (accessToken?.role === 'read')
    throw new UnavailableError(`The token of ${name} that is used may only read.`, settings);
  if (accessToken?.role === 'fineGrained') {
    const { scoped = [] } = accessToken.fineGrained ?? {};
    return { name, mayWrite: scoped.some((scope) => covers(scope, repo)) ? 'yes' : 'unknown' };
  }
  if (isProposal) return { name, mayWrite: accessToken ? 'yes' : 'unknown' };
  const [owner = ''] = repo.split('/');
  if (!namesOf(parsed.data).has(owner.toLowerCase()))
    throw new UnavailableError(
      `The token that is used is ${name}'s, who is not ${owner} nor in an organization of that name.`,
      'Is the name right? To a repository of others, --pull-request offers the package.',
    );
  return { name, mayWrite: accessToken && ['write', 'admin'].includes(accessToken.role) ? 'yes' : 'unknown' };
}

function namesOf({ name, orgs }: Answer): ReadonlySet<string> {
  return new Set([name, ...orgs.map((org) => org.name)].map((one) => one.toLowerCase()));
}

function covers(
  { entity: { name }, permissions }: { entity: { name: string }; permissions: readonly string[] },
  repo: string,
) {
  const isIts = [repo, repo.split('/')[0]].some((one) => one?.toLowerCase() === name.toLowerCase());
  return isIts && permissions.includes('repo.write');
}

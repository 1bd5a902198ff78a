/** Terminals for tests: closed when their test is done, however it went. */
import { onTestFinished } from 'vitest';
import { openSession, type Session, type SessionOptions } from '../../tools/terminal/session.ts';

export async function openTestSession(options: SessionOptions): Promise<Session> {
  const session = await openSession(options);
  onTestFinished(() => session[Symbol.asyncDispose]());
  return session;
}

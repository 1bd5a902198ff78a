/** A server on this machine that answers what it is told to, and remembers what it was asked. Closed when the file of tests is done. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

export interface Told {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface TestServer {
  /** `http://127.0.0.1:PORT` */
  readonly address: string;
  readonly log: Asked[];
  answer: (asked: Asked) => Told;
  reset(): void;
}

export async function startServer(): Promise<TestServer> {
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming;
    const asked = { method, url, headers };
    started.log.push(asked);
    incoming.resume().once('end', () => {
      const { status = 200, headers = {}, body = '' } = started.answer(asked);
      outgoing.writeHead(status, headers).end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const started: TestServer = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    log: [],
    answer: () => ({}),
    reset() {
      started.log.length = 0;
      started.answer = () => ({});
    },
  };
  return started;
}

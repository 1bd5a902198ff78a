/** Stands before a registry and passes everything on, but for what it is told to do otherwise. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

export type Fault =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** The connection is destroyed when the registry has got so many bytes of the body. */
  | { readonly cutAfter: number };

export interface FaultProxy {
  readonly address: string;
  readonly log: Seen[];
  fault: (seen: Seen) => Fault | undefined;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const [host = '', port] = target.split(':');
  const log: Seen[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming;
    const seen = { method, url, authorization: headers.authorization, range: headers['content-range'] };
    log.push(seen);
    const fault = proxy.fault(seen);
    if (fault && 'status' in fault) {
      incoming.resume();
      incoming.once('end', () => outgoing.writeHead(fault.status, fault.headers).end(fault.body));
      return;
    }
    pass(incoming, outgoing, { host, port: Number(port), cutAfter: fault?.cutAfter });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const proxy: FaultProxy = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    fault: () => undefined,
  };
  return proxy;
}

interface Passing {
  readonly host: string;
  readonly port: number;
  readonly cutAfter: number | undefined;
}

function pass(incoming: IncomingMessage, outgoing: ServerResponse, { host, port, cutAfter }: Passing): void {
  const { method, url, headers } = incoming;
  const onward = request({ host, port, method, path: url, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on('error', () => outgoing.destroy());
  if (cutAfter === undefined) {
    incoming.pipe(onward);
    return;
  }
  let passed = 0;
  incoming.on('data', (chunk: Buffer) => {
    const rest = chunk.subarray(0, cutAfter - passed);
    passed += rest.length;
    onward.write(rest, () => {
      if (passed < cutAfter) return;
      onward.destroy();
      incoming.destroy();
    });
  });
}

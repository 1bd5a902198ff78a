/** The wire to the Hub that the settings speak of: the token goes there and nowhere else. */
import { openWire, type Patience, type Wire } from './http.ts';
import type { HubSettings } from './settings.ts';

export interface HubWireOptions {
  /** Use no network; so do the settings, where the environment says it. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

/** None where the network is not to be used. */
export function openHubWire(
  { endpoint, token, offline }: HubSettings,
  { offline: isUnwanted, signal, patience }: HubWireOptions = {},
): Wire | undefined {
  if (isUnwanted || offline.length > 0) return undefined;
  return openWire({
    endpoint,
    authorization: token === undefined ? undefined : () => `Bearer ${token}`,
    signal,
    patience,
  });
}

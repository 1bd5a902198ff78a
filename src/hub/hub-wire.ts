/** The wire to the Hub that the settings speak of: the token goes there and nowhere else. */
import { openWire, type Patience, type Wire } from './http.ts';
import type { HubSettings } from './settings.ts';

export interface HubWireOptions {
  /** Use no network, and the cache only; so do LCM_MERGE_OFFLINE and HF_HUB_OFFLINE in the environment. */
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

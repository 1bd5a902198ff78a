/** How much of the gate a verification goes through; each profile has all checks of those before it. */

export const PROFILES = ['quick', 'standard', 'full'] as const;
export type Profile = (typeof PROFILES)[number];

/** Whether a check that is made from `least` on is part of `profile`. */
export function includes(profile: Profile, least: Profile): boolean {
  return PROFILES.indexOf(profile) >= PROFILES.indexOf(least);
}

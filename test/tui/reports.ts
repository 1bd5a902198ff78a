/** Reports of the gate as the terminal UI gets them. */
import type { CheckVerdict, Event } from '../../src/events.ts';
import type { MadePackage } from '../../src/publish/make-package.ts';
import type { Frames } from '../../src/runtime/frames.ts';

export function madePackage(
  folder: string,
  checks: Readonly<Record<string, CheckVerdict>>,
  verdict: CheckVerdict,
): MadePackage {
  return {
    folder,
    report: {
      verdict,
      name: 'tiny',
      tool: { name: 'lcm-merge', version: '0.0.0' },
      device: 'cpu',
      profile: 'standard',
      run: { prompt: 'a red circle', negative: '', seed: 0, steps: 4, guidance: 1, frames: 2, width: 4, height: 4 },
      checks: Object.entries(checks).map(([id, found]) => ({
        id,
        proves: '',
        verdict: found,
        reason: `${id} is ${found}.`,
        figures: {},
        seconds: 0.25,
      })),
      graphs: [],
      timing: null,
      package: {},
    },
  };
}

export function checkEvents(checks: Readonly<Record<string, CheckVerdict>>): Event[] {
  return Object.entries(checks).map(([id, verdict]) => ({
    type: 'check',
    stage: 'verify',
    id,
    verdict,
    reason: `${id} is ${verdict}.`,
    seconds: 0.25,
  }));
}

/** A step of two whose picture is 4×4 green pixels. */
export const GREEN_STEP: Event = {
  type: 'preview',
  stage: 'run',
  step: 1,
  total: 2,
  width: 4,
  height: 4,
  pixels: Uint8Array.from({ length: 48 }, (_, i) => (i % 3 === 1 ? 255 : 0)),
};

/** Two frames of 4×4 pixels: all red, all blue. */
export const RED_THEN_BLUE: Frames = {
  width: 4,
  height: 4,
  count: 2,
  data: Uint8Array.from({ length: 2 * 16 * 3 }, (_, i) => (i % 3 === (i < 48 ? 0 : 2) ? 255 : 0)),
};

/** The folder that `run` fills: it takes the place of nothing but the frames of an earlier run. */
import { openStaging, type Staging } from '../export/staging.ts';

export const ANIMATION = 'frames.webp';

export function frameName(index: number): string {
  return `frame-${String(index).padStart(4, '0')}.png`;
}

const FRAME = /^frame-\d{4,}\.png$/;

/**
 * Prepares `out`; `more` names a further file of ours that may stand there.
 * @throws UsageError when something else stands in the way.
 */
export function openFramesFolder(out: string, more?: string): Promise<Staging> {
  return openStaging(out, (names) => {
    const foreign = names.find((name) => !FRAME.test(name) && name !== ANIMATION && name !== more);
    return foreign && `holds ${foreign}, which is no frame of an earlier run`;
  });
}

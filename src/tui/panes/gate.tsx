/** What verification found: every check with its verdict and reason. */
import { Box } from 'ink';
import { formatDuration } from '../../cli/format.ts';
import { isBusy, type Job } from '../job.ts';
import { JOB_MARKS } from '../marks.ts';
import { Marked, Words } from '../theme.tsx';
import { Pane, type PaneProps } from './pane.tsx';

export interface GatePaneProps extends Pick<PaneProps, 'box' | 'focused' | 'offset' | 'onLimit'> {
  readonly job: Job | undefined;
}

export function GatePane({ job, ...pane }: GatePaneProps) {
  return (
    <Pane title="Gate" {...pane} head={<Verdict job={job} />}>
      {job?.checks.map(({ id, verdict, reason, seconds }) => (
        <Box key={id} flexDirection="column">
          <Marked mark={verdict} style="bold">{`${id} (${formatDuration(seconds * 1000)})`}</Marked>
          <Box paddingLeft={2}>
            <Words>{reason}</Words>
          </Box>
        </Box>
      ))}
    </Pane>
  );
}

function Verdict({ job }: { readonly job: Job | undefined }) {
  if (job?.folder !== undefined)
    return (
      <Marked mark={JOB_MARKS[job.status]} style="bold">
        {job.folder}
      </Marked>
    );
  return <Words>{isBusy(job) ? 'The checks follow when the model has run.' : 'Nothing has been verified yet.'}</Words>;
}

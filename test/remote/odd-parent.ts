/** A program with a stage in a process of its own: `node test/remote/odd-parent.ts FILE` works until it is killed, without a file it tells the process. */
import { drain } from '../../src/events.ts';
import { openRemote } from '../../src/remote/remote.ts';
import { ODD_STAGES } from './odd-stages.ts';

const { stages } = openRemote(ODD_STAGES, { entry: new URL('./odd-main.ts', import.meta.url) });
const [, , file] = process.argv;
if (file === undefined) console.log((await drain(stages.count(3, {}))).pid);
else await drain(stages.work(file, { pause: 5 }), () => process.stdout.write('.'));

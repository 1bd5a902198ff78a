/** For hub_interop.py: the tests' Hub, and a package to publish there; prints `{ endpoint, package }` and runs until its input ends. */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHub } from '../hub/hub-server.ts';
import { makeVerified } from '../publish/handmade.ts';

const weights = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 2654435761) >>> 23);
const parent = await mkdtemp(join(tmpdir(), 'hub-'));
const folder = await makeVerified(join(parent, 'ink'), {
  'unet/model.onnx_data': weights,
  'unet/model.onnx': weights.subarray(0, 40_000),
  'README.md': '---\nlicense: mit\n---\n# ink\n',
});
const hub = await startHub();
hub.multipart = { from: 1_000_000, part: 700_000 };
process.stdout.write(`${JSON.stringify({ endpoint: hub.endpoint, package: folder })}\n`);
process.stdin.resume().on('end', () => {
  rmSync(parent, { recursive: true });
  process.exit(0);
});

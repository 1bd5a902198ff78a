/**
 * The UNet's graphs for bench/gpu/run.py, without weights: a few MB that can be carried to a machine with a GPU and no Node.
 *
 *     node bench/gpu/graphs.ts [out/gpu]
 *
 * For each size a folder: model.onnx (portable), model.cpu.onnx (computes in float32), model.cuda.onnx, all of fp16 weights in one
 * model.onnx_data that bench/gpu/weights.py makes from the table in the graphs, and size.json with what diffusers needs to build the same model.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import type { Target } from '../../src/export/targets/target.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { layOutWeights } from '../../src/export/weight-file.ts';
import { serializeModel } from '../../src/onnx/proto.ts';

const [cross, plain] = [
  ['CrossAttnDownBlock2D', 'CrossAttnUpBlock2D'],
  ['DownBlock2D', 'UpBlock2D'],
] as const;

/** Latents are a pixel's eighth. */
const SIZES = {
  /** SD1.5 and AnimateLCM's motion module, the clip that issue and docs speak of. */
  full: {
    unet: {
      block_out_channels: [320, 640, 1280, 1280],
      layers_per_block: 2,
      cross_attention_dim: 768,
      down_block_types: [cross[0], cross[0], cross[0], plain[0]],
      up_block_types: [plain[1], cross[1], cross[1], cross[1]],
    },
    clip: { batch: 1, frames: 16, height: 64, width: 64 },
  },
  /** SD1.5's first two widths, so that every kernel runs that SD1.5 needs, in a thousandth of the work. */
  small: {
    unet: {
      block_out_channels: [320, 640],
      layers_per_block: 1,
      cross_attention_dim: 64,
      down_block_types: [cross[0], plain[0]],
      up_block_types: [plain[1], cross[1]],
    },
    clip: { batch: 1, frames: 2, height: 8, width: 8 },
  },
} as const;

/** Length of the text states, and of AnimateLCM's positional encodings. */
const [TOKENS, POSITIONS] = [77, 32];

const WEIGHTS = 'model.onnx_data';
const FILES = { portable: 'model.onnx', cpu: 'model.cpu.onnx', cuda: 'model.cuda.onnx' } as const;

const out = process.argv[2] ?? 'out/gpu';
for (const [name, { unet, clip }] of Object.entries(SIZES)) {
  const folder = join(out, name);
  await mkdir(folder, { recursive: true });
  const config = {
    sample_size: clip.height,
    in_channels: 4,
    out_channels: 4,
    attention_head_dim: 8,
    norm_num_groups: 32,
    ...unet,
  };
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  const structure = unetStructure(await readUNetConfig(join(folder, 'config.json')), { mid: true });
  const size = { config, ...clip, tokens: TOKENS, positions: POSITIONS, weights: WEIGHTS };
  await writeFile(join(folder, 'size.json'), `${JSON.stringify(size, null, 2)}\n`);
  const graphFor = (target: Target) =>
    unetMotionGraph(structure, {
      ...clip,
      target,
      type: 'float16',
      tokens: TOKENS,
      motionNorm: 'per-frame',
      positions: POSITIONS,
    });
  const external = new Map(layOutWeights(graphFor(TARGETS.portable)).entries.map((entry) => [entry.name, entry]));
  for (const [target, file] of Object.entries(FILES)) {
    const graph = graphFor(TARGETS[target as keyof typeof FILES]);
    const model = serializeModel(graph, { external, producerVersion: 'bench' });
    await writeFile(join(folder, file), model);
    console.log(`${join(folder, file)}: ${graph.nodes.length} nodes, ${(model.length / 1e6).toFixed(1)} MB`);
  }
}

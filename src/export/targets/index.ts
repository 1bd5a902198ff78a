/** All targets, by the name that recipes call them. */
import type { TargetName } from '../../recipe/schema.ts';
import { cpu } from './cpu.ts';
import { cuda } from './cuda.ts';
import { portable } from './portable.ts';
import type { Target } from './target.ts';
import { webgpu } from './webgpu.ts';

export const TARGETS: Readonly<Record<TargetName, Target>> = { portable, cpu, cuda, webgpu };

/** Every ONNX operator that the graphs use: one function per operator, named like it. */
export * from './ops/elementwise.ts';
export * from './ops/linalg.ts';
export * from './ops/movement.ts';

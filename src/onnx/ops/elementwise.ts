/** Element-by-element operators, each named exactly as in ONNX; two inputs broadcast as NumPy does. */
import { type Dim, type ElementType, emit, type Scope, type Value } from '../graph.ts';

export const Add = (s: Scope, a: Value, b: Value) => binary(s, 'Add', a, b);
export const Sub = (s: Scope, a: Value, b: Value) => binary(s, 'Sub', a, b);
export const Mul = (s: Scope, a: Value, b: Value) => binary(s, 'Mul', a, b);
export const Div = (s: Scope, a: Value, b: Value) => binary(s, 'Div', a, b);
export const Max = (s: Scope, a: Value, b: Value) => binary(s, 'Max', a, b);
export const Sqrt = (s: Scope, x: Value) => unary(s, 'Sqrt', x);
export const Sigmoid = (s: Scope, x: Value) => unary(s, 'Sigmoid', x);
export const Cos = (s: Scope, x: Value) => unary(s, 'Cos', x);
export const Sin = (s: Scope, x: Value) => unary(s, 'Sin', x);

/** Exact (erf) GELU unless `approximate` says 'tanh'. Opset 20. */
export function Gelu(s: Scope, x: Value, { approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {}): Value {
  return emit(s, 'Gelu', [x], { approximate }, x.type, x.shape);
}

const TO: Record<ElementType, number> = { float64: 11, float32: 1, int64: 7, float16: 10 };

/** A cast to the type that `x` already has makes no node. */
export function Cast(s: Scope, x: Value, { to }: { to: ElementType }): Value {
  return x.type === to ? x : emit(s, 'Cast', [x], { to: TO[to] }, to, x.shape);
}

function unary(s: Scope, opType: string, x: Value): Value {
  return emit(s, opType, [x], {}, x.type, x.shape);
}

function binary(s: Scope, opType: string, a: Value, b: Value): Value {
  if (a.type !== b.type) {
    throw new TypeError(`${opType} in ${s.path}: ${a.name} is ${a.type}, ${b.name} is ${b.type}; they must agree.`);
  }
  return emit(s, opType, [a, b], {}, a.type, broadcast(opType, a.shape, b.shape));
}

/** NumPy's broadcast of two shapes. */
export function broadcast(opType: string, a: readonly Dim[], b: readonly Dim[]): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new RangeError(`${opType}: shapes [${a}] and [${b}] do not broadcast at axis ${i} (${x} against ${y}).`);
  });
}

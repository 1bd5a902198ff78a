/** Quantities as people read them: three figures and a decimal prefix, durations and times. */

const BYTE_UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;
const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'] as const;

/** 19251893 → "19.3 MB". */
export function formatBytes(bytes: number): string {
  const power = powerOf(bytes, BYTE_UNITS.length);
  return `${power === 0 ? bytes : threeFigures(bytes / 1000 ** power)} ${BYTE_UNITS[power]}`;
}

/** 17.7e12, "FLOP" → "17.7 TFLOP"; without a unit "17.7 T", and small whole numbers as they are. */
export function formatCount(count: number, unit = ''): string {
  const power = powerOf(count, PREFIXES.length);
  const figures = power === 0 && Number.isInteger(count) ? String(count) : threeFigures(count / 1000 ** power);
  return `${figures} ${PREFIXES[power]}${unit}`.trimEnd();
}

function powerOf(value: number, units: number): number {
  return value < 1000 ? 0 : Math.min(units - 1, Math.floor(Math.log10(value) / 3));
}

export function threeFigures(value: number): string {
  return value >= 99.95 ? String(Math.round(value)) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** `2026-11-25 21:46`, by the clock of the machine; takes milliseconds since 1970. */
export function formatTime(at: number): string {
  const two = (n: number) => String(n).padStart(2, '0');
  const date = new Date(at);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** 480 → "480 ms", 12300 → "12.3 s", 150000 → "2 min 30 s", 3.7e6 → "1 h 2 min". */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${threeFigures(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 0.8, not 0.8000000000000002: the noise of arithmetic is beyond twelve figures. */
export function withoutNoise(value: number): number {
  return Number(value.toPrecision(12));
}

/** At most six significant figures, without trailing zeros. */
export function formatNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** 1, "clip" → "1 clip"; 2, "clip" → "2 clips". */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

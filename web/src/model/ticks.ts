/** Round tick positions (1, 2 or 5 times a power of ten) of a window, at most `most` of them. */
export function ticks(from: number, to: number, most: number): number[] {
  const span = to - from;
  if (!(span > 0) || most < 1) return [];
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999999) ?? power * 10;
  const out: number[] = [];
  for (let i = Math.ceil(from / step); i * step <= to && out.length <= most + 1; i++) out.push(i * step);
  return out;
}

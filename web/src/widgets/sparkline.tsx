/** A line of values in a fixed box. Gaps (null) stay gaps. The number beside it is the text twin, so it is hidden from screen readers. */
export function Sparkline(props: { values: (number | null)[]; tone: 'plain' | 'error' | 'time'; width?: number; height?: number }) {
  const width = props.width ?? 96;
  const height = props.height ?? 22;
  const { values } = props;
  const top = Math.max(...values.map((v) => v ?? 0), 0);
  if (values.length < 2 || top <= 0) {
    return (
      <svg class={`spark ${props.tone}`} width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        <line x1="0" y1={height - 1.5} x2={width} y2={height - 1.5} class="spark-zero" />
      </svg>
    );
  }
  const x = (i: number): number => (i / (values.length - 1)) * (width - 2) + 1;
  const y = (v: number): number => height - 2 - (v / top) * (height - 4);
  let line = '';
  let area = '';
  let run: number[] = [];
  const close = (): void => {
    if (run.length === 0) return;
    const points = run.map((i) => `${x(i).toFixed(1)} ${y(values[i] ?? 0).toFixed(1)}`);
    // A lone value is a short dash, or it could not be seen.
    line += run.length === 1 ? `M${points[0]}h1.5` : `M${points.join('L')}`;
    if (run.length > 1) area += `M${x(run[0]).toFixed(1)} ${height - 1}L${points.join('L')}L${x(run[run.length - 1]).toFixed(1)} ${height - 1}Z`;
    run = [];
  };
  values.forEach((v, i) => (v === null ? close() : run.push(i)));
  close();
  return (
    <svg class={`spark ${props.tone}`} width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
      <path d={area} class="spark-area" />
      <path d={line} class="spark-line" />
    </svg>
  );
}

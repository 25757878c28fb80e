/**
 * Line charts as inline SVG: thin lines, a quiet grid, names at the lines' ends, values under the pointer (read from
 * a data attribute by the report's script). Colours are CSS variables, so that light and dark share one drawing.
 */

export interface Series {
  readonly name: string;
  /** `--series-1` ... without dashes: 1 to 6. */
  readonly colour: number;
  readonly points: readonly { readonly step: number; readonly value: number }[];
  /** Also draw the raw values, pale, under a smoothed line. */
  readonly smooth: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly note: string;
  readonly series: readonly Series[];
  readonly steps: number;
  /** A level worth comparing with, such as 1/sqrt(D). */
  readonly reference?: { readonly value: number; readonly name: string } | null;
  readonly fromZero?: boolean;
}

const width = 560;
const height = 240;
const margin = { left: 52, right: 96, top: 12, bottom: 28 };
const mostPoints = 400;

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** `1,234`, `0.0123`, `3.2e-5`: three or four digits that matter. */
export function formatNumber(v: number): string {
  if (!Number.isFinite(v)) return String(v);
  const size = Math.abs(v);
  if (size === 0) return '0';
  if (size >= 1000) return Math.round(v).toLocaleString('en-US');
  if (size >= 100) return String(Number(v.toFixed(1)));
  if (size >= 1) return String(Number(v.toFixed(2)));
  if (size >= 0.001) return String(Number(v.toPrecision(3)));
  return v.toExponential(1);
}

/** A figure with a title, the chart and its note. */
export function lineChart({ title, note, series, steps, reference = null, fromZero = false }: ChartOptions): string {
  const drawn = series.map((s) => ({ ...s, points: thin(s.points.filter((p) => Number.isFinite(p.value))) })).filter((s) => s.points.length > 0);
  if (drawn.length === 0) return '';
  const shown = drawn.map((s) => ({ ...s, line: s.smooth ? smoothed(s.points) : s.points }));
  const range = extent(shown.flatMap((s) => s.line.slice(s.smooth ? Math.floor(s.line.length / 50) : 0).map((p) => p.value)), reference?.value ?? null, fromZero);
  const ticks = niceTicks(range.low, range.high, 4);
  const low = Math.min(range.low, ticks[0]);
  const high = Math.max(range.high, ticks[ticks.length - 1]);
  const x = (step: number): number => margin.left + (step / Math.max(steps, 1)) * (width - margin.left - margin.right);
  const y = (value: number): number => height - margin.bottom - ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (height - margin.top - margin.bottom);
  const path = (points: Series['points']): string => points.map((p, i) => `${i === 0 ? 'M' : 'L'}${x(p.step).toFixed(1)} ${y(p.value).toFixed(1)}`).join('');
  const grid = ticks.map((t) => `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(t).toFixed(1)}" y2="${y(t).toFixed(1)}"/><text class="tick" x="${margin.left - 8}" y="${(y(t) + 4).toFixed(1)}" text-anchor="end">${formatNumber(t)}</text>`).join('');
  const stepTicks = niceTicks(0, steps, 5).filter((t) => t <= steps).map((t) => `<text class="tick" x="${x(t).toFixed(1)}" y="${height - 8}" text-anchor="middle">${formatNumber(t)}</text>`).join('');
  const lines = shown.map((s) => `${s.smooth && s.points.length > 20 ? `<path class="raw s${s.colour}" d="${path(s.points)}"/>` : ''}<path class="line s${s.colour}" d="${path(s.line)}"/>`).join('');
  const ends = spaced(shown.map((s) => ({ y: y(s.line[s.line.length - 1].value), text: shown.length > 1 || s.name !== '' ? s.name : '', value: s.line[s.line.length - 1].value, colour: s.colour, x: x(s.line[s.line.length - 1].step) })));
  const labels = ends.map((e) => `<circle class="end s${e.colour}" cx="${e.x.toFixed(1)}" cy="${e.y.toFixed(1)}" r="3.5"/><text class="name" x="${(e.x + 9).toFixed(1)}" y="${(e.at + 4).toFixed(1)}"><tspan class="strong">${formatNumber(e.value)}</tspan> ${escapeHtml(e.text)}</text>`).join('');
  const level = reference === null ? '' : `<line class="reference" x1="${margin.left}" x2="${width - margin.right}" y1="${y(reference.value).toFixed(1)}" y2="${y(reference.value).toFixed(1)}"/><text class="tick" x="${margin.left + 6}" y="${(y(reference.value) - 6).toFixed(1)}">${escapeHtml(reference.name)}</text>`;
  const data = JSON.stringify({ x0: margin.left, x1: width - margin.right, steps, series: shown.map((s) => ({ n: s.name, c: s.colour, p: s.line.map((p) => [p.step, Number(p.value.toPrecision(5)), Number(y(p.value).toFixed(1))]) })) });
  return `<figure class="card"><figcaption><h3>${escapeHtml(title)}</h3><p>${escapeHtml(note)}</p></figcaption>
<svg class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}" data-chart="${escapeHtml(data)}">${grid}${stepTicks}${level}${lines}${labels}<g class="cursor"></g></svg></figure>`;
}

/** At most `mostPoints` points, each the mean of its part. */
function thin(points: Series['points']): Series['points'] {
  if (points.length <= mostPoints) return points;
  const size = points.length / mostPoints;
  return Array.from({ length: mostPoints }, (_, i) => {
    const part = points.slice(Math.floor(i * size), Math.floor((i + 1) * size));
    return { step: part[part.length - 1].step, value: part.reduce((a, p) => a + p.value, 0) / part.length };
  });
}

/** Exponential moving average with its start corrected; looks back about a fortieth of the points. */
function smoothed(points: Series['points']): Series['points'] {
  const keep = 1 - 1 / Math.max(1, points.length / 40);
  let mean = 0;
  let weight = 0;
  return points.map((p) => {
    mean = keep * mean + (1 - keep) * p.value;
    weight = keep * weight + (1 - keep);
    return { step: p.step, value: mean / weight };
  });
}

function extent(values: readonly number[], reference: number | null, fromZero: boolean): { readonly low: number; readonly high: number } {
  let low = Infinity;
  let high = -Infinity;
  for (const v of reference === null ? values : [...values, reference]) {
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  if (fromZero) low = Math.min(0, low);
  if (high - low < 1e-9 * Math.max(1, Math.abs(high))) return { low: low - Math.max(Math.abs(low) * 0.05, 1e-3), high: high + Math.max(Math.abs(high) * 0.05, 1e-3) };
  return { low, high: high + 0.04 * (high - low) };
}

/** Round levels that cover a range. */
export function niceTicks(low: number, high: number, count: number): readonly number[] {
  const rough = Math.max(high - low, 1e-12) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999) ?? 10 * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Moves labels apart so that none covers another. */
function spaced<T extends { readonly y: number }>(items: readonly T[]): readonly (T & { readonly at: number })[] {
  const placed: (T & { readonly at: number })[] = [];
  let last = -Infinity;
  for (const item of [...items].sort((a, b) => a.y - b.y)) {
    last = Math.max(item.y, last + 14);
    placed.push({ ...item, at: last });
  }
  const over = last - (height - margin.bottom);
  return over > 0 ? placed.map((p) => ({ ...p, at: p.at - over })) : placed;
}

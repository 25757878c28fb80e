/** The report's pictures: nearest neighbours of held-out examples, and the map of embeddings. */
import type { ModelInput } from '../../compiler/plan/manifest.js';
import { allocateInput, elementsOf, type DataSet, type Split } from '../data/data-set.js';
import type { SplitFeatures } from '../evaluate/evaluate.js';
import { nearestNeighbours } from '../evaluate/nearest.js';
import { splitMix } from '../train/data-order.js';
import { escapeHtml } from './chart.js';
import { layoutPoints } from './layout.js';
import { dataUri, sheet, thumbnail, type Picture } from './png.js';

const queries = 10;
const neighbours = 11;
const mapPoints = 800;
const classColours = ['#4e79a7', '#f28e2b', '#59a14f', '#e15759', '#b07aa1', '#2fa5a0', '#d4a72c', '#ff8593', '#9c755f', '#8a8f98'];

/** Rows of an input as pictures, or null when it holds none. */
async function picturesOf(split: Split, input: ModelInput, indices: readonly number[]): Promise<readonly Picture[] | null> {
  const [height, width, channels] = input.shape;
  if (input.element !== 'u8' || input.shape.length !== 3 || (channels !== 1 && channels !== 3)) return null;
  const rows = allocateInput(input, indices.length);
  await split.rows(indices, { [input.name]: rows });
  const size = elementsOf(input);
  return indices.map((_, i) => ({ width, height, channels, pixels: Uint8Array.from(rows.subarray(i * size, (i + 1) * size)) }));
}

function labelOf(data: DataSet, split: Split, index: number): string {
  const label = split.labels === null ? null : split.labels[index];
  return label === null ? (split.exampleNames?.[index] ?? '') : (data.classNames?.[label] ?? String(label));
}

/** Held-out examples, one of each class in turn, with their nearest training examples; for pairs, with the other drawings. */
export async function neighbourRows(data: DataSet, features: SplitFeatures, seed: number): Promise<string> {
  const test = data.test ?? data.train;
  const chosen = chooseQueries(test, features.test.rows, seed);
  const size = features.test.size;
  const asked = { rows: chosen.length, size, values: new Float32Array(chosen.length * size) };
  chosen.forEach((q, i) => asked.values.set(features.test.values.subarray(q * size, (q + 1) * size), i * size));
  const { partner } = features;
  const bankSplit = partner === null ? data.train : test;
  const bank = partner === null ? features.train : partner.test;
  const input = data.info.inputs[0];
  const bankInput = partner === null ? input : data.info.inputs[1];
  const exclude = data.test === null && partner === null ? Int32Array.from(chosen) : null;
  const near = await nearestNeighbours(bank, asked, neighbours, true, exclude);
  const left = await picturesOf(test, input, chosen);
  const right = await picturesOf(bankSplit, bankInput, [...near.indices]);
  if (left === null || right === null) return '';
  const figure = (picture: Picture, caption: string, kind: string): string =>
    `<figure class="${kind}"><img alt="${escapeHtml(caption)}" src="${dataUri(thumbnail(picture, 64))}"><figcaption title="${escapeHtml(caption)}">${escapeHtml(caption)}</figcaption></figure>`;
  const rows = chosen.map((q, i) => {
    const found = Array.from({ length: near.k }, (_, j) => {
      const index = near.indices[i * near.k + j];
      const caption = partner === null ? labelOf(data, bankSplit, index) : (bankSplit.exampleNames?.[index] ?? '');
      const kind = partner !== null ? (index === q ? 'hit' : '') : bankSplit.labels !== null && test.labels !== null && bankSplit.labels[index] !== test.labels[q] ? 'wrong' : '';
      return figure(right[i * near.k + j], caption, kind);
    });
    const caption = partner === null ? labelOf(data, test, q) : (test.exampleNames?.[q] ?? '');
    return `<div class="row">${figure(left[i], caption, 'query')}${found.join('')}</div>`;
  });
  const note = partner !== null
    ? 'Left, a held-out concept in the first drawing; then the nearest second drawings among held-out concepts. Framed in green: the same concept.'
    : `Left, ${data.test === null ? 'an' : 'a held-out'} example; then its nearest training examples by cosine of the embeddings.${bankSplit.labels === null ? '' : ' Framed in red: another class.'}`;
  return `<h2>Nearest neighbours</h2><div class="card"><p class="note" style="margin-bottom:14px">${note}</p><div class="scroll"><div class="pictures">${rows.join('')}</div></div></div>`;
}

function chooseQueries(test: Split, available: number, seed: number): readonly number[] {
  const next = splitMix(seed + 77);
  const order = Array.from({ length: available }, (_, i) => ({ i, key: next() })).sort((a, b) => a.key - b.key).map((e) => e.i);
  const labels = test.labels;
  if (labels === null) return order.slice(0, queries);
  const byClass = new Map<number, number[]>();
  for (const i of order) byClass.set(labels[i], [...(byClass.get(labels[i]) ?? []).slice(0, queries), i]);
  const classes = [...byClass.keys()].sort((a, b) => a - b);
  const chosen: number[] = [];
  for (let round = 0; chosen.length < Math.min(queries, available) && round < available; round++) {
    for (const c of classes) {
      const pick = byClass.get(c)?.[round];
      if (pick !== undefined && chosen.length < queries) chosen.push(pick);
    }
    if (classes.every((c) => (byClass.get(c)?.length ?? 0) <= round)) break;
  }
  return chosen;
}

/** The map: up to 800 held-out embeddings on a plane, coloured by class, with the picture under the pointer. */
export async function embeddingMap(data: DataSet, features: SplitFeatures): Promise<string> {
  const test = data.test ?? data.train;
  const count = Math.min(mapPoints, features.test.rows);
  if (count < 8) return '';
  const size = features.test.size;
  const points = layoutPoints({ rows: count, size, values: features.test.values.slice(0, count * size) });
  const numbers = Array.from({ length: count }, (_, i) => i);
  const pictures = await picturesOf(test, data.info.inputs[0], numbers);
  const columns = 40;
  const atlas = pictures === null ? null : sheet(pictures.map((p) => thumbnail(p, 32)), columns);
  const cell = pictures === null ? null : thumbnail(pictures[0], 32);
  const classOf = (i: number): number => test.labels?.[i] ?? 0;
  const colour = (c: number): string => (test.labels === null ? 'var(--accent)' : classColours[c % classColours.length]);
  const side = 620;
  const dots = points.map((p, i) => `<circle cx="${(14 + p.x * (side - 28)).toFixed(1)}" cy="${(14 + p.y * (side - 28)).toFixed(1)}" r="4" fill="${colour(classOf(i))}" data-i="${i}" data-c="${classOf(i)}"/>`).join('');
  const names = numbers.map((i) => [labelOf(data, test, i), data.paired ? (test.exampleNames?.[i] ?? '') : ''].filter((n) => n !== '').join(': '));
  const legend = test.labels === null || data.classNames === null ? '' : `<ul class="legend">${data.classNames.slice(0, 24).map((n, c) => `<li data-c="${c}"><i style="background:${colour(c)}"></i>${escapeHtml(n)}</li>`).join('')}</ul>`;
  const peek = atlas === null || cell === null ? '<div class="peek"><span id="peek-text"></span></div>'
    : `<div class="peek"><div id="peek" style="background-image:url(${dataUri(atlas)});background-size:${columns * 96}px ${Math.ceil(count / columns) * 96}px"></div><span id="peek-text"></span></div>`;
  return `<h2>Map of the embeddings</h2><div class="card"><p class="note" style="margin-bottom:10px">${count.toLocaleString('en-US')} ${data.test === null ? '' : 'held-out '}examples by t-SNE of their embeddings. Classes were never seen in training; point at a dot to see its picture, at a name to see its class.</p>
<div class="map"><svg id="map" viewBox="0 0 ${side} ${side}" role="img" aria-label="Map of the embeddings" data-map="${escapeHtml(JSON.stringify({ columns: atlas === null ? 0 : columns, names }))}">${dots}</svg><div>${peek}${legend}</div></div></div>`;
}

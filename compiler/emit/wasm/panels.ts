/**
 * Matrix products over packed operands, after Goto and van de Geijn: left rows lie one after another in a worker's
 * memory, right columns in panels of `columns`, and a tile of rows x columns accumulates in registers.
 */
import type { FunctionBuilder, Local } from './binary.js';
import { I32, V128, op, simd } from './binary.js';
import type { Expressions } from './expressions.js';
import type { Node } from './graph.js';
import { laneCost, reachable } from './nest.js';
import { Strides } from './strides.js';

/** A register tile. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
}

/**
 * Tiles and what a multiply-add costs in them, measured against the best. Sums, a row of the right operand and an element of the
 * left must fit the 15 registers that V8 gives to vectors: with one more, or with the loop unrolled, a tile takes 1.6 times as long.
 */
export const tiles: readonly (Tile & { readonly cost: number })[] = [
  { rows: 3, columns: 12, cost: 1 }, { rows: 4, columns: 8, cost: 1.03 }, { rows: 2, columns: 16, cost: 1.03 },
  { rows: 7, columns: 4, cost: 1.2 }, { rows: 3, columns: 8, cost: 1.25 }, { rows: 6, columns: 4, cost: 1.3 }, { rows: 1, columns: 16, cost: 1.8 },
];

export const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** The tile that wastes least on a rows x columns product. */
export function chooseTile(rows: number, columns: number): Tile {
  let best: Tile = tiles[0];
  let least = Infinity;
  for (const t of tiles) {
    const cost = roundUp(rows, t.rows) * roundUp(columns, t.columns) * t.cost;
    if (cost < least) { least = cost; best = t; }
  }
  return { rows: best.rows, columns: best.columns };
}

/** Room in a worker's memory for what only the inner loop of a packing decides, worked out once for all outer rounds. */
export interface PackTables {
  readonly address: Node;
  /** The inner variable's first value, a multiple of four. */
  readonly begin: Node;
  /** Most iterations of the inner loop. */
  readonly length: number;
}

/** Tables a packing may use, and bytes to set aside for them. */
const mostTables = 8;
export const tableBytes = (length: number): number => mostTables * roundUp(length, 4) * 4;

/** Copies `value` over two loops to `address`; lanes run along whichever loop reads and writes with fewer detours. */
export function pack(e: Expressions, value: Node, address: Node, outer: PackLoop, inner: PackLoop, tables: PackTables | null = null): void {
  const addresses = [{ node: address, bytes: 4 }];
  const nodes = reachable([value, address]);
  const outerCost = laneCost(outer.variable, outer.extent, addresses, nodes);
  const innerCost = laneCost(inner.variable, inner.extent, addresses, nodes);
  const innerLanes = innerCost <= outerCost;
  if (tables !== null) value = keepInTables(e, value, inner, innerLanes, tables);
  const roots = [value, address];
  const innerLoop = (lanes: boolean): void => {
    inner.begin();
    e.f.set(inner.local);
    if (lanes) e.vectorLoop(inner.variable, inner.local, null, inner.pushEnd, roots, () => e.store([{ address, value, element: 'f32' }]));
    else e.loop(inner.variable, inner.local, inner.pushEnd, 1, roots, () => e.store([{ address, value, element: 'f32' }]));
  };
  outer.begin();
  e.f.set(outer.local);
  if (innerLanes) e.loop(outer.variable, outer.local, outer.pushEnd, 1, roots, () => innerLoop(true));
  else e.vectorLoop(outer.variable, outer.local, null, outer.pushEnd, roots, () => innerLoop(false));
}

/**
 * Index arithmetic with divisions that depends on the inner variable alone goes into tables. With lanes along the
 * inner loop only what all four lanes share, or what counts up along them, can be kept (an entry for four).
 */
function keepInTables(e: Expressions, value: Node, inner: PackLoop, lanes: boolean, tables: PackTables): Node {
  const { graph } = e;
  const own = inner.variable.variables;
  const strides = new Strides(lanes ? inner.variable : null, 0);
  const four = graph.int(4);
  const entry = lanes ? graph.linear([[graph.binary('idiv', 'i32', inner.variable, four), 1], [graph.binary('idiv', 'i32', tables.begin, four), -1]]) : graph.linear([[inner.variable, 1], [tables.begin, -1]]);
  const kept = new Map<Node, Node>();
  const stores: { address: Node; value: Node; element: 'i32' }[] = [];
  const divides = (n: Node): boolean => [...reachable([n])].some((d) => d.op === 'idiv' || d.op === 'mod');
  const keep = (n: Node): Node | null => {
    const known = kept.get(n);
    if (known !== undefined) return known;
    const stride = strides.of(n);
    if (stores.length === mostTables || stride === null) return null;
    const at = graph.linear([[tables.address, 1], [entry, 4]], stores.length * roundUp(tables.length, 4) * 4);
    stores.push({ address: at, value: n, element: 'i32' });
    const loaded = graph.kept(n, at);
    const made = stride === 0 ? loaded : graph.linear([[loaded, 1], [graph.binary('mod', 'i32', inner.variable, four), stride]]);
    kept.set(n, made);
    return made;
  };
  const result = graph.replace(value, (n) => {
    if (n.type !== 'i32' || (n.variables & own) === 0) return null;
    if (n.op === 'linear' && n.variables !== own) {
      const terms = n.args.map((a, i) => [a, n.coefficients[i]] as const);
      const part = graph.linear(terms.filter(([a]) => a.variables === own));
      if (part.op === 'const' || !divides(part)) return null;
      const made = keep(part);
      return made === null ? null : graph.linear([[made, 1], ...terms.filter(([a]) => a.variables !== own)], n.value);
    }
    return n.variables === own && n.op !== 'load' && divides(n) ? keep(n) : null;
  });
  if (stores.length === 0) return value;
  inner.begin();
  e.f.set(inner.local);
  // One entry for four lanes is the value of the first.
  e.loop(inner.variable, inner.local, inner.pushEnd, lanes ? 4 : 1, stores.flatMap((s) => [s.value, s.address]), () => e.store(stores));
  return result;
}

export interface PackLoop {
  readonly variable: Node;
  readonly local: Local;
  /** Most iterations, for choosing lanes. */
  readonly extent: number;
  readonly begin: () => void;
  readonly pushEnd: () => void;
}

export interface PanelProduct {
  readonly tile: Tile;
  /** Bytes between rows of the left operand and of the result, and between elements of a left row (4 where it is not said). */
  readonly leftStride: number;
  readonly leftStep?: number;
  readonly resultStride: number;
  /** Most elements of the summed axis in a panel: panels lie `depth * columns * 4` bytes apart. */
  readonly depth: number;
  /** First bytes, in locals. */
  readonly left: Local;
  readonly right: Local;
  readonly result: Local;
  readonly pushRows: () => void;
  readonly pushColumns: () => void;
  readonly pushDepth: () => void;
  /** Pushes 1 when the result holds a sum to add to. */
  readonly pushAdd: () => void;
  readonly relaxed: boolean;
}

/** result (+)= left * right for rows and columns rounded up to whole tiles. */
export function emitPanelProduct(f: FunctionBuilder, p: PanelProduct): void {
  const { rows, columns } = p.tile;
  const vectors = columns / 4;
  const v = (): Local => f.local(I32);
  const [row, column, a, b, end, c, panel] = [v(), v(), v(), v(), v(), v(), v()];
  const sums = Array.from({ length: rows * vectors }, () => f.local(V128));
  const rights = Array.from({ length: vectors }, () => f.local(V128));
  const left = f.local(V128);
  const depthBytes = f.local(I32);
  const step = (): void => {
    rights.forEach((r, j) => f.get(b).loadV(simd.load, j * 16).set(r));
    for (let i = 0; i < rows; i++) {
      f.get(a).loadV(simd.load32Splat, i * p.leftStride).set(left);
      for (let j = 0; j < vectors; j++) {
        const sum = sums[i * vectors + j];
        if (p.relaxed) f.get(left).get(rights[j]).get(sum).simd(simd.relaxedMadd).set(sum);
        else f.get(sum).get(left).get(rights[j]).simd(simd.f32mul).simd(simd.f32add).set(sum);
      }
    }
  };
  p.pushDepth();
  f.i32(columns * 4).op(op.i32mul).set(depthBytes);
  f.i32(0).set(column).get(p.right).set(panel);
  f.count(column, p.pushColumns, columns, () => {
    f.i32(0).set(row);
    f.count(row, p.pushRows, rows, () => {
      f.get(p.result).get(row).i32(p.resultStride).op(op.i32mul).op(op.i32add).get(column).i32(4).op(op.i32mul).op(op.i32add).set(c);
      p.pushAdd();
      f.if(
        () => sums.forEach((s, n) => f.get(c).loadV(simd.load, Math.floor(n / vectors) * p.resultStride + (n % vectors) * 16).set(s)),
        () => sums.forEach((s) => f.f32x4(0).set(s)),
      );
      f.get(p.left).get(row).i32(p.leftStride).op(op.i32mul).op(op.i32add).set(a);
      f.get(panel).tee(b).get(depthBytes).op(op.i32add).set(end);
      f.block(() => {
        f.get(b).get(end).op(op.i32eq).brIf(0);
        f.loop(() => {
          step();
          f.get(a).i32(p.leftStep ?? 4).op(op.i32add).set(a);
          f.get(b).i32(columns * 4).op(op.i32add).tee(b).get(end).op(op.i32ne).brIf(0);
        });
      });
      sums.forEach((s, n) => f.get(c).get(s).storeV(Math.floor(n / vectors) * p.resultStride + (n % vectors) * 16));
    });
    f.get(panel).i32(p.depth * columns * 4).op(op.i32add).set(panel);
  });
}

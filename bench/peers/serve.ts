/** The conversation between the benchmark and a peer: one JSON object a line, answered in order. Shared by the peers written in JavaScript. */
import { createInterface } from 'node:readline';
import type { ParameterSpec } from '../values.js';
import type { Work } from '../works.js';

export type Request =
  | { readonly op: 'hello' }
  | { readonly op: 'prepare'; readonly work: Work; readonly parameters: readonly ParameterSpec[] }
  | { readonly op: 'time'; readonly runs: number }
  | { readonly op: 'profile' }
  | { readonly op: 'release' };

/** What a peer says of a work it can do. */
export interface Prepared {
  /** The losses of the first two steps, or the sums of squares of the results, in the order of sslc's. */
  readonly check: readonly number[];
  /** Kernels, launches or dispatches of one run, where the peer knows. */
  readonly launches?: number;
  /** Milliseconds before the first run. */
  readonly compileMs: number;
}

/** What the launches of one class take in a run, each measured by itself. */
export interface ClassCost {
  readonly class: string;
  readonly launches: number;
  readonly ms: number;
  /** FLOPs, bytes moved and the least bytes of each launch, with its milliseconds: each is bound by one or the other. */
  readonly each: readonly { readonly ms: number; readonly flops: number; readonly bytes: number; readonly idealBytes: number }[];
}

export interface Runnable {
  readonly prepared: Prepared;
  /** One run, finished when it returns. */
  readonly run: () => Promise<void>;
  readonly close: () => Promise<void>;
  readonly profile?: () => Promise<readonly ClassCost[]>;
}

export interface Peer {
  readonly name: string;
  /** It computes on a GPU. */
  readonly gpu?: boolean;
  /** It has 16-bit floats. */
  readonly half?: boolean;
  /** Null when the peer cannot do the work. */
  readonly prepare: (work: Work, parameters: readonly ParameterSpec[]) => Promise<Runnable | null>;
  readonly parameters?: (work: Work) => Promise<readonly ParameterSpec[]>;
}

/** Answers requests until the input ends. */
export async function serve(peer: Peer): Promise<void> {
  let current: Runnable | null = null;
  const answer = async (request: Request): Promise<object> => {
    switch (request.op) {
      case 'hello': return { name: peer.name, gpu: peer.gpu === true, half: peer.half === true };
      case 'prepare': {
        await current?.close();
        const parameters = request.parameters.length === 0 && peer.parameters !== undefined ? await peer.parameters(request.work) : request.parameters;
        current = await peer.prepare(request.work, parameters);
        return current === null ? { unable: true } : { ...current.prepared, parameters };
      }
      case 'time': {
        const ms: number[] = [];
        for (let i = 0; i < request.runs && current !== null; i++) {
          const started = performance.now();
          await current.run();
          ms.push(performance.now() - started);
        }
        return { ms, peakBytes: process.resourceUsage().maxRSS * 1024 };
      }
      case 'profile': return { classes: (await current?.profile?.()) ?? [] };
      case 'release': await current?.close(); current = null; return {};
    }
  };
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Request))}\n`);
    } catch (error) {
      process.stdout.write(`${JSON.stringify({ error: error instanceof Error ? error.message.split('\n')[0] : String(error) })}\n`);
    }
  }
}

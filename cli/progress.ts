/**
 * The line that shows how training goes. On a terminal it is rewritten in place a few times a second; elsewhere a
 * line is written every few seconds, so that a log stays readable.
 */
import type { TrainEvent } from '../runtime/train/events.js';
import type { Context } from './outcome.js';
import { bold, faint } from './terminal.js';

type StepEvent = Extract<TrainEvent, { readonly kind: 'step' }>;

const quickly = 200;
const seldom = 5_000;

export interface Progress {
  readonly event: (event: TrainEvent) => void;
  /** A line above the progress line. */
  readonly say: (line: string) => void;
  /** Ends the progress line; the last state stays. */
  readonly end: () => void;
}

/** Shows the events of a run on stderr, or as JSON lines on stdout. `now` is a clock in milliseconds. */
export function showProgress(context: Context, now: () => number = Date.now): Progress {
  const { terminal, json } = context;
  let shown = -Infinity;
  let line = '';
  let pending: StepEvent | null = null;

  const clear = (): void => { if (terminal.interactive && line !== '') terminal.stderr('\r\u001b[2K'); };
  const draw = (event: StepEvent): void => {
    shown = now();
    pending = null;
    line = stepLine(event, terminal.interactive ? terminal.width - 1 : Infinity);
    if (terminal.interactive) terminal.stderr(`\r\u001b[2K${line}`);
    else terminal.stderr(`${line}\n`);
  };
  const say = (text: string): void => {
    if (json) return;
    clear();
    terminal.stderr(`${text}\n`);
    if (terminal.interactive && line !== '') terminal.stderr(line);
  };
  const event = (e: TrainEvent): void => {
    if (json) { context.event(asJson(e)); return; }
    switch (e.kind) {
      case 'step': {
        const wait = terminal.interactive ? quickly : seldom;
        if (now() - shown >= wait || e.step === e.steps) draw(e);
        else pending = e;
        return;
      }
      case 'started':
        if (e.resumedFrom !== null) say(`going on from step ${e.step} (${e.resumedFrom})`);
        return;
      case 'knn': say(`step ${e.step}  kNN accuracy ${bold(terminal, fixed(e.accuracy, 3))}  ${faint(terminal, `${e.protocol}, ${duration(e.seconds)}`)}`); return;
      case 'stage': say(`step ${e.step}  stage ${bold(terminal, e.name)}  ${faint(terminal, [duration(e.seconds), ...e.artifacts.map(artifactText)].join(', '))}`); return;
      case 'adopted': say(`weights of ${e.names.join(', ')} from ${e.path}`); return;
      case 'warning': say(`warning: ${e.diagnostic?.title ?? e.message}`); return;
      case 'collapse': say(`warning: ${e.diagnostic.title}`); return;
      case 'embedding': case 'checkpoint': case 'not-finite': case 'device': case 'interrupted': case 'finished': return;
    }
  };
  const end = (): void => {
    if (pending !== null && !json) draw(pending);
    if (terminal.interactive && line !== '') terminal.stderr('\n');
    line = '';
  };
  return { event, say, end };
}

/** `step 120/156  epoch 3.1  loss 4.231  1,240 images/s  0:41 left  std 0.71  rank 38.2/256`, as much as fits. */
export function stepLine(event: StepEvent, width: number): string {
  const { step, steps, epoch, loss, gap, reports, examplesPerSecond, secondsLeft, embedding } = event;
  const parts = [
    `step ${String(step).padStart(String(steps).length)}/${steps}`,
    // In brackets, how far it lies from the loss of a collapsed encoder.
    `loss ${fixed(loss, 4)}${gap === null ? '' : ` (${gap < 0 ? '' : '+'}${fixed(gap, 3)})`}`,
    `${Math.round(examplesPerSecond).toLocaleString('en-US')} images/s`,
    Number.isFinite(secondsLeft) ? `${duration(secondsLeft)} left` : '',
    // Of the coordinates of unit vectors: 1/sqrt(D) when spread over the sphere, 0 when collapsed.
    embedding === null ? '' : `std ${fixed(embedding.std, 3)}`,
    embedding === null ? '' : `rank ${fixed(embedding.rank, 1)}/${embedding.size}`,
    'gradient_norm' in reports ? `gradient ${reports['gradient_norm'].toPrecision(2)}` : '',
    `epoch ${fixed(epoch, 1)}`,
  ].filter((part) => part !== '');
  while (parts.length > 2 && parts.join('  ').length > width) parts.pop();
  return parts.join('  ');
}

/** `assignment 3f5a9c2e, 2,301 of 10,000 changed`. */
function artifactText({ name, sha256, changed, entries }: Extract<TrainEvent, { kind: 'stage' }>['artifacts'][number]): string {
  const moved = changed === null ? '' : `, ${changed.toLocaleString('en-US')} of ${entries.toLocaleString('en-US')} changed`;
  return `${name} ${sha256.slice(0, 8)}${moved}`;
}

/** `0:41`, `12:05`, `1:02:03`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : String(value);
}

/** Numbers that JSON has no word for become texts. */
function asJson(event: TrainEvent): Parameters<Context['event']>[0] {
  const { kind, ...rest } = event;
  return { event: kind, ...JSON.parse(JSON.stringify(rest, (_, value: unknown) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value))) };
}

/**
 * What every thread does with an entry: walk its launches in order, take tasks from a shared counter, and wait at
 * the end of each launch until all its tasks are done. Kept as text, because worker threads are started from it
 * and a bundle has no file of its own to start them from.
 *
 * Control words (i32): 0 run number, 1 threads still in the run, 2 launches of the run, 3 error flag; then, for launch
 * l, three words at 8 + 4 * l: next task, tasks done, (number of tasks, chunk) in words 2 and 3.
 */

/** `walk(control, functions, worker, spins)` as source text, shared by the main thread and the workers. */
export const walkText = `
function walk(control, functions, worker, spins) {
  const launches = Atomics.load(control, 2);
  for (let l = 0; l < launches; l++) {
    const at = 8 + 4 * l;
    const tasks = control[at + 2];
    const chunk = control[at + 3];
    for (;;) {
      if (Atomics.load(control, 3) !== 0) return;
      const first = Atomics.add(control, at, chunk);
      if (first >= tasks) break;
      const end = Math.min(first + chunk, tasks);
      functions[l](first, end, worker);
      if (Atomics.add(control, at + 1, end - first) + end - first === tasks) Atomics.notify(control, at + 1);
    }
    for (let spin = 0; ; spin++) {
      const done = Atomics.load(control, at + 1);
      if (done === tasks || Atomics.load(control, 3) !== 0) break;
      if (spin > spins) Atomics.wait(control, at + 1, done, 50);
    }
  }
}`;

/** The whole program of a worker thread. */
export const workerText = `
'use strict';
const { parentPort, workerData } = require('node:worker_threads');
${walkText}
const { worker } = workerData;
let entries = [];
parentPort.on('message', (message) => {
  if (message.kind === 'load') {
    const instance = new WebAssembly.Instance(message.module, { env: { memory: message.memory } });
    entries = message.entries.map((names) => names.map((name) => instance.exports[name]));
    parentPort.postMessage('ready');
    return;
  }
  // 'serve': runs follow one another through shared memory until the session ends.
  const control = message.control;
  let run = 0;
  for (;;) {
    for (let spin = 0; Atomics.load(control, 0) === run && spin < 2000; spin++);
    while (Atomics.load(control, 0) === run) Atomics.wait(control, 0, run);
    run = Atomics.load(control, 0);
    const entry = Atomics.load(control, 4);
    if (entry < 0) return;
    try {
      walk(control, entries[entry], worker, 4000);
    } catch (error) {
      Atomics.store(control, 3, 1);
    }
    if (Atomics.sub(control, 1, 1) === 1) Atomics.notify(control, 1);
  }
});
`;

/** The objectives of a check are elaborated once for each choice of settings and batch. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { rememberObjectives } from '../../compiler/check/remember-objectives.js';
import { elaborateObjectives } from '../../compiler/lower/collapse-program.js';
import { printProgram } from '../../compiler/tensor/print.js';
import { loaded, models, requestFor } from './harness.js';

test('once each, and as they are elaborated anew', () => {
  const program = loaded(readFileSync(join(models, 'vision', 'vicreg.ssl'), 'utf8'));
  const request = requestFor('vicreg', {});
  let times = 0;
  const elaborate = rememberObjectives(program, request, (...of) => { times++; return elaborateObjectives(...of); });
  const first = elaborate({}, 8);
  expect(elaborate({}, 8)).toBe(first);
  expect(times).toBe(1);
  elaborate({}, 16);
  elaborate({ width: '16' }, 8);
  expect(elaborate({ width: '16' }, 8)).not.toBe(first);
  expect(times).toBe(3);
  expect(printProgram(first.program)).toBe(printProgram(elaborateObjectives(program, request, 8, 'replaced').program));
});

/**
 * Every code the product can print, in one table. Codes are never reused: SSL0 syntax, 1 names, 2 types and
 * shapes, 3 meaning, 4 lowering and limits, 5 data and running, 9 ours. Each stage has its own file.
 */
import { syntaxCodes } from './catalog/syntax.js';
import { nameCodes } from './catalog/names.js';
import { typeCodes } from './catalog/types.js';
import { meaningCodes } from './catalog/meaning.js';
import { loweringCodes } from './catalog/lowering.js';
import { runningCodes } from './catalog/running.js';
import { sharingCodes } from './catalog/sharing.js';

export const catalog = {
  ...syntaxCodes,
  ...nameCodes,
  ...typeCodes,
  ...meaningCodes,
  ...loweringCodes,
  ...runningCodes,
  ...sharingCodes,
};

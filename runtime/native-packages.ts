/**
 * Packages with native code, imported when they are needed: most commands need none. A chunk of its own in the bundle, which Node itself
 * loads (`cli/load-chunks.ts`): only in a module of Node's can a package be imported.
 */
export const importWebgpu = async () => import('webgpu');
export const importSharp = async () => import('sharp');

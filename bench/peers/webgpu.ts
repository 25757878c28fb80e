/** Gives JavaScript libraries written for browsers the adapter that sslc uses, through Dawn's bindings for Node. */

/** Puts `navigator.gpu` in place and returns it. Keeps the object that owns the adapter referenced for the life of the process. */
export async function installWebGpu(): Promise<GPU> {
  const { create, globals } = await import('webgpu');
  const gpu = create(['backend=vulkan', 'enable-dawn-features=allow_unsafe_apis']);
  Object.assign(globalThis, globals, { keptGpu: gpu });
  Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' }, configurable: true, writable: true });
  return gpu;
}

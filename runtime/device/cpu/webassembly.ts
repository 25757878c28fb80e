/** The part of the WebAssembly JavaScript interface used here; TypeScript has it only among the browser's types. */
export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
}

/** Compiled code, which can be sent to workers. */
export interface WasmModule {
  readonly kind?: never;
}

export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>;
}

interface WebAssemblyInterface {
  readonly Memory: new (descriptor: { readonly initial: number; readonly maximum: number; readonly shared: boolean }) => WasmMemory;
  readonly Instance: new (module: WasmModule, imports: Readonly<Record<string, Readonly<Record<string, WasmMemory>>>>) => WasmInstance;
  readonly compile: (bytes: Uint8Array) => Promise<WasmModule>;
  readonly validate: (bytes: Uint8Array) => boolean;
}

export const webAssembly: WebAssemblyInterface = Reflect.get(globalThis, 'WebAssembly');

/** Names in scope: a chain of tables, innermost first. */
import type { Value } from './value.js';

export class Scope {
  private readonly names = new Map<string, Value>();

  constructor(private readonly parent: Scope | null) {}

  get(name: string): Value | null {
    return this.names.get(name) ?? this.parent?.get(name) ?? null;
  }

  set(name: string, value: Value): void {
    this.names.set(name, value);
  }

  hasOwn(name: string): boolean {
    return this.names.has(name);
  }

  /** Every visible name, for suggestions. */
  visible(): string[] {
    return [...new Set([...this.names.keys(), ...(this.parent?.visible() ?? [])])];
  }
}

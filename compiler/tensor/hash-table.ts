/**
 * A set of structures, each kept once and numbered in the order they came: a table with open addressing over hashes that
 * the caller makes. Compiling asks for equal structures all the time; keys of text would have to be made, kept and collected.
 */

/** Adds a number to a hash. */
export function mix(hash: number, n: number): number {
  const h = Math.imul(hash ^ n, 0x9e3779b1);
  return h ^ (h >>> 15);
}

/** A number for a float: small integers and small fractions each have their own. */
export function hashOfFloat(value: number): number {
  return (value | 0) ^ ((value * 0x100000) | 0);
}

export class HashTable<T> {
  private readonly items: T[] = [];
  private readonly hashes: number[] = [];
  /** Numbers plus one, at or after the place that the hash names. */
  private places = new Int32Array(64);

  constructor(private readonly equal: (a: T, b: T) => boolean) {}

  get size(): number {
    return this.items.length;
  }

  at(number: number): T {
    return this.items[number];
  }

  /** The number of the item equal to this one, which is kept if there is none. Equal items have equal hashes. */
  add(item: T, hash: number): number {
    let place = hash & (this.places.length - 1);
    for (; this.places[place] !== 0; place = (place + 1) & (this.places.length - 1)) {
      const number = this.places[place] - 1;
      if (this.hashes[number] === hash && this.equal(this.items[number], item)) return number;
    }
    this.items.push(item);
    this.hashes.push(hash);
    this.places[place] = this.items.length;
    if (this.items.length * 2 > this.places.length) this.grow();
    return this.items.length - 1;
  }

  private grow(): void {
    const places = new Int32Array(this.places.length * 2);
    this.hashes.forEach((hash, number) => {
      let place = hash & (places.length - 1);
      while (places[place] !== 0) place = (place + 1) & (places.length - 1);
      places[place] = number + 1;
    });
    this.places = places;
  }
}

/** A small PNG encoder (8 bits, grey or RGB), so that pictures can lie inside the report as data URIs. */
import { deflateSync } from 'node:zlib';

/** A picture: rows of pixels, 1 or 3 channels. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array;
}

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const b of bytes) c = table[(c ^ b) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function chunk(type: string, data: Uint8Array): Buffer {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  out.set(data, 8);
  out.writeUInt32BE(crc(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}

/** Bytes of a PNG file. */
export function encodePng({ width, height, channels, pixels }: Picture): Uint8Array {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, channels === 1 ? 0 : 2, 0, 0, 0], 8);
  const row = width * channels;
  const lines = Buffer.alloc((row + 1) * height);
  for (let y = 0; y < height; y++) lines.set(pixels.subarray(y * row, (y + 1) * row), y * (row + 1) + 1);
  return Buffer.concat([
    Buffer.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', head), chunk('IDAT', deflateSync(lines, { level: 9 })), chunk('IEND', new Uint8Array(0)),
  ]);
}

export function dataUri(picture: Picture): string {
  return `data:image/png;base64,${Buffer.from(encodePng(picture)).toString('base64')}`;
}

/** The same picture with no side longer than `limit`, averaged over squares. */
export function thumbnail(picture: Picture, limit: number): Picture {
  const factor = Math.ceil(Math.max(picture.width, picture.height) / limit);
  if (factor <= 1) return picture;
  const { channels } = picture;
  const width = Math.max(1, Math.floor(picture.width / factor));
  const height = Math.max(1, Math.floor(picture.height / factor));
  const pixels = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        let n = 0;
        for (let dy = 0; dy < factor && y * factor + dy < picture.height; dy++) {
          for (let dx = 0; dx < factor && x * factor + dx < picture.width; dx++) {
            sum += picture.pixels[((y * factor + dy) * picture.width + x * factor + dx) * channels + c];
            n++;
          }
        }
        pixels[(y * width + x) * channels + c] = Math.round(sum / n);
      }
    }
  }
  return { width, height, channels, pixels };
}

/** Pictures of one size side by side, `columns` to a row. */
export function sheet(pictures: readonly Picture[], columns: number): Picture {
  const { width, height, channels } = pictures[0];
  const rows = Math.ceil(pictures.length / columns);
  const pixels = new Uint8Array(columns * width * rows * height * channels);
  pictures.forEach((picture, i) => {
    const left = (i % columns) * width;
    const top = Math.floor(i / columns) * height;
    for (let y = 0; y < height; y++) {
      pixels.set(picture.pixels.subarray(y * width * channels, (y + 1) * width * channels), ((top + y) * columns * width + left) * channels);
    }
  });
  return { width: columns * width, height: rows * height, channels, pixels };
}

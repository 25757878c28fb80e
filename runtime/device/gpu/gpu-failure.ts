/** Remembers the first thing that went wrong on a device: Dawn only prints errors nobody waits for, and goes on. */
import { DeviceError } from '../device.js';

export class GpuFailure {
  private first: DeviceError | null = null;
  private closed = false;

  constructor(device: GPUDevice) {
    device.addEventListener('uncapturederror', (event) => {
      event.preventDefault(); // else it is printed as well
      this.record(errorOf(event.error));
    });
    void device.lost.then((info) => {
      if (this.closed || info.reason === 'destroyed') return;
      this.record(new DeviceError('lost', `the device was lost: ${info.message}. The last checkpoint is safe; resume from it`));
    });
  }

  /** The device is about to be destroyed on purpose. */
  closing(): void {
    this.closed = true;
  }

  record(error: DeviceError): void {
    this.first ??= error;
  }

  /** Throws what went wrong, if anything did. */
  check(): void {
    if (this.first !== null) throw this.first;
  }
}

/** A WebGPU error as a named event. */
export function errorOf(error: GPUError): DeviceError {
  const kind = error.constructor.name;
  if (/OutOfMemory/.test(kind) || /out of memory/i.test(error.message)) {
    return new DeviceError('out-of-memory', `the device is out of memory: ${error.message}. Use a smaller batch`);
  }
  return new DeviceError('validation', error.message);
}

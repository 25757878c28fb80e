/** What generated kernels look like. */
import { expect, it } from 'vitest';
import type { KernelProgram } from '../../compiler/fuse/kernel.js';
import { add, binary, float, index, int, mul, sub } from '../../compiler/tensor/scalar.js';
import { floatLiteral } from '../../compiler/emit/wgsl/names.js';
import { splitGroups } from '../../compiler/emit/wgsl/kernel-text.js';
import type { WgslOptions } from '../../compiler/emit/wgsl/emit-wgsl.js';
import { gpuOptions, planOf, softwareOptions } from './harness.js';
import { elementwise, product, reduction } from './kernels.js';

function textOf(kernels: KernelProgram, options: WgslOptions): string {
  const { code } = planOf(kernels, options);
  return code.target === 'wgsl' ? Object.values(code.modules).join('\n') : '';
}

it('an elementwise kernel', () => {
  const kernels = elementwise('relu', [8, 16, 3], 'f32', (b) => {
    const x = b.source('x', 'data', 'f32', [8, 16, 3], { span: { file: 'net.ssl', start: 10, end: 12 }, name: 'f.conv1.x' });
    const bias = b.source('bias', 'data', 'f32', [3], { span: null, name: 'f.conv1.bias' });
    return binary('max', add(b.identity(x), b.read(bias, [index(2)])), float(0));
  });
  expect(textOf(kernels, softwareOptions)).toMatchInlineSnapshot(`
    "// relu 00_y (map): y
    @group(0) @binding(0) var<storage, read_write> f_conv1_x_data: array<f32>;
    @group(0) @binding(1) var<storage, read_write> f_conv1_bias_data: array<f32>;
    @group(0) @binding(2) var<storage, read_write> y_data: array<f32>;

    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
      let group = i32(workgroup.x);
      let thread = i32(local);
      let point = group * 64 + thread;
      if (point >= 384) { return; }
      let x_at_0 = f_conv1_x_data[point];
      let i2 = point % 3;
      let bias_at_0 = f_conv1_bias_data[i2];
      y_data[point] = max((x_at_0 + bias_at_0), 0.0);
    }
    "
  `);
});

it('a guarded read', () => {
  const kernels = elementwise('shift', [8, 8], 'f32', (b) => {
    const x = b.source('x', 'data', 'f32', [8, 8], { span: null, name: 'image' });
    return mul(b.read(x, [sub(index(0), int(1)), add(index(1), int(2))], float(0)), float(0.5));
  });
  expect(textOf(kernels, softwareOptions)).toMatchInlineSnapshot(`
    "// shift 00_y (map): y
    @group(0) @binding(0) var<storage, read_write> image_data: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y_data: array<f32>;

    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
      let group = i32(workgroup.x);
      let thread = i32(local);
      let point = group * 64 + thread;
      if (point >= 64) { return; }
      let i1 = point % 8;
      let i0 = point / 8;
      let inside_0 = (i0 - 1) >= 0 && (i1 + 2) < 8;
      let image_at_0 = select(0.0, (image_data[select(0, (point - 6), inside_0)]), inside_0);
      y_data[point] = image_at_0 * 0.5;
    }
    "
  `);
});

it('a row a thread, and a workgroup a row', () => {
  expect(textOf(reduction('max', 100, [64], 'rows'), softwareOptions)).toMatchInlineSnapshot(`
    "// max_100_64_rows 00_y (reduce): y
    @group(0) @binding(0) var<storage, read_write> x_data: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y_data: array<f32>;
    @group(0) @binding(2) var<storage, read_write> both_data: array<f32>;

    @compute @workgroup_size(64)
    fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
      let group = i32(workgroup.x);
      let thread = i32(local);
      let start = min(group, 0);
      let point = group * 64 + thread;
      if (point >= 100) { return; }
      let v_0 = 64 * point;
      var largest_0_acc = -3.4028234e+38;
      var sum_1_acc = 0.0;
      for (var r0 = start; r0 < 64; r0++) {
        let x_at_0 = x_data[v_0 + r0];
        let value_0 = x_at_0 * x_at_0;
        largest_0_acc = max(largest_0_acc, x_at_0);
        sum_1_acc = sum_1_acc + value_0;
      }
      let total_0 = largest_0_acc;
      let total_1 = sum_1_acc;
      let result_0 = total_0 + total_1;
      y_data[point] = total_0;
      both_data[point] = result_0;
    }
    "
  `);
  expect(textOf(reduction('max', 100, [1024], 'rows'), gpuOptions)).toMatchInlineSnapshot(`
    "// max_100_1024_rows 00_y (reduce): y
    @group(0) @binding(0) var<storage, read_write> x_data: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y_data: array<f32>;
    @group(0) @binding(2) var<storage, read_write> both_data: array<f32>;
    var<workgroup> largest_0_acc_parts: array<f32, 256>;
    var<workgroup> sum_1_acc_parts: array<f32, 256>;

    @compute @workgroup_size(256)
    fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
      let group = i32(workgroup.x);
      let thread = i32(local);
      let lane = thread;
      let place = group;
      let point = min(place, 99);
      let v_0 = 1024 * point;
      var largest_0_acc = -3.4028234e+38;
      var sum_1_acc = 0.0;
      for (var r = lane; r < 1024; r += 256) {
        let x_at_0 = x_data[v_0 + r];
        let value_0 = x_at_0 * x_at_0;
        largest_0_acc = max(largest_0_acc, x_at_0);
        sum_1_acc = sum_1_acc + value_0;
      }
      largest_0_acc_parts[thread] = largest_0_acc;
      sum_1_acc_parts[thread] = sum_1_acc;
      workgroupBarrier();
      for (var half = 128; half > 0; half /= 2) {
        if (lane < half) {
          let other = thread + half;
          let largest_0_acc_other = largest_0_acc_parts[other];
          largest_0_acc = max(largest_0_acc, largest_0_acc_other);
          largest_0_acc_parts[thread] = largest_0_acc;
          let sum_1_acc_other = sum_1_acc_parts[other];
          sum_1_acc = sum_1_acc + sum_1_acc_other;
          sum_1_acc_parts[thread] = sum_1_acc;
        }
        workgroupBarrier();
      }
      if (lane == 0 && place < 100) {
        let total_0 = largest_0_acc;
        let total_1 = sum_1_acc;
        let result_0 = total_0 + total_1;
        y_data[point] = total_0;
        both_data[point] = result_0;
      }
    }
    "
  `);
});

it('a product in registers', () => {
  expect(textOf(product(1, 2, 4, 32, 'nt'), softwareOptions)).toMatchInlineSnapshot(`
    "// product_nt_1_2_4_32 00_y (contract): y
    @group(0) @binding(0) var<storage, read_write> a_data: array<f32>;
    @group(0) @binding(1) var<storage, read_write> b_data: array<f32>;
    @group(0) @binding(2) var<storage, read_write> net_bias_data: array<f32>;
    @group(0) @binding(3) var<storage, read_write> y_data: array<f32>;

    @compute @workgroup_size(8)
    fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
      let group = i32(workgroup.x);
      let thread = i32(local);
      let start = min(group, 0);
      let tile = group * 8 + thread;
      if (tile >= 2) { return; }
      let row_base = ((tile / 1) % 2) * 1;
      let column_base = (tile % 1) * 4;
      let batch = tile / 2;
      let row_0 = row_base;
      let v_0 = 32 * row_0;
      let column_0 = column_base;
      let v_1 = 32 * column_0;
      let column_1 = column_base + 1;
      let v_2 = 32 * column_1;
      let column_2 = column_base + 2;
      let v_3 = 32 * column_2;
      let column_3 = column_base + 3;
      let v_4 = 32 * column_3;
      var sum_0_0 = vec4f();
      for (var r0 = start; r0 < 32; r0++) {
        let a_at_0 = a_data[v_0 + r0];
        let b_at_0 = b_data[v_1 + r0];
        let b_at_1 = b_data[v_2 + r0];
        let b_at_2 = b_data[v_3 + r0];
        let b_at_3 = b_data[v_4 + r0];
        let right_vector_0 = vec4f(b_at_0, b_at_1, b_at_2, b_at_3);
        sum_0_0 += a_at_0 * right_vector_0;
      }
      var sums: array<f32, 4>;
      sums[0] = sum_0_0.x;
      sums[1] = sum_0_0.y;
      sums[2] = sum_0_0.z;
      sums[3] = sum_0_0.w;
      for (var i = 0; i < 1; i++) {
        let row = row_base + i;
        if (row >= 2) { break; }
        let v_5 = 4 * row;
        for (var j = 0; j < 4; j++) {
          let column = column_base + j;
          if (column >= 4) { break; }
          let total = sums[i * 4 + j];
          let bias_at_0 = net_bias_data[column];
          y_data[v_5 + column] = max((total + bias_at_0), 0.0);
        }
      }
    }
    "
  `);
});

it('float literals are exact and short', () => {
  expect([1, 0.1, -2.5, 1e-30, 16777216, 3.4028234663852886e38, 1 / 3, 1e10].map(floatLiteral)).toEqual(
    ['1.0', '0.1', '-2.5', '1e-30', '16777216.0', '3.4028234663852886e+38', '0.33333334', '10000000000.0']);
  expect(floatLiteral(1e39)).toBeNull();
});

it('workgroups above 65,535 are split', () => {
  for (const groups of [1, 65535, 65536, 70000, 5_000_000, 65535 * 65535, 5_000_000_000]) {
    const [x, y, z] = splitGroups(groups);
    expect(x * y * z).toBeGreaterThanOrEqual(groups);
    expect(Math.max(x, y, z)).toBeLessThanOrEqual(65535);
  }
});

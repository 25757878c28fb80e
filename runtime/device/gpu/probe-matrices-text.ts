/**
 * The part of the probing program that tries out matrix units, kept as text like the rest of it: `tryUnit(adapter, unit)` multiplies
 * small whole numbers, with operands by rows and by columns in workgroup memory, as generated kernels do, and throws if the result
 * is not exact.
 */
export const probeMatricesText = `
async function tryUnit(adapter, { componentType: type, M, N, K }) {
  const lanes = adapter.info.subgroupMaxSize;
  const code = [
    ...(type === 'f16' ? ['enable f16;'] : []), 'enable subgroups;', 'enable chromium_experimental_subgroup_matrix;', 'diagnostic(off, chromium.subgroup_matrix_uniformity);',
    '@group(0) @binding(0) var<storage, read_write> x: array<f32>;',
    'var<workgroup> a: array<' + type + ', ' + M * K + '>;', 'var<workgroup> at: array<' + type + ', ' + M * K + '>;',
    'var<workgroup> b: array<' + type + ', ' + N * K + '>;', 'var<workgroup> bt: array<' + type + ', ' + N * K + '>;', 'var<workgroup> c: array<f32, ' + M * N + '>;',
    '@compute @workgroup_size(' + lanes + ') fn main(@builtin(local_invocation_index) i: u32, @builtin(subgroup_id) subgroup: u32) {',
    '  for (var e = i; e < ' + M * K + 'u; e += ' + lanes + 'u) { let v = ' + type + '(x[e]); a[e] = v; at[(e % ' + K + 'u) * ' + M + 'u + e / ' + K + 'u] = v; }',
    '  for (var e = i; e < ' + K * N + 'u; e += ' + lanes + 'u) { let v = ' + type + '(x[' + M * K + 'u + e]); b[e] = v; bt[(e % ' + N + 'u) * ' + K + 'u + e / ' + N + 'u] = v; }',
    '  workgroupBarrier();',
    '  var sum = subgroup_matrix_result<f32, ' + N + ', ' + M + '>();',
    '  if (subgroup < 1u) {',
    '    let left = subgroupMatrixLoad<subgroup_matrix_left<' + type + ', ' + K + ', ' + M + '>, row_major>(&a, 0u, ' + K + 'u);',
    '    let right = subgroupMatrixLoad<subgroup_matrix_right<' + type + ', ' + N + ', ' + K + '>, row_major>(&b, 0u, ' + N + 'u);',
    '    sum = subgroupMatrixMultiplyAccumulate(left, right, sum);',
    '    let left_again = subgroupMatrixLoad<subgroup_matrix_left<' + type + ', ' + K + ', ' + M + '>, col_major>(&at, 0u, ' + M + 'u);',
    '    let right_again = subgroupMatrixLoad<subgroup_matrix_right<' + type + ', ' + N + ', ' + K + '>, col_major>(&bt, 0u, ' + K + 'u);',
    '    sum = subgroupMatrixMultiplyAccumulate(left_again, right_again, sum);',
    '    subgroupMatrixStore<row_major>(&c, 0u, sum, ' + N + 'u);',
    '  }',
    '  workgroupBarrier();',
    '  for (var e = i; e < ' + M * N + 'u; e += ' + lanes + 'u) { x[' + (M * K + K * N) + 'u + e] = c[e]; }',
    '}',
  ].join('\\n');
  const given = Float32Array.from({ length: M * K + K * N + M * N }, (_, i) => (i < M * K + K * N ? (i * 7 + (i >> 3)) % 61 - 30 : 0));
  // Not whole steps of 16-bit sums, which are 2 beyond 2,048.
  const expected = [];
  for (let m = 0; m < M; m++) for (let n = 0; n < N; n++) {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += given[m * K + k] * given[M * K + k * N + n];
    expected.push(2 * sum);
  }
  const wanted = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'].filter((f) => adapter.features.has(f));
  const device = await adapter.requestDevice({ requiredFeatures: wanted });
  const failed = new Promise((_, reject) => device.addEventListener('uncapturederror', (event) => reject(event.error)));
  failed.catch(() => undefined);
  const found = await Promise.race([failed, runOnce(device, code, given)]);
  const wrong = expected.findIndex((e, i) => found[M * K + K * N + i] !== e);
  if (wrong >= 0) throw new Error('it multiplies wrongly: expected ' + expected[wrong] + ' and found ' + found[M * K + K * N + wrong]);
  device.destroy();
}
`;

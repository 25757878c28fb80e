/** What `sslc compile --emit` can show, in the order of the passes. */
export const emissions = ['ast', 'types', 'tensor', 'kernels', 'wgsl', 'plan'] as const;
export type Emission = (typeof emissions)[number];

/** What `--dump-after` takes: `lower` is the program before any pass. The names of `passes` in the pipeline; a test compares. */
export const passNames = ['lower', 'simplify', 'phases', 'moments', 'partial sums', 'recompute'] as const;
export type PassName = (typeof passNames)[number];

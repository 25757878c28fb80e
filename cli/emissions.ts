/** What `sslc compile --emit` can show, in the order of the passes. */
export const emissions = ['ast', 'types', 'tensor', 'kernels', 'wgsl', 'plan'] as const;
export type Emission = (typeof emissions)[number];

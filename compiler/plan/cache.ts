/** The cache that bytes are counted with, and that what should stay near is chosen for. */

/** The last cache before memory: most processors and discrete GPUs of today have as much or more of it. */
export const cacheBytes = 16 << 20;

/** Workgroups that a GPU of the middle runs at a time. */
export const groupsAtATime = 128;

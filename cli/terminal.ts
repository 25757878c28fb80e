/**
 * What a command may know of the world: where to write, whether anyone is watching, which folder it stands in.
 * Data goes to stdout, everything else to stderr. Tests pass their own and read what was written.
 */
export interface Terminal {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** Colour on stderr: a terminal, and neither `NO_COLOR` nor a dumb one. */
  readonly color: boolean;
  /** stderr is a terminal: progress may rewrite its line. */
  readonly interactive: boolean;
  readonly width: number;
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** All of standard input, for `fmt -`. */
  readonly stdin: () => Promise<string>;
  /** Calls back on Ctrl-C until the returned function is called. */
  readonly onInterrupt: (handler: () => void) => () => void;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const environment = process.env;
  const interactive = process.stderr.isTTY === true && environment.TERM !== 'dumb';
  const noColor = (environment.NO_COLOR ?? '') !== '';
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    color: !noColor && (interactive || (environment.FORCE_COLOR ?? '0') !== '0'),
    interactive,
    width: process.stderr.columns ?? 100,
    directory: process.cwd(),
    environment,
    stdin: async () => {
      const pieces: Buffer[] = [];
      for await (const piece of process.stdin) pieces.push(Buffer.from(piece));
      return Buffer.concat(pieces).toString('utf8');
    },
    onInterrupt: (handler) => {
      process.on('SIGINT', handler);
      return () => void process.off('SIGINT', handler);
    },
  };
}

/** Bold, where colour is wanted. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.color ? `\u001b[1m${text}\u001b[22m` : text;
}

/** Faint, where colour is wanted. */
export function faint(terminal: Terminal, text: string): string {
  return terminal.color ? `\u001b[2m${text}\u001b[22m` : text;
}

const kFrame = /^\s*(?:at\s+\S|File ".*", line \d+|#\d+\s|\S+\(\S*\)$|\S+:\d+(?::\d+)?\b|from\s+\S+:\d+)/;

/** The innermost frames of a stack trace in the way of Java, JavaScript, Python, Go, .NET, PHP or Ruby, without line numbers: the same place in other builds is the same. */
export function top_frames(stack: string, most = 3): string[] {
  const lines = stack.split('\n').map((line) => line.trimEnd());
  const is_python = lines.some((line) => /^Traceback \(most recent call last\)/.test(line));
  // Python shows the code below each frame.
  const is_frame = is_python ? /^\s+File "/ : kFrame;
  const frames = lines.filter((line, i) => (i > 0 || line.startsWith(' ')) && is_frame.test(line)).map(plain);
  return (is_python ? frames.reverse() : frames).filter((frame) => frame !== '').slice(0, most);
}

function plain(line: string): string {
  return line
    .trim()
    .replace(/^at\s+/, '')
    .replace(/^File "(?:.*\/)?([^"/]+)", line \d+(?:, in )?/, '$1 ')
    .replace(/\+0x[0-9a-f]+/g, '')
    .replace(/:\d+(?::\d+)?(?=\)|\s|$)/g, '')
    .replace(/\s+line \d+$/, '')
    .trim();
}

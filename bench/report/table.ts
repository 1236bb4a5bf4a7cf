// Tables, for the terminal and for Markdown.

/** Columns padded to the same width, numbers to the right: the first column is text. */
export function terminalTable(head: string[], lines: string[][]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => (line[column] ?? "").length)));
  const padded = (cells: string[]) =>
    cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join("  ");
  return [padded(head), widths.map((width) => "-".repeat(width)).join("  "), ...lines.map(padded)].join("\n");
}

export function markdownTable(head: string[], lines: string[][]): string {
  const row = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [row(head), row(head.map((_, column) => (column === 0 ? "---" : "---:"))), ...lines.map(row)].join("\n");
}

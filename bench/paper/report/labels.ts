/** Places the names of lines at their ends, one below the other where they would cover each other. */
export interface Label {
  text: string;
  color: string;
  /** Pixels from the plot's upper left corner: of the line's end. */
  x: number;
  y: number;
}

const lineHeightPx = 14;
/** Of a wide system font at 12 px. */
const characterPx = 7.2;

export function widthPx(text: string): number {
  return text.length * characterPx;
}

/** The same labels, moved down or up by as little as keeps each from the others and all of them between 0 and `height`. */
export function spread(labels: readonly Label[], height: number): Label[] {
  const placed: Label[] = [];
  for (const label of [...labels].sort((a, b) => a.y - b.y)) {
    const neighbours = placed.filter((other) => overlap(other, label));
    const y = Math.max(label.y, ...neighbours.map((other) => other.y + lineHeightPx));
    placed.push({ ...label, y });
  }
  // What now lies below the plot moves up, and pushes what is above it.
  for (let i = placed.length - 1; i >= 0; i--) {
    const label = placed[i]!;
    const below = placed.slice(i + 1).filter((other) => overlap(other, label));
    label.y = Math.min(label.y, height, ...below.map((other) => other.y - lineHeightPx));
  }
  return placed;
}

function overlap(a: Label, b: Label): boolean {
  return a.x < b.x + widthPx(b.text) + characterPx && b.x < a.x + widthPx(a.text) + characterPx;
}

/** Numbers as the report shows them; "–" where there is none. */
export const nothing = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Whole numbers with groups of three digits, two or three significant ones below a hundred. */
export function count(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return nothing;
  const size = Math.abs(value);
  if (size >= 100 || value === Math.round(value)) return grouped.format(value);
  return size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : String(Number(value.toPrecision(2)));
}

export function times(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return nothing;
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

export function percent(fraction: number): string {
  return `${Number((fraction * 100).toPrecision(3))}%`;
}

export function bytes(value: number): string {
  return value >= 1024 && value % 1024 === 0 ? `${value / 1024} KiB` : `${value} B`;
}

export function ratio(value: number | undefined, of: number | undefined): string {
  return value === undefined || of === undefined ? nothing : times(value / of);
}

export async function microsecondBenches(_names: readonly string[]): Promise<void> {}

// Draws the table of the benchmark as an SVG: a group of bars a row, one bar a
// side with a line over its spread, and the ratio. Rows of one unit share a scale.

const names = { tinygo: "authsignal-wasm by TinyGo", go: "by Go", official: "@authsignal/browser + qrcode" };
const colours = { tinygo: "#1f77b4", go: "#9cc3e0", official: "#ff7f0e" };

/** Returns the SVG of the summary of sdk.mjs; `caption` describes how it was measured. */
export function draw(table, caption) {
  const [left, width, right, bar, gap] = [330, 420, 240, 11, 14];
  const most = {};
  for (const row of table) most[row.unit] = Math.max(most[row.unit] ?? 0, ...Object.values(row.medians));
  const out = [];
  let y = 62;
  let unit;
  for (const row of table) {
    if (unit !== undefined && unit !== row.unit) y += gap;
    unit = row.unit;
    const middle = y + (Object.keys(names).length * bar) / 2 + 4;
    out.push(`<text x="${left - 10}" y="${middle}" text-anchor="end" font-size="12" fill="#222">${row.name.replace("  of it", "of it")}, ${row.unit}</text>`);
    for (const side in names) {
      const [median, spread] = [row.medians[side], row.spreads[side]];
      const at = (value) => (Math.max(0, value) / most[unit]) * width;
      out.push(`<rect x="${left}" y="${y}" width="${at(median).toFixed(1)}" height="${bar - 1}" fill="${colours[side]}"/>`);
      out.push(`<path d="M${(left + at(median - spread)).toFixed(1)} ${y + 5}h${at(2 * spread).toFixed(1)}" stroke="#222"/>`);
      out.push(`<text x="${(left + at(median + spread) + 4).toFixed(1)}" y="${y + 9}" font-size="9" fill="#444">${median.toFixed(median < 100 ? 1 : 0)}</text>`);
      y += bar;
    }
    const aim = row.aim ? `, aim ${row.aim.replace("<", "&lt;")}` : "";
    out.push(`<text x="${left + width + 60}" y="${middle}" font-size="12" fill="${row.met === false ? "#b00" : "#222"}">${row.ratios.tinygo.toFixed(2)} × official${aim}</text>`);
    y += gap;
  }
  let x = left;
  for (const side in names) {
    out.push(`<rect x="${x}" y="34" width="12" height="12" fill="${colours[side]}"/><text x="${x + 17}" y="44" font-size="12" fill="#222">${names[side]}</text>`);
    x += names[side].length * 6.5 + 40;
  }
  out.push(`<text x="${left}" y="20" font-size="12" fill="#444">${caption}; shorter is better</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${left + width + right} ${y + 10}" width="${left + width + right}" font-family="system-ui, sans-serif" role="img"><title>The browser SDK beside the official one</title><rect width="100%" height="100%" fill="#fff"/>
${out.join("\n")}
</svg>
`;
}

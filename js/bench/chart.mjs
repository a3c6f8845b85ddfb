// Draws the table of the benchmark as an SVG: a group of bars a row, one bar a
// side, and the ratio. Rows of one unit share a scale.

const names = { ours: "authsignal-wasm", official: "@authsignal/browser + qrcode", empty: "empty Go program" };
const colours = { ours: "#1f77b4", official: "#ff7f0e", empty: "#bbb" };

/** Gives the SVG of what sdk.mjs summarises; `caption` says how it was measured. */
export function draw(table, caption) {
  const [left, width, right, bar, gap] = [250, 420, 170, 11, 14];
  const most = {};
  for (const row of table) for (const side in names) most[row.unit] = Math.max(most[row.unit] ?? 0, row[side] ?? 0);
  const out = [];
  let y = 62;
  let unit;
  for (const row of table) {
    if (unit !== undefined && unit !== row.unit) y += gap;
    unit = row.unit;
    const sides = Object.keys(names).filter((side) => row[side] !== undefined);
    const middle = y + (sides.length * bar) / 2 + 4;
    out.push(`<text x="${left - 10}" y="${middle}" text-anchor="end" font-size="12" fill="#222">${row.name.trim()}, ${row.unit}</text>`);
    for (const side of sides) {
      const length = (row[side] / most[unit]) * width;
      out.push(`<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${bar - 1}" fill="${colours[side]}"/>`);
      out.push(`<text x="${(left + length + 4).toFixed(1)}" y="${y + 9}" font-size="9" fill="#444">${row[side].toFixed(row[side] < 100 ? 1 : 0)}</text>`);
      y += bar;
    }
    const missed = row.aim !== undefined && row.ratio > row.aim;
    const aim = row.aim === undefined ? "" : `, aim ${row.aim}`;
    out.push(
      `<text x="${left + width + 50}" y="${middle}" font-size="12" fill="${missed ? "#b00" : "#222"}">${row.ratio.toFixed(2)} × ${row.against}${aim}</text>`,
    );
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

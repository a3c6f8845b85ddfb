// What make soak calls growth. Its rounds are in make test-all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, soak } from "./soak.mjs";

const flat = { values: 50, memory: 8 << 20, heap: 3 << 20 };
const grown = (series) => judge(series).filter(({ grew }) => grew).map(({ name }) => name);

test("what wavers or grows in the warm-up has not grown, and what is kept each round has", () => {
  const wavering = Array.from({ length: 40 }, (_, i) => ({ ...flat, heap: flat.heap + (i % 2) * 1e6, memory: i < 10 ? 0 : flat.memory }));
  assert.deepEqual(grown(wavering), []);
  for (const [name, each] of [["values", 1], ["memory", 65_536], ["heap", 20_000]]) {
    assert.deepEqual(grown(Array.from({ length: 40 }, (_, i) => ({ ...flat, [name]: flat[name] + i * each }))), [name]);
  }
});

for (const level of ["wrapper", "raw"]) {
  test(`a short soak of the ${level} gives its values back`, async () => {
    const series = await soak(level, 40);
    assert.equal(series.length, 40);
    for (const { values, memory, heap } of series) assert.ok(values > 7 && memory > 1e6 && heap > 1e5);
    // The program's collector lets go of a value rounds after its last use. By
    // the second half it has, and gives their places to new ones.
    const values = series.map(({ values }) => values);
    assert.ok(values[39] - values[19] < 5 * (values[1] - values[0]), JSON.stringify(values));
  });
}

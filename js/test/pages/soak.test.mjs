// The definition of growth of make soak, whose rounds are in make test-all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { judge, soak } from "../lib/soak.mjs";

const flat = { slots: 50, ids: 40, instances: 1, memory: 8 << 20, heap: 3 << 20 };
const series = (change) => Array.from({ length: 40 }, (_, i) => ({ ...flat, ...change(i) }));
const grown = (series) =>
  judge(series)
    .filter(({ grew }) => grew)
    .map(({ name }) => name);

test("growth in the warm-up and fluctuation do not count as growth, an object kept each round does", () => {
  assert.deepEqual(grown(series((i) => ({ heap: flat.heap + (i % 2) * 1e6, memory: i < 10 ? 0 : flat.memory, ids: 40 + 100 * (i % 3) }))), []);
  for (const [name, each] of Object.entries({ slots: 6, ids: 6, instances: 1, memory: 65_536, heap: 20_000 })) {
    assert.deepEqual(grown(series((i) => ({ [name]: flat[name] + i * each }))), [name]);
  }
});

test("a new instance in the place of one that was called often is no growth, and one too many that lives on is", () => {
  const teeth = (i) => ({ slots: 500, ids: 40 + 70 * (i % 7), heap: flat.heap + 60_000 * (i % 7), memory: flat.memory + 65_536 * (i % 7) });
  assert.deepEqual(grown(series(teeth)), []);
  assert.deepEqual(grown(series((i) => ({ ...teeth(i), instances: i < 35 ? 1 : 2 }))), ["instances"]);
});

for (const level of ["wrapper", "raw"]) {
  test(`a short soak of the ${level} sees the instance that lives`, async () => {
    const samples = await soak(level, 40);
    assert.equal(samples.length, 40);
    for (const { slots, ids, instances, memory, heap } of samples) {
      assert.ok(slots > 7 && ids > 7 && ids <= slots && memory >= 65_536 && heap > 1e5, JSON.stringify(samples));
      assert.equal(instances, 1);
    }
  });
}

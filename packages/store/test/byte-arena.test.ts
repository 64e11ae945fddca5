/** Bytes in an arena are as they were put there, whatever their sizes, also after it was cleared and filled again. */
import { test } from 'tap';
import { ByteArena } from '../src/byte-arena.js';

const SIZES = [0, 1, 141, 70_000, 200_000, 256 * 1024, 300_000, 5, 1_048_576, 141];

test('all that was added can be looked at, round after round', async (t) => {
  const arena = new ByteArena();
  for (let round = 0; round < 5; round += 1) {
    const added = SIZES.map((size, i) => {
      const bytes = Buffer.alloc(size, 10 * round + i);
      return { bytes, place: arena.add(bytes) };
    });
    for (const { bytes, place } of added)
      t.ok(arena.view(place, bytes.length).equals(bytes), `${bytes.length} B`);
    t.equal(
      new Set(added.filter(({ bytes }) => bytes.length > 0).map(({ place }) => place)).size,
      SIZES.length - 1,
    );
    arena.clear();
  }
});

test('memory that was taken is used again', async (t) => {
  const arena = new ByteArena();
  const fill = (): void => {
    for (let i = 0; i < 10_000; i += 1) arena.add(Buffer.alloc(141, i));
  };
  fill();
  const before = process.memoryUsage().arrayBuffers;
  for (let round = 0; round < 20; round += 1) {
    arena.clear();
    fill();
  }
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < 1024 * 1024, `${grown} B more after twenty rounds`);
});

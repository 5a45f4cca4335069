// The hashes, the line and the split. See "A rollout" in docs/reference/porting.md.

const PLACE_SEED = 0x504c4143;
const SPLIT_SEED = 0x53504c54;
const MILLION = 1_000_000n;

export const utf8 = (text) => Buffer.from(text, "utf8");

const rotl = (number, by) => (number << by) | (number >>> (32 - by));

function mixed(k) {
  return Math.imul(rotl(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);
}

export function murmur3(bytes, seed) {
  let h = seed;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    h ^= mixed(bytes.readInt32LE(at));
    h = (Math.imul(rotl(h, 13), 5) + 0xe6546b64) | 0;
  }
  let k = 0;
  for (let last = bytes.length - 1; last >= at; last -= 1) k = (k << 8) | bytes[last];
  h ^= mixed(k);
  h ^= bytes.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function placeOf(salt, unit) {
  return Number((BigInt(murmur3(utf8(`${salt}/${unit}`), PLACE_SEED)) * MILLION) >> 32n);
}

function shareOf(low, high, ppm) {
  return Number((BigInt(high - low) * BigInt(ppm)) / MILLION);
}

export function isHeldBack(place, holdback, low, high) {
  return high - shareOf(low, high, holdback) <= place && place < high;
}

export function isExposed(place, exposure, low, high) {
  return low <= place && place < low + shareOf(low, high, exposure);
}

export function entryOf(place, levels, holdback, low, high) {
  if (isHeldBack(place, holdback, low, high)) return -1;
  const exposing = levels.filter((level) => isExposed(place, level, low, high));
  return exposing.length === 0 ? -2 : levels.indexOf(Math.min(...exposing));
}

// `split` is a Map from variant to weight. Gives null when no weight is above 0.
export function variantOf(split, salt, unit) {
  const names = [...split].filter(([, weight]) => weight > 0).map(([name]) => name);
  names.sort((one, other) => Buffer.compare(utf8(one), utf8(other)));
  if (names.length <= 1) return names.length === 0 ? null : names[0];
  let best = null;
  let least = Infinity;
  for (const name of names) {
    const h = murmur3(utf8(`${salt}/${unit}/${name}`), SPLIT_SEED);
    const score = -Math.log((h + 0.5) / 2 ** 32) / Number(split.get(name));
    if (score < least) {
      best = name;
      least = score;
    }
  }
  return best;
}

// BLAKE2b as RFC 7693 has it, with 8 bytes of output.
const WORD = (1n << 64n) - 1n;
const IV = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const SIGMA = [
  "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
  "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
].map((line) => [...line].map((digit) => parseInt(digit, 16)));
const MIXES = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];

const rotr = (word, by) => ((word >> by) | (word << (64n - by))) & WORD;

export function unitHash(key, unit) {
  const message = utf8(unit);
  const padded = key.length > 0 ? Buffer.concat([key, Buffer.alloc(128 - key.length), message]) : message;
  const h = [...IV];
  h[0] ^= 0x01010000n ^ (BigInt(key.length) << 8n) ^ 8n;
  const blocks = Math.max(1, Math.ceil(padded.length / 128));
  for (let block = 0; block < blocks; block += 1) {
    const bytes = Buffer.alloc(128);
    padded.copy(bytes, 0, block * 128);
    const last = block === blocks - 1;
    const v = [...h, ...IV];
    v[12] ^= BigInt(last ? padded.length : (block + 1) * 128);
    if (last) v[14] ^= WORD;
    for (let round = 0; round < 12; round += 1) {
      const order = SIGMA[round % 10];
      MIXES.forEach(([a, b, c, d], index) => {
        for (const [part, first, second] of [[0, 32n, 24n], [1, 16n, 63n]]) {
          v[a] = (v[a] + v[b] + bytes.readBigUInt64LE(8 * order[2 * index + part])) & WORD;
          v[d] = rotr(v[d] ^ v[a], first);
          v[c] = (v[c] + v[d]) & WORD;
          v[b] = rotr(v[b] ^ v[c], second);
        }
      });
    }
    for (let index = 0; index < 8; index += 1) h[index] ^= v[index] ^ v[index + 8];
  }
  const digest = Buffer.alloc(8);
  digest.writeBigUInt64LE(h[0]);
  return digest.toString("hex");
}

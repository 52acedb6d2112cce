// The browser's half of sightline_engines/wire.py: frames as binary messages.

export const SUBPROTOCOL = "sightline.v1";
export const HEADER_BYTES = 16;
const VERSION = 1;
const MAX_AGE_MS = 0xffff;

/**
 * Write the header into the first 16 bytes of `buffer`, in network byte order:
 * version u8 | flags u8 | age_ms u16 | seq u32 | captured_us u64
 */
export function writeHeader(buffer, { seq, capturedUs, ageMs }) {
  const view = new DataView(buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, 0);
  view.setUint16(2, Math.min(Math.max(Math.round(ageMs), 0), MAX_AGE_MS));
  view.setUint32(4, seq >>> 0);
  view.setBigUint64(8, BigInt(Math.max(0, Math.round(capturedUs))));
}

/** Return the largest size that fits into `limit` with the picture's aspect; never larger. */
export function fitInto([width, height], [limitWidth, limitHeight]) {
  const scale = Math.min(1, limitWidth / width, limitHeight / height);
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/* What a simulated device answers: the public functions of Modbus over registers and bits, without CRC or time. */
#ifndef BUS_DEVICE_H
#define BUS_DEVICE_H
#include <string.h>
#include "bus_state.h"

enum { DIAG_ECHO, DIAG_REFUSED, DIAG_SILENT };

static inline int be16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static void unit_init(struct unit_state *s, int port, int unit) {
  if (s->is_made) return;
  for (int i = 0; i < NREG; i++) { s->reg[i] = first_value(unit, port, i); s->bit[i] = first_bit(unit, port, i); }
  s->is_made = 1;
}
static int exc(uint8_t *o, int u, int fc, int code) { o[0] = u; o[1] = fc | 0x80; o[2] = code; return 3; }
static void put_register(struct unit_state *s, int a, uint16_t v) { s->reg[a] = v; __sync_fetch_and_add(&s->reg_writes[a], 1); }
static void put_bit(struct unit_state *s, int a, int v) { s->bit[a] = v; __sync_fetch_and_add(&s->bit_writes[a], 1); }
static int get_registers(const struct unit_state *s, int a, int c, uint8_t *o) {
  o[2] = 2 * c;
  for (int i = 0; i < c; i++) { o[3 + 2 * i] = s->reg[a + i] >> 8; o[4 + 2 * i] = s->reg[a + i]; }
  return 3 + o[2];
}
static int get_bits(const struct unit_state *s, int a, int c, uint8_t *o) {
  o[2] = (c + 7) / 8; memset(o + 3, 0, o[2]);
  for (int i = 0; i < c; i++) if (s->bit[a + i]) o[3 + i / 8] |= 1 << (i % 8);
  return 3 + o[2];
}
/* The answer's unit and PDU, without CRC; 0: no answer. Registers 9998 and 9999 count writes by functions 6 and 16. */
static int answer(struct unit_state *s, int diag, const uint8_t *q, int n, uint8_t *o) {
  int u = q[0], fc = q[1], a = n >= 6 ? be16(q + 2) : 0, c = n >= 6 ? be16(q + 4) : 0;
  o[0] = u; o[1] = fc;
  switch (fc) {
  case 1: case 2: case 3: case 4:
    if (n != 6) return 0;
    if (c < 1 || c > (fc < 3 ? 2000 : 125)) return exc(o, u, fc, 3);
    if (a + c > NREG) return exc(o, u, fc, 2);
    return fc < 3 ? get_bits(s, a, c, o) : get_registers(s, a, c, o);
  case 5:
    if (a >= NREG) return exc(o, u, fc, 2);
    if (c != 0 && c != 0xFF00) return exc(o, u, fc, 3);
    put_bit(s, a, c != 0); memcpy(o, q, 6); return 6;
  case 6:
    if (a >= NREG) return exc(o, u, fc, 2);
    put_register(s, a, c); s->reg[9998]++; memcpy(o, q, 6); return 6;
  case 8:
    if (diag == DIAG_SILENT) return 0;
    if (diag == DIAG_REFUSED || n < 4 || be16(q + 2)) return exc(o, u, fc, 1);
    memcpy(o, q, n); return n;
  case 15:
    if (n < 7 || n < 7 + (c + 7) / 8) return exc(o, u, fc, 3);
    if (a + c > NREG) return exc(o, u, fc, 2);
    for (int i = 0; i < c; i++) put_bit(s, a + i, q[7 + i / 8] >> (i % 8) & 1);
    memcpy(o, q, 6); return 6;
  case 16:
    if (n < 7 + 2 * c) return exc(o, u, fc, 3);
    if (a + c > NREG) return exc(o, u, fc, 2);
    for (int i = 0; i < c; i++) put_register(s, a + i, be16(q + 7 + 2 * i));
    s->reg[9999]++; memcpy(o, q, 6); return 6;
  case 22:
    if (n != 8) return exc(o, u, fc, 3);
    if (a >= NREG) return exc(o, u, fc, 2);
    put_register(s, a, (s->reg[a] & be16(q + 4)) | (be16(q + 6) & ~be16(q + 4))); memcpy(o, q, 8); return 8;
  case 23: {
    int wa = n >= 11 ? be16(q + 6) : 0, wc = n >= 11 ? be16(q + 8) : 0;
    if (n < 11 + 2 * wc || c < 1 || c > 125) return exc(o, u, fc, 3);
    if (a + c > NREG || wa + wc > NREG) return exc(o, u, fc, 2);
    for (int i = 0; i < wc; i++) put_register(s, wa + i, be16(q + 11 + 2 * i));
    return get_registers(s, a, c, o); }
  }
  return exc(o, u, fc, 1);
}
/* The length of a whole request (with CRC) as far as it can be told; 0: not yet known. */
static int want(const uint8_t *q, int n) {
  if (n < 2) return 0;
  switch (q[1]) {
  case 1: case 2: case 3: case 4: case 5: case 6: case 8: return 8;
  case 22: return 10;
  case 15: case 16: return n < 7 ? 0 : 9 + q[6];
  case 23: return n < 11 ? 0 : 13 + q[10];
  }
  return 0;
}
#endif

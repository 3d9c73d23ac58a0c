/* What the devices of a simulated bus hold, in memory that the load can map too.
 *
 * busim --state FILE writes it; mbcheck --state FILE reads from it what a device has really carried out, by a way that
 * does not lead through the gateway. One struct for each unit, those of port 0 first.
 */
#ifndef BUS_STATE_H
#define BUS_STATE_H
#include <stdint.h>

#define NREG 10000
#define MAXUNITS 248

struct unit_state {
  uint16_t reg[NREG];        /* holding and input registers are the same */
  uint8_t bit[NREG];         /* so are coils and discrete inputs */
  uint32_t reg_writes[NREG]; /* how often each has been written */
  uint32_t bit_writes[NREG];
  uint32_t is_made;
};

/* What a register holds until it is written: it tells its address. */
static inline uint16_t first_value(int unit, int port, int address) { return (uint16_t)(unit * 1000 + address + port * 100); }
/* The same of a bit: neighbours differ, so that 32 of them tell their address. */
static inline uint8_t first_bit(int unit, int port, int address) {
  uint32_t h = (uint32_t)first_value(unit, port, address) * 2654435761u;
  return (h ^ h >> 15) >> 11 & 1;
}
#endif

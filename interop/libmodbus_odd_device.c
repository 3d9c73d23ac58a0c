/* An RTU device on libmodbus that has registers which misbehave: unit 5, 100 holding registers with 2000 and their address.
 * Usage: libmodbus_odd_device TTY BAUD
 *   two registers from 10 or 11: it answers with one; from 20: exception 06; from 21: exception 03, at once
 *   from 30: it answers after 0.5 s; one register from 31: it pauses for 5 ms before each byte
 *   what libmodbus itself refuses it refuses after 0.5 s, for it waits until the wire is silent
 * Prints "ready" when it listens. build: gcc -O2 -o libmodbus_odd_device libmodbus_odd_device.c -lmodbus */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { UNIT = 5, SHORT = 10, ALSO_SHORT = 11, BUSY = 20, ILLEGAL = 21, SLOW = 30, DRIPPING = 31, COUNT = 100 };

static uint16_t crc16(const uint8_t *bytes, int count) {
  uint16_t crc = 0xFFFF;
  while (count--) {
    crc ^= *bytes++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1;
  }
  return crc;
}

static void drip(int terminal, uint16_t value) {
  uint8_t reply[7] = {UNIT, 3, 2, value >> 8, value & 0xFF};
  uint16_t crc = crc16(reply, 5);
  reply[5] = crc & 0xFF, reply[6] = crc >> 8;
  for (int i = 0; i < 7; i++) {
    usleep(5000);
    if (write(terminal, reply + i, 1) != 1) exit(1);
  }
}

static void answer(modbus_t *device, uint8_t *request, int length, modbus_mapping_t *tables) {
  int address = request[2] << 8 | request[3], count = request[4] << 8 | request[5];
  if (request[1] == MODBUS_FC_READ_HOLDING_REGISTERS) {
    if (address == BUSY || address == ILLEGAL) {
      modbus_reply_exception(device, request, address == BUSY ? 6 : 3);
      return;
    }
    if (address == DRIPPING && count == 1) {
      drip(modbus_get_socket(device), tables->tab_registers[DRIPPING]);
      return;
    }
    if ((address == SHORT || address == ALSO_SHORT) && count == 2) request[5] = 1;
    if (address == SLOW) usleep(500000);
  }
  modbus_reply(device, request, length, tables);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  modbus_t *device = modbus_new_rtu(argv[1], atoi(argv[2]), 'N', 8, 1);
  modbus_mapping_t *tables = modbus_mapping_new(COUNT, COUNT, COUNT, COUNT);
  uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
  if (!device || !tables || modbus_set_slave(device, UNIT) || modbus_connect(device)) {
    fprintf(stderr, "libmodbus_odd_device: %s\n", modbus_strerror(errno));
    return 1;
  }
  for (int i = 0; i < COUNT; i++) tables->tab_registers[i] = 2000 + i;
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int length = modbus_receive(device, request);
    if (length > 0) answer(device, request, length, tables);
  }
}

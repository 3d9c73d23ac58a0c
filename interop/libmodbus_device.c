/* An RTU device on libmodbus: four tables of 100 entries, unit 5. Usage: libmodbus_device TTY BAUD
 * Prints "ready" when it listens. build: gcc -O2 -o libmodbus_device libmodbus_device.c -lmodbus */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  modbus_t *device = modbus_new_rtu(argv[1], atoi(argv[2]), 'N', 8, 1);
  modbus_mapping_t *tables = modbus_mapping_new(100, 100, 100, 100);
  uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
  if (!device || !tables || modbus_set_slave(device, 5) || modbus_connect(device)) {
    fprintf(stderr, "libmodbus_device: %s\n", modbus_strerror(errno));
    return 1;
  }
  for (int i = 0; i < 100; i++) {
    tables->tab_input_registers[i] = 1000 + i;
    tables->tab_registers[i] = 2000 + i;
    tables->tab_input_bits[i] = i % 3 == 0;
    tables->tab_bits[i] = i % 2;
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int length = modbus_receive(device, request);
    if (length > 0) modbus_reply(device, request, length, tables);
  }
}

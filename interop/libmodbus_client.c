/* Reads and writes all four tables of unit 5 with libmodbus. Usage: libmodbus_client TCP_PORT | TTY; prints JSON.
 * build: gcc -O2 -o libmodbus_client libmodbus_client.c -lmodbus */
#include <errno.h>
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>

static modbus_t *client;

static void must(int done, const char *what) {
  if (done >= 0) return;
  fprintf(stderr, "libmodbus_client: %s: %s\n", what, modbus_strerror(errno));
  exit(1);
}

static void bits(int (*read)(modbus_t *, int, int, uint8_t *), const char *what) {
  uint8_t got[8];
  must(read(client, 0, 8, got), what);
  printf("[%d,%d,%d,%d,%d,%d,%d,%d],", got[0], got[1], got[2], got[3], got[4], got[5], got[6], got[7]);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  uint16_t got[4];
  client = argv[1][0] == '/' ? modbus_new_rtu(argv[1], 19200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", atoi(argv[1]));
  modbus_set_response_timeout(client, 2, 0);
  must(modbus_set_slave(client, 5), "unit");
  must(modbus_connect(client), "connect");
  printf("[");
  bits(modbus_read_bits, "coils");
  bits(modbus_read_input_bits, "discrete inputs");
  must(modbus_read_registers(client, 3, 2, got), "holding registers");
  printf("[%d,%d],", got[0], got[1]);
  must(modbus_read_input_registers(client, 3, 2, got), "input registers");
  printf("[%d,%d],", got[0], got[1]);
  must(modbus_write_bit(client, 2, 0), "write a coil");
  must(modbus_write_register(client, 7, 3000), "write a register");
  must(modbus_write_bits(client, 4, 4, (uint8_t[]){1, 0, 1, 0}), "write coils");
  must(modbus_write_registers(client, 9, 2, (uint16_t[]){2730, 3003}), "write registers");
  bits(modbus_read_bits, "coils again");
  must(modbus_read_registers(client, 7, 4, got), "holding registers again");
  printf("[%d,%d,%d,%d],", got[0], got[1], got[2], got[3]);
  if (modbus_read_registers(client, 65535, 1, got) != -1) return 3;
  printf("%d]\n", errno - MODBUS_ENOBASE);
  modbus_close(client);
  modbus_free(client);
}

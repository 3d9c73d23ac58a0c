/* mbcheck: Modbus TCP clients that read and write in turns, and prove each answer. Correctness, not speed.
 *
 *   mbcheck --target 127.0.0.1:1502 --conns 3 --functions 3,16 --seconds 20 [--replies N] [--units 1-1] [--port-index 0]
 *           [--count 4] [--pause-ms 0] [--fail-pause-ms 20] [--patience 60] [--state FILE] [--warm N]
 *
 * Each client has one request under way, on its own registers, at another address each time. A value that is read tells
 * its address, so another request's answer is wrong. A write puts in something new; when it is confirmed, the memory of
 * the device (--state, of busim; see bus_state.h) must hold it, else the confirmation is false. At the end no write may
 * have been carried out more often than it was sent. --warm N: wrong values are counted apart until N answers have come.
 * Prints one JSON line; status 1 where anything was wrong.
 * build: gcc -O2 -o mbcheck mbcheck.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "bus_state.h"

#define MAXC 12
#define BLOCK 400      /* addresses of one client's reads */
#define WRITES 5000    /* from here on the clients write, each at its own place */

struct client {
  int fd, number, unit, fc, addr, count, n, is_out;
  uint16_t tid, value;
  uint32_t before, round, reg_sent, bit_sent, reg_confirmed, bit_confirmed;
  double sent, next;
  uint8_t in[600];
} C[MAXC];

static struct sockaddr_in target = { .sin_family = AF_INET };
static int conns = 1, functions[16], nfunctions, u0 = 1, u1 = 1, port_index, count = 4;
static double seconds = 10, pause_s, fail_pause_s = 0.02, patience = 60;
static uint64_t max_replies = UINT64_MAX, warm;
static struct unit_state *state;
static uint64_t reads, confirmed, wrong, wrong_warm, false_confirmed, failed, refused, silent, closed, twice, sent;
static double longest, sum;

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static int is_write(int fc) { return fc == 5 || fc == 6 || fc == 16; }
static uint32_t carried_out(const struct client *c) {
  if (!state) return 0;
  return c->fc == 5 ? state[c->unit].bit_writes[c->addr] : state[c->unit].reg_writes[c->addr];
}
static void open_one(struct client *c) {
  int one = 1;
  c->n = c->is_out = 0;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c->fd, (struct sockaddr *)&target, sizeof target)) { close(c->fd); c->fd = -1; c->next = now() + 0.1; return; }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
}
static void lost(struct client *c, uint64_t *why) { ++*why; close(c->fd); c->fd = -1; c->next = now() + 0.1; }

/* What this client asks next; a function's addresses go round within its own. */
static int request(struct client *c, uint8_t *b) {
  uint32_t r = c->round++;
  int n = 6, fc = c->fc = functions[(r + c->number) % nfunctions];
  c->unit = u0 + c->number % (u1 - u0 + 1);
  c->count = fc < 3 ? 32 : fc == 16 ? 2 : fc < 5 ? count : 1;
  c->addr = is_write(fc) ? WRITES + c->number * 8 + (fc == 6 ? 4 : 0) : c->number * BLOCK + (int)(r / nfunctions % 8) * 40;
  c->value = fc == 16 ? 40000 + r % 20000 : (r / nfunctions) & 1;
  c->before = carried_out(c);
  b[0] = c->unit; b[1] = fc; b[2] = c->addr >> 8; b[3] = c->addr; b[4] = 0; b[5] = c->count;
  if (fc == 5) { b[4] = c->value ? 0xFF : 0; b[5] = 0; c->bit_sent++; }
  if (fc == 6) { b[4] = (7000 + c->value) >> 8; b[5] = 7000 + c->value; c->reg_sent++; }
  if (fc == 16) { b[6] = 4; b[7] = b[9] = c->value >> 8; b[8] = b[10] = c->value; n = 11; }
  return n;
}
static void ask(struct client *c, double t) {
  uint8_t b[64];
  int n = request(c, b + 6);
  c->tid++;
  b[0] = c->tid >> 8; b[1] = c->tid; b[2] = b[3] = b[4] = 0; b[5] = n;
  if (send(c->fd, b, 6 + n, MSG_NOSIGNAL) != 6 + n) { lost(c, &closed); return; }
  sent++; c->is_out = 1; c->sent = t;
}
static int is_right_read(const struct client *c, const uint8_t *p, int n) {
  int bytes = c->fc < 3 ? c->count / 8 : 2 * c->count;
  if (n != 3 + bytes || p[2] != bytes) return 0;
  for (int i = 0; i < c->count; i++) {
    if (c->fc < 3) { if ((p[3 + i / 8] >> i % 8 & 1) != first_bit(c->unit, port_index, c->addr + i)) return 0; }
    else if ((p[3 + 2 * i] << 8 | p[4 + 2 * i]) != first_value(c->unit, port_index, c->addr + i)) return 0;
  }
  return 1;
}
/* Whether the device holds what it is said to have taken, and has taken something since it was asked. */
static int is_carried_out(const struct client *c) {
  if (!state) return 1;
  const struct unit_state *s = &state[c->unit];
  if (carried_out(c) == c->before) return 0;
  if (c->fc == 5) return s->bit[c->addr] == c->value;
  if (c->fc == 6) return s->reg[c->addr] == 7000 + c->value;
  return s->reg[c->addr] == c->value && s->reg[c->addr + 1] == c->value;
}
/* An answer: p is unit and PDU. Returns whether the request has succeeded. */
static int judge(struct client *c, const uint8_t *p, int n, double t) {
  sum += t - c->sent;
  if (t - c->sent > longest) longest = t - c->sent;
  if (n >= 3 && p[1] == (c->fc | 0x80)) { if (p[2] == 10 || p[2] == 11 || p[2] == 6) failed++; else refused++; return 0; }
  int right = n >= 2 && p[0] == c->unit && p[1] == c->fc;
  uint64_t *bad = reads + confirmed < warm ? &wrong_warm : &wrong;
  if (is_write(c->fc)) {
    right = right && n == 6 && (p[2] << 8 | p[3]) == c->addr;
    if (!right) { ++*bad; return 0; }
    confirmed++;
    if (!is_carried_out(c)) false_confirmed++;
    if (c->fc == 5) c->bit_confirmed++; else if (c->fc == 6) c->reg_confirmed++;
  } else { reads++; if (!right || !is_right_read(c, p, n)) ++*bad; }
  return 1;
}
static void come(struct client *c, double t) {
  int r = recv(c->fd, c->in + c->n, sizeof c->in - c->n, 0);
  if (r <= 0) { if (r < 0 && errno == EAGAIN) return; lost(c, &closed); return; }
  c->n += r;
  while (c->n >= 6) {
    int len = 6 + (c->in[4] << 8 | c->in[5]);
    if (len > (int)sizeof c->in) { wrong++; lost(c, &closed); return; }
    if (c->n < len) return;
    if (!c->is_out || (c->in[0] << 8 | c->in[1]) != c->tid) wrong++;
    else { c->is_out = 0; c->next = t + (judge(c, c->in + 6, len - 6, t) ? pause_s : fail_pause_s); }
    memmove(c->in, c->in + len, c->n - len); c->n -= len;
  }
}
static double step(struct client *c, double t) {
  if (c->fd < 0 && t >= c->next) open_one(c);
  if (c->fd >= 0 && c->is_out && t - c->sent > patience) lost(c, &silent);
  if (c->fd >= 0 && !c->is_out && t >= c->next) ask(c, t);
  return c->is_out ? t + 0.1 : c->next;
}
/* No write may be carried out more often than it was sent, nor confirmed more often than it was carried out. */
static void settle(void) {
  for (int i = 0; state && i < conns; i++) {
    const struct client *c = &C[i];
    const struct unit_state *s = &state[u0 + i % (u1 - u0 + 1)];
    uint32_t regs = s->reg_writes[WRITES + i * 8 + 4], bits = s->bit_writes[WRITES + i * 8];
    twice += (regs > c->reg_sent ? regs - c->reg_sent : 0) + (bits > c->bit_sent ? bits - c->bit_sent : 0);
    if (c->reg_confirmed > regs) false_confirmed += c->reg_confirmed - regs;
    if (c->bit_confirmed > bits) false_confirmed += c->bit_confirmed - bits;
  }
}
static void map_state(const char *path) {
  int fd = open(path, O_RDONLY);
  size_t one = sizeof *state * MAXUNITS, size = one * (port_index + 1);
  char *at = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) { perror("mbcheck: --state"); exit(2); }
  state = (struct unit_state *)(at + one * port_index);
}
int main(int argc, char **argv) {
  const char *path = NULL;
  for (int i = 1; i < argc; i++) {
    char *a = argv[i], *v = i + 1 < argc ? argv[++i] : "";
    if (!strcmp(a, "--target")) { char host[64]; int port; if (sscanf(v, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &target.sin_addr) != 1) return 2; target.sin_port = htons(port); }
    else if (!strcmp(a, "--conns")) conns = atoi(v);
    else if (!strcmp(a, "--functions")) { for (char *s = strtok(v, ","); s && nfunctions < 16; s = strtok(NULL, ",")) functions[nfunctions++] = atoi(s); }
    else if (!strcmp(a, "--units")) sscanf(v, "%d-%d", &u0, &u1);
    else if (!strcmp(a, "--port-index")) port_index = atoi(v);
    else if (!strcmp(a, "--count")) count = atoi(v);
    else if (!strcmp(a, "--seconds")) seconds = atof(v);
    else if (!strcmp(a, "--replies")) max_replies = strtoull(v, NULL, 10);
    else if (!strcmp(a, "--warm")) warm = strtoull(v, NULL, 10);
    else if (!strcmp(a, "--pause-ms")) pause_s = atof(v) / 1000;
    else if (!strcmp(a, "--fail-pause-ms")) fail_pause_s = atof(v) / 1000;
    else if (!strcmp(a, "--patience")) patience = atof(v);
    else if (!strcmp(a, "--state")) path = v;
    else { fprintf(stderr, "mbcheck: unknown %s\n", a); return 2; }
  }
  if (!target.sin_port || conns < 1 || conns > MAXC || !nfunctions || count < 1 || count > 40 || u1 < u0) { fprintf(stderr, "mbcheck: give --target, --functions, and at most %d --conns and 40 --count\n", MAXC); return 2; }
  for (int i = 0; i < nfunctions; i++) if (functions[i] < 1 || (functions[i] > 6 && functions[i] != 16)) { fprintf(stderr, "mbcheck: functions are 1 to 6 and 16\n"); return 2; }
  if (path) map_state(path);
  double t0 = now(), end = t0 + seconds;
  for (int i = 0; i < conns; i++) { C[i].number = i; C[i].fd = -1; C[i].next = t0; }
  for (double t; (t = now()) < end && reads + confirmed < max_replies;) {
    struct pollfd fds[MAXC];
    double wake = end;
    for (int i = 0; i < conns; i++) { double w = step(&C[i], t); if (w < wake) wake = w; }
    for (int i = 0; i < conns; i++) fds[i] = (struct pollfd){ C[i].fd, POLLIN, 0 };
    double wait = wake - now();
    if (wait < 0) wait = 0;
    struct timespec ts = { (time_t)wait, (long)((wait - (time_t)wait) * 1e9) };
    if (ppoll(fds, conns, &ts, NULL) <= 0) continue;
    t = now();
    for (int i = 0; i < conns; i++) if (fds[i].revents && C[i].fd >= 0) come(&C[i], t);
  }
  double el = now() - t0;
  settle();
  uint64_t answers = reads + confirmed;
  printf("{\"answers\":%lu,\"reads\":%lu,\"confirmed\":%lu,\"wrong\":%lu,\"wrong_warm\":%lu,\"false\":%lu,\"twice\":%lu,\"failed\":%lu,\"refused\":%lu,"
    "\"silent\":%lu,\"closed\":%lu,\"sent\":%lu,\"elapsed\":%.3f,\"rps\":%.2f,\"mean_ms\":%.1f,\"max_ms\":%.1f}\n",
    answers, reads, confirmed, wrong, wrong_warm, false_confirmed, twice, failed, refused, silent, closed, sent, el, answers / el,
    answers + failed + refused ? sum * 1e3 / (answers + failed + refused) : 0, longest * 1e3);
  return wrong || wrong_warm || false_confirmed || twice;
}

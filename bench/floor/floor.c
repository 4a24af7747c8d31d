// The floor under every replicated operation on this machine: a client multicasts a datagram of 64 bytes on loopback to three
// echo processes and waits for all of their answers. One blocking receive and one send per datagram on every side: no event
// loop, no batching, no packing, no cryptography, no log. Squall is compared with this and never with itself.
//
//   floor echo   --group 239.255.1.1 --port 9000 --id 0 [--cpu 0] [--lifetime 120]
//   floor client --group 239.255.1.1 --port 9000 --echoes 3 --window 64 --seconds 2 [--warmup 0.2] [--cpu 0]
//   floor leader --group 239.255.1.1 --port 9000 --own 9001 [--cpu 0] [--lifetime 120]
//   floor exec   --cpu 0 -- command arguments...    (runs the command on this CPU: both sides are pinned by the same call)
//
// Two round trips, the floor under protocols with a leader: a client sends to a leader, `floor client --group 127.0.0.1 --port 9001 --echoes 1`;
// the leader multicasts to two backups, `floor echo` with the ids 1 and 2, and answers the client when the first of them has answered,
// for that and the leader itself are a majority of three.
//
// The client keeps `window` requests outstanding, each in a datagram of its own, and prints one line of JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kDatagramBytes = 64, kMaxWindow = 1024, kMaxSamples = 8 << 20, kResendMs = 50, kMaxEchoes = 9 };

typedef struct {
  uint32_t slot;
  uint32_t round;  // tells an answer to this use of the slot from one to an earlier use
  uint32_t echo;   // written by the echo process
  uint8_t padding[kDatagramBytes - 12];
} Message;
_Static_assert(sizeof(Message) == kDatagramBytes, "64 bytes on the wire");

typedef struct {
  const char* group;
  int port, own, id, echoes, window, cpu, lifetimeSeconds;
  double seconds, warmupSeconds;
} Options;

_Noreturn static void fail(const char* what) {
  fprintf(stderr, "floor: %s: %s\n", what, errno ? strerror(errno) : "invalid");
  exit(2);
}

static uint64_t nowNs(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pinTo(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("sched_setaffinity");
}

static struct sockaddr_in addressOf(const char* ip, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) fail("address");
  return address;
}

_Noreturn static void runEcho(const Options* o) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // never outlives the benchmark
  alarm((unsigned)o->lifetimeSeconds);
  int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, off = 0;
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in group = addressOf(o->group, o->port);
  if (bind(fd, (struct sockaddr*)&group, sizeof group)) fail("bind");
  struct ip_mreq membership = {.imr_multiaddr = group.sin_addr, .imr_interface = {htonl(INADDR_LOOPBACK)}};
  if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership)) fail("join");
  setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
  puts("ready");
  fflush(stdout);
  for (;;) {
    Message message;
    struct sockaddr_in from;
    socklen_t fromLength = sizeof from;
    ssize_t length = recvfrom(fd, &message, sizeof message, 0, (struct sockaddr*)&from, &fromLength);
    if (length != sizeof message) continue;
    message.echo = (uint32_t)o->id;
    sendto(fd, &message, sizeof message, 0, (struct sockaddr*)&from, fromLength);
  }
}

/// One socket for the client and the backups; an id that is not 0 tells an answer from a request.
_Noreturn static void runLeader(const Options* o) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm((unsigned)o->lifetimeSeconds);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) fail("socket");
  struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = loopback, .sin_port = htons((uint16_t)o->own)};
  if (bind(fd, (struct sockaddr*)&own, sizeof own)) fail("bind");
  if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback)) fail("multicast interface");
  struct sockaddr_in backups = addressOf(o->group, o->port);
  static struct sockaddr_in clients[kMaxWindow];
  static uint32_t rounds[kMaxWindow];  // that wait for a backup; 0: none
  puts("ready");
  fflush(stdout);
  for (;;) {
    Message message;
    struct sockaddr_in from;
    socklen_t fromLength = sizeof from;
    ssize_t length = recvfrom(fd, &message, sizeof message, 0, (struct sockaddr*)&from, &fromLength);
    if (length != sizeof message || message.slot >= kMaxWindow) continue;
    if (message.echo == 0) {
      clients[message.slot] = from;
      rounds[message.slot] = message.round;
      sendto(fd, &message, sizeof message, 0, (struct sockaddr*)&backups, sizeof backups);
    } else if (rounds[message.slot] == message.round) {
      rounds[message.slot] = 0;
      message.echo = 0;
      sendto(fd, &message, sizeof message, 0, (struct sockaddr*)&clients[message.slot], sizeof clients[message.slot]);
    }
  }
}

typedef struct {
  uint64_t firstSentNs, lastSentNs;
  uint32_t round, answered;  // answered: one bit an echo process
} Slot;

static Slot slots[kMaxWindow];
static uint32_t samplesNs[kMaxSamples];
static struct sockaddr_in target;
static int client;
static uint64_t resent;

static void transmit(uint32_t slot, uint64_t now) {
  Message message = {.slot = slot, .round = slots[slot].round};
  slots[slot].lastSentNs = now;
  if (sendto(client, &message, sizeof message, 0, (struct sockaddr*)&target, sizeof target) < 0 && errno != ECONNREFUSED && errno != ENOBUFS) fail("send");
}

static void begin(uint32_t slot) {
  uint64_t now = nowNs();
  slots[slot].round++;
  slots[slot].answered = 0;
  slots[slot].firstSentNs = now;
  transmit(slot, now);
}

/// A datagram may be lost when a socket's buffer is full: what waits for longer than kResendMs goes out again.
static void resendLate(int window) {
  uint64_t now = nowNs();
  for (int i = 0; i < window; i++) {
    if (now - slots[i].lastSentNs < (uint64_t)kResendMs * 1000000u) continue;
    transmit((uint32_t)i, now);
    resent++;
  }
}

static int ascending(const void* a, const void* b) {
  uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return (x > y) - (x < y);
}

static int runClient(const Options* o) {
  client = socket(AF_INET, SOCK_DGRAM, 0);
  if (client < 0) fail("socket");
  struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = loopback};
  if (bind(client, (struct sockaddr*)&own, sizeof own)) fail("bind");
  if (setsockopt(client, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback)) fail("multicast interface");
  struct timeval timeout = {.tv_usec = kResendMs * 1000};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  target = addressOf(o->group, o->port);

  uint64_t start = nowNs(), measureFrom = start + (uint64_t)(o->warmupSeconds * 1e9);
  uint64_t end = measureFrom + (uint64_t)(o->seconds * 1e9), answered = 0, completed = 0, receives = 0, now = start;
  uint32_t all = (1u << o->echoes) - 1;
  for (int i = 0; i < o->window; i++) begin((uint32_t)i);
  while (now < end) {
    Message message;
    ssize_t length = recvfrom(client, &message, sizeof message, 0, NULL, NULL);
    if (length < 0 || ++receives % 4096 == 0) resendLate(o->window);
    if (length < 0) now = nowNs();
    if (length != sizeof message || message.slot >= (uint32_t)o->window || message.echo >= (uint32_t)o->echoes) continue;
    Slot* slot = &slots[message.slot];
    if (message.round != slot->round) continue;
    slot->answered |= 1u << message.echo;
    if (slot->answered != all) continue;
    now = nowNs();
    answered++;
    if (slot->firstSentNs >= measureFrom && completed < kMaxSamples) {
      uint64_t latency = now - slot->firstSentNs;
      samplesNs[completed++] = latency > UINT32_MAX ? UINT32_MAX : (uint32_t)latency;
    }
    begin(message.slot);
  }
  if (!completed) {
    fprintf(stderr, "floor: no echo process answers\n");
    return 1;
  }
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  qsort(samplesNs, completed, sizeof *samplesNs, ascending);
  printf("{\"p50Us\":%.2f,\"p99Us\":%.2f,\"p999Us\":%.2f,\"opsPerSecond\":%.0f,\"operations\":%llu,\"answered\":%llu,\"cpuUs\":%.0f,\"resent\":%llu}\n",
         samplesNs[completed / 2] / 1e3, samplesNs[completed * 99 / 100] / 1e3, samplesNs[completed * 999 / 1000] / 1e3,
         (double)completed * 1e9 / (double)(now - measureFrom), (unsigned long long)completed, (unsigned long long)answered,
         (double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3, (unsigned long long)resent);
  return 0;
}

int main(int count, char** values) {
  Options o = {.group = "239.255.1.1", .port = 9000, .own = 9001, .echoes = 3, .window = 1, .cpu = -1, .lifetimeSeconds = 120, .seconds = 1, .warmupSeconds = 0.2};
  char** command = NULL;
  for (int i = 2; i < count && !command; i += 2) {
    if (!strcmp(values[i], "--")) {
      command = values + i + 1;
      break;
    }
    if (i + 1 == count) fail(values[i]);
    const char *name = values[i], *value = values[i + 1];
    if (!strcmp(name, "--group")) o.group = value;
    else if (!strcmp(name, "--port")) o.port = atoi(value);
    else if (!strcmp(name, "--own")) o.own = atoi(value);
    else if (!strcmp(name, "--id")) o.id = atoi(value);
    else if (!strcmp(name, "--echoes")) o.echoes = atoi(value);
    else if (!strcmp(name, "--window")) o.window = atoi(value);
    else if (!strcmp(name, "--cpu")) o.cpu = atoi(value);
    else if (!strcmp(name, "--lifetime")) o.lifetimeSeconds = atoi(value);
    else if (!strcmp(name, "--seconds")) o.seconds = atof(value);
    else if (!strcmp(name, "--warmup")) o.warmupSeconds = atof(value);
    else fail(name);
  }
  if (o.window < 1 || o.window > kMaxWindow || o.echoes < 1 || o.echoes > kMaxEchoes || o.id < 0 || o.id >= o.echoes || o.port < 1 || o.port > 65535 || o.own < 1 || o.own > 65535) fail("option");
  pinTo(o.cpu);
  if (count > 1 && !strcmp(values[1], "echo")) runEcho(&o);
  if (count > 1 && !strcmp(values[1], "leader")) runLeader(&o);
  if (count > 1 && !strcmp(values[1], "client")) return runClient(&o);
  if (count > 1 && !strcmp(values[1], "exec") && command && *command) {
    execvp(*command, command);
    fail(*command);
  }
  fail("usage: floor echo|leader|client|exec");
}

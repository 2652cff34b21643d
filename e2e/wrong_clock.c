/* Preload library that shifts a process's wall clock by CLOCK_OFFSET seconds. Timers use another clock and stay right. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *time) {
  int result = (int)syscall(SYS_clock_gettime, id, time);
  const char *offset = getenv("CLOCK_OFFSET");
  if (result == 0 && id == CLOCK_REALTIME && offset != NULL) time->tv_sec += atol(offset);
  return result;
}

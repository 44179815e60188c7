/* Another wall clock for one process: as many seconds off as the file named by TFS_PROXY_CLOCK says, at any moment. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t none = 0;
static const volatile int64_t *off = &none;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TFS_PROXY_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		return;
	void *shared = mmap(NULL, sizeof *off, PROT_READ, MAP_SHARED, file, 0);
	if (shared != MAP_FAILED)
		off = shared;
	close(file);
}

int clock_gettime(clockid_t which, struct timespec *now)
{
	int failed = syscall(SYS_clock_gettime, which, now);
	if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
		now->tv_sec += *off;
	return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *now)
{
	struct timespec exact;
	clock_gettime(CLOCK_REALTIME, &exact);
	if (now)
		*now = exact.tv_sec;
	return exact.tv_sec;
}

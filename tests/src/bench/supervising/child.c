/* The program that every contender runs: its first act is to look at the clock; then it says who it is, and stays. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char path[4096], text[128];
    const char *stamps = getenv("STAMPS"), *state = getenv("SWARM_STATE");
    if (stamps)
        snprintf(path, sizeof path, "%s", stamps);
    else if (state)
        snprintf(path, sizeof path, "%s/stamps", state);
    else
        return 2;
    int count = snprintf(text, sizeof text, "%d %lld\n", (int)getpid(), (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || write(file, text, count) != count || write(1, text, count) != count)
        return 1;
    close(file);
    for (;;)
        pause();
}

/* Counts from where it is told to, once a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long from = argc == 3 && strcmp(argv[1], "--from") == 0 ? strtol(argv[2], NULL, 10) : 0;
    for (long n = from + 1;; n++) {
        printf("count %ld\n", n);
        fflush(stdout);
        sleep(1);
    }
}

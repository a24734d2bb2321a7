/* Prints as fast as it can: lines of 64 bytes. */
#include <string.h>
#include <unistd.h>

int main(void)
{
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    for (unsigned at = 63; at < sizeof block; at += 64)
        block[at] = '\n';
    for (;;)
        if (write(1, block, sizeof block) < 0)
            return 1;
}

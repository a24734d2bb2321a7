/* What a poll costs at least: one question and one answer on a connection that is kept, in three system calls.
 *
 *     poll PORT MICROSECONDS QUESTION
 *
 * Asks the server at 127.0.0.1:PORT what stands in the file QUESTION, again so long after each answer, until it is killed. An answer
 * ends as HTTP's chunks do.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define END "0\r\n\r\n"
#define END_LENGTH (sizeof END - 1)

int main(int count, char **words)
{
    char question[4096], answer[4096];
    if (count != 4) return 2;
    ssize_t asked = read(open(words[3], O_RDONLY | O_CLOEXEC), question, sizeof question);
    long pause = atol(words[2]);
    struct timespec wait = {pause / 1000000, pause % 1000000 * 1000};
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, line = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (asked <= 0 || connect(line, (struct sockaddr *)&server, sizeof server)) return 1;
    setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        nanosleep(&wait, NULL);
        if (write(line, question, (size_t)asked) != asked) return 1;
        size_t length = 0;
        do {
            ssize_t came = read(line, answer + length, sizeof answer - length);
            if (came <= 0) return 1;
            length += (size_t)came;
        } while (length < END_LENGTH || memcmp(answer + length - END_LENGTH, END, END_LENGTH));
    }
}

/* What supervision costs at least: COUNT children, each started again the moment it has ended, its output kept in a file.
 *
 *     limit bare|sandbox COUNT PROGRAM FOLDER CGROUP
 *
 * FOLDER/N is child N's own folder. `bare` is clone with a pidfd, and execve. `sandbox` gives every child what our default sandbox
 * gives: a user of its own, no capabilities, no_new_privs, a mount namespace (read-only but for its folder, with its own /tmp and
 * /dev/shm), landlock, a filter of system calls, and a cgroup that must be empty before the next one starts. Whatever can be prepared
 * before a death is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Numbers of the kernel that headers of 2022 do not all have; those of system calls are the same on every architecture. */
#define NR_OPEN_TREE 428
#define NR_MOVE_MOUNT 429
#define NR_CLONE3 435
#define NR_CLOSE_RANGE 436
#define NR_MOUNT_SETATTR 442
#define NR_LANDLOCK_CREATE 444
#define NR_LANDLOCK_ADD 445
#define NR_LANDLOCK_RESTRICT 446
#define INTO_CGROUP 0x200000000ULL
#define FIRST_UID 70000

struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
struct mount_attributes { uint64_t set, clear, propagation, userns; };
struct __attribute__((packed)) beneath { uint64_t access; int32_t parent; };

struct child {
    char folder[256], group[256], stamps[300];
    int pidfd, out, in, log, ruleset, group_fd, events;
};

static int sandboxed, count, epoll;
static const char *program, *base;
static char program_folder[256];
static struct child *children;

static void fail(const char *what)
{
    fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
    _exit(1);
}
#define CHECK(call) do { if ((call) < 0) fail(#call); } while (0)

static void put(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        fail(path);
    close(file);
}

/* ---- what a child has laid on it ---- */

static const char *const SYSTEM[] = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/etc", "/proc", "/sys", "/nix/store", "/gnu/store", "/snap",
    "/run/current-system", "/run/systemd/resolve", "/run/resolvconf", "/var/lib/ca-certificates", "/var/lib/alternatives",
};
static const char *const DEVICES[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts",
};
#define LENGTH(list) (sizeof(list) / sizeof *(list))
static int system_fds[LENGTH(SYSTEM)], device_fds[LENGTH(DEVICES)];
#define ALL 0xffffULL               /* every right of landlock's fifth version */
#define LOOK (1 | 4 | 8)            /* execute, read files, read folders */
#define DEVICE (2 | 4 | 8 | 0x8000) /* read, write, ioctl */

static void allow(int ruleset, int parent, uint64_t access)
{
    struct beneath rule = { access, parent };
    if (parent >= 0)
        CHECK(syscall(NR_LANDLOCK_ADD, ruleset, 1, &rule, 0));
}

static int make_ruleset(const struct child *child)
{
    static int program_fd = -1;
    if (program_fd < 0)
        program_fd = open(program_folder, O_PATH | O_CLOEXEC);
    uint64_t handled = ALL;
    int ruleset = syscall(NR_LANDLOCK_CREATE, &handled, sizeof handled, 0);
    CHECK(ruleset);
    for (size_t at = 0; at < LENGTH(SYSTEM); at++)
        allow(ruleset, system_fds[at], LOOK);
    for (size_t at = 0; at < LENGTH(DEVICES); at++)
        allow(ruleset, device_fds[at], strcmp(DEVICES[at], "/dev/pts") ? DEVICE & ~8 : DEVICE);
    allow(ruleset, program_fd, LOOK);
    int own = open(child->folder, O_PATH | O_CLOEXEC);
    allow(ruleset, own, ALL);
    close(own);
    return ruleset;
}

static const int DENIED[] = {
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, NR_MOVE_MOUNT, NR_OPEN_TREE, 430, 431, 432, 433, NR_MOUNT_SETATTR, SYS_unshare,
    SYS_setns, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, 440, 438, SYS_kcmp, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_keyctl, SYS_add_key, SYS_request_key, 425, 426, 427, SYS_fanotify_init, SYS_init_module, SYS_finit_module, SYS_delete_module,
    SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_syslog, SYS_vhangup, SYS_sethostname,
    SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_open_by_handle_at, SYS_name_to_handle_at,
#ifdef __x86_64__
    SYS_kexec_file_load, SYS_lookup_dcookie, SYS_nfsservctl, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS__sysctl, SYS_ustat, SYS_sysfs,
#endif
};
static struct sock_filter filter[2 * LENGTH(DENIED) + 16];
static struct sock_fprog filter_program = { 0, filter };

static void make_filter(void)
{
    size_t at = 0;
#define LINE(...) filter[at++] = (struct sock_filter)__VA_ARGS__
    LINE({ BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 });
    LINE({ BPF_JMP | BPF_JEQ | BPF_K, 1, 0, NR_CLONE3 });
    LINE({ BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000 });
    LINE({ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS });
    for (size_t one = 0; one < LENGTH(DENIED); one++) {
        LINE({ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (unsigned)DENIED[one] });
        LINE({ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM });
    }
    LINE({ BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_clone });
    LINE({ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, args[0]) });
    LINE({ BPF_JMP | BPF_JSET | BPF_K, 0, 1, 0x7e020000 });
    LINE({ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM });
    LINE({ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW });
    filter_program.len = at;
}

static void attributes(int fd, const char *path, int flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
    struct mount_attributes wanted = { set, clear, propagation, 0 };
    CHECK(syscall(NR_MOUNT_SETATTR, fd, path, flags, &wanted, sizeof wanted));
}

static void folders_down_to(char *path)
{
    for (char *slash = path + strlen("/tmp/"); (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    mkdir(path, 0755);
}

static void bind(int tree, char *path, int writable)
{
    attributes(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, 2 | 4 | (writable ? 0 : 1), writable ? 1 : 0, 0);
    folders_down_to(path);
    CHECK(syscall(NR_MOVE_MOUNT, tree, "", AT_FDCWD, path, 4));
}

static void confine(struct child *child, int number)
{
    CHECK(unshare(CLONE_NEWNS));
    attributes(AT_FDCWD, "/", AT_RECURSIVE, 1 | 2, 0, MS_PRIVATE);
    int own = syscall(NR_OPEN_TREE, AT_FDCWD, child->folder, 1 | O_CLOEXEC | AT_RECURSIVE);
    int code = syscall(NR_OPEN_TREE, AT_FDCWD, program_folder, 1 | O_CLOEXEC | AT_RECURSIVE);
    CHECK(own);
    CHECK(code);
    CHECK(mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=25%"));
    CHECK(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=25%"));
    bind(code, program_folder, 0);
    bind(own, child->folder, 1);
    struct rlimit none = { 0, 0 };
    CHECK(setrlimit(RLIMIT_CORE, &none));
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++)
        ;
    int id = FIRST_UID + number;
    CHECK(setgroups(0, NULL));
    CHECK(setresgid(id, id, id));
    CHECK(setresuid(id, id, id));
    uint32_t head[2] = { 0x20080522, 0 }, nothing[6] = { 0 };
    CHECK(syscall(SYS_capset, head, nothing));
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(chdir(child->folder));
    int tmp = open("/tmp", O_PATH | O_CLOEXEC), shm = open("/dev/shm", O_PATH | O_CLOEXEC);
    allow(child->ruleset, tmp, ALL);
    allow(child->ruleset, shm, ALL);
    CHECK(syscall(NR_LANDLOCK_RESTRICT, child->ruleset, 0));
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter_program, 0, 0));
}

/* ---- starting, and starting again ---- */

static void make_group(struct child *child)
{
    char path[300];
    CHECK(mkdir(child->group, 0755));
    child->group_fd = open(child->group, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/cgroup.events", child->group);
    child->events = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(child->events);
}

static int is_populated(const struct child *child)
{
    char text[128] = "";
    CHECK(pread(child->events, text, sizeof text - 1, 0));
    return strstr(text, "populated 1") != NULL;
}

/* Whatever the last one left is gone before the next one starts. */
static void clear_group(struct child *child)
{
    if (!is_populated(child))
        return;
    put(child->group, "cgroup.kill", "1");
    while (is_populated(child))
        sched_yield();
    close(child->group_fd);
    close(child->events);
    CHECK(rmdir(child->group));
    make_group(child);
}

static void watch(int fd, uint64_t what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

static void start(int number)
{
    struct child *child = &children[number];
    char stamps[320];
    snprintf(stamps, sizeof stamps, "STAMPS=%s", child->stamps);
    char *arguments[] = { (char *)program, NULL };
    char *environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", stamps, NULL };
    int pidfd = -1;
    struct clone_arguments how = { .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD };
    if (sandboxed) {
        how.flags |= INTO_CGROUP;
        how.cgroup = child->group_fd;
    } else {
        how.flags |= CLONE_VFORK;
    }
    long pid = syscall(NR_CLONE3, &how, sizeof how);
    CHECK(pid);
    if (pid == 0) {
        setsid();
        dup2(child->in, 1);
        dup2(child->in, 2);
        if (sandboxed)
            confine(child, number);
        syscall(NR_CLOSE_RANGE, 3, ~0U, 4);
        execve(program, arguments, environment);
        fail(program);
    }
    child->pidfd = pidfd;
    watch(pidfd, (uint64_t)number << 1);
    if (sandboxed) {
        close(child->ruleset);
        child->ruleset = make_ruleset(child);
    }
}

static void prepare(int number)
{
    struct child *child = &children[number];
    int ends[2];
    snprintf(child->folder, sizeof child->folder, "%s/%d", base, number);
    snprintf(child->stamps, sizeof child->stamps, "%s/stamps", child->folder);
    CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    child->out = ends[0];
    child->in = ends[1];
    CHECK(fcntl(child->in, F_SETFL, 0));
    char path[300];
    snprintf(path, sizeof path, "%s/../%d.log", child->folder, number);
    child->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK(child->log);
    watch(child->out, (uint64_t)number << 1 | 1);
    if (!sandboxed)
        return;
    make_group(child);
    child->ruleset = make_ruleset(child);
}

static void ended(int number)
{
    struct child *child = &children[number];
    siginfo_t how;
    CHECK(waitid(P_PIDFD, child->pidfd, &how, WEXITED));
    close(child->pidfd);
    if (sandboxed)
        clear_group(child);
    start(number);
}

static void printed(const struct child *child)
{
    char bytes[65536];
    ssize_t length = read(child->out, bytes, sizeof bytes);
    if (length > 0 && write(child->log, bytes, length) != length)
        fail("log");
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    sandboxed = !strcmp(argv[1], "sandbox");
    count = atoi(argv[2]);
    program = argv[3];
    base = argv[4];
    snprintf(program_folder, sizeof program_folder, "%s", program);
    *strrchr(program_folder, '/') = 0;
    struct rlimit files = { 65536, 65536 };
    setrlimit(RLIMIT_NOFILE, &files);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    children = calloc(count, sizeof *children);
    if (sandboxed) {
        make_filter();
        for (size_t at = 0; at < LENGTH(SYSTEM); at++)
            system_fds[at] = open(SYSTEM[at], O_PATH | O_CLOEXEC);
        for (size_t at = 0; at < LENGTH(DEVICES); at++)
            device_fds[at] = open(DEVICES[at], O_PATH | O_CLOEXEC);
    }
    for (int number = 0; number < count; number++) {
        snprintf(children[number].group, sizeof children[number].group, "%s/%d", argv[5], number);
        prepare(number);
        start(number);
    }
    for (;;) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, -1);
        for (int at = 0; at < ready; at++) {
            int number = events[at].data.u64 >> 1;
            if (events[at].data.u64 & 1)
                printed(&children[number]);
            else
                ended(number);
        }
    }
}

/* A disk that fails on command, for the files of one database: loaded before libc (LD_PRELOAD). The file named by
   FAULTY_DISK says how: `full` (writes end in ENOSPC), `broken` (writes end in EIO), `unsynced` (syncs end in EIO). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char mode(void) {
    const char *name = getenv("FAULTY_DISK");
    char how[1] = {0};
    if (!name) return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = syscall(SYS_read, fd, how, 1);
    syscall(SYS_close, fd);
    return got == 1 ? how[0] : 0;
}

static int concerned(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "/harness.db") != NULL && strstr(path, "-shm") == NULL;
}

static int write_fault(int fd) {
    char how = mode();
    if ((how != 'f' && how != 'b') || !concerned(fd)) return 0;
    return how == 'f' ? ENOSPC : EIO;
}

static int sync_fault(int fd) { return mode() == 'u' && concerned(fd) ? EIO : 0; }

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))
#define FAULT(fault) do { int error = fault; if (error) { errno = error; return -1; } } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    FAULT(write_fault(fd));
    return syscall(SYS_write, fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    FAULT(write_fault(fd));
    return syscall(SYS_pwrite64, fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return pwrite(fd, data, size, at); }
int fsync(int fd) {
    FAULT(sync_fault(fd));
    return NEXT(int, fsync, int)(fd);
}
int fdatasync(int fd) {
    FAULT(sync_fault(fd));
    return NEXT(int, fdatasync, int)(fd);
}

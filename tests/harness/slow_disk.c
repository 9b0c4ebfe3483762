/* Preloaded into a broker (tests/harness/netns.py), makes its disk as bad as the file $QT_DISK_CONTROL says:
     delay MS      every fsync and fdatasync takes MS longer
     fail PREFIX   they, and writes, fail with EIO for files below PREFIX
   No file or an empty one: as it is. For kernels without dm-delay and dm-error. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int read_order(char* order, size_t size) {
    const char* path = getenv("QT_DISK_CONTROL");
    const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const ssize_t got = read(fd, order, size - 1);
    close(fd);
    order[got > 0 ? got : 0] = '\0';
    order[strcspn(order, "\n")] = '\0';
    return got > 0;
}

static int fails(int fd, const char* order) {
    char link[64];
    char path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t got = readlink(link, path, sizeof(path) - 1);
    path[got > 0 ? got : 0] = '\0';
    return strncmp(order, "fail ", 5) == 0 && strncmp(path, order + 5, strlen(order + 5)) == 0;
}

static int before_sync(int fd) {
    char order[4096];
    if (!read_order(order, sizeof(order))) {
        return 0;
    }
    if (strncmp(order, "delay ", 6) == 0) {
        usleep((useconds_t)atoi(order + 6) * 1000);
    }
    return fails(fd, order);
}

static int before_write(int fd) {
    char order[4096];
    return read_order(order, sizeof(order)) && fails(fd, order);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) {
    if (before_sync(fd)) {
        errno = EIO;
        return -1;
    }
    return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
    if (before_sync(fd)) {
        errno = EIO;
        return -1;
    }
    return NEXT(fdatasync)(fd);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
    if (before_write(fd)) {
        errno = EIO;
        return -1;
    }
    return NEXT(pwrite)(fd, bytes, size, at);
}

ssize_t pwritev(int fd, const struct iovec* parts, int count, off_t at) {
    if (before_write(fd)) {
        errno = EIO;
        return -1;
    }
    return NEXT(pwritev)(fd, parts, count, at);
}

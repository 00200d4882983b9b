/* Records what a process writes below one folder, for tests of power cuts. Preloaded with LD_PRELOAD.

   WRITE_RECORD names the file of the record, WRITE_RECORD_BELOW the folder, by its real path. Each record is one append,
   which the kernel makes in one piece, also beside other processes: a `struct entry`, a path, and data. A change is
   recorded when it is done. A sync is recorded twice: when it begins and when it has ended. So a change that stands in
   the record before a sync begins is covered by it. Memory that is mapped is not recorded. */

#define _GNU_SOURCE
#include "watched_folder.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>

struct entry {
    uint64_t kind, inode, offset, length, path_length;
};

enum { WRITE = 1, TRUNCATE, CREATE, RENAME, LINK, UNLINK, SYNC_BEGINS, SYNC_ENDS };

static int record = -1;
static uint64_t syncs;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WRITE_RECORD"), *folder = getenv("WRITE_RECORD_BELOW");
    if (path == NULL || folder == NULL) return;
    record = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (record < 0) return;
    /* Out of the way of programs that close or count the low descriptors. */
    int high = fcntl(record, F_DUPFD_CLOEXEC, 900);
    if (high >= 0) {
        syscall(SYS_close, record);
        record = high;
    }
    watch(folder);
}

static void note(uint64_t kind, uint64_t inode, uint64_t offset, const char *path, const void *data, uint64_t length) {
    struct entry entry = {kind, inode, offset, length, strlen(path)};
    struct iovec parts[3] = {
        {&entry, sizeof entry}, {(void *)path, entry.path_length}, {(void *)data, data == NULL ? 0 : length}};
    if (syscall(SYS_writev, record, parts, 3) < 0) abort();
}

static void wrote(int descriptor, uint64_t offset, const void *data, ssize_t done) {
    char path[PATH_MAX];
    ino_t inode;
    int before = errno;
    if (done > 0 && of_descriptor(descriptor, path, &inode)) note(WRITE, inode, offset, path, data, (uint64_t)done);
    errno = before;
}

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    ssize_t done = real(descriptor, data, length, offset);
    wrote(descriptor, (uint64_t)offset, data, done);
    return done;
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) {
    return pwrite64(descriptor, data, length, offset);
}

ssize_t write(int descriptor, const void *data, size_t length) {
    REAL("write", ssize_t, int, const void *, size_t);
    ssize_t done = real(descriptor, data, length);
    int before = errno;
    off_t end = done > 0 ? lseek(descriptor, 0, SEEK_CUR) : -1;
    errno = before;
    if (end >= 0) wrote(descriptor, (uint64_t)(end - done), data, done);
    return done;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    ssize_t done = real(descriptor, parts, count), left = done;
    int before = errno;
    off_t end = done > 0 ? lseek(descriptor, 0, SEEK_CUR) : -1;
    errno = before;
    for (int index = 0; end >= 0 && index < count && left > 0; index++) {
        ssize_t length = left < (ssize_t)parts[index].iov_len ? left : (ssize_t)parts[index].iov_len;
        wrote(descriptor, (uint64_t)(end - left), parts[index].iov_base, length);
        left -= length;
    }
    return done;
}

int ftruncate64(int descriptor, off64_t length) {
    REAL("ftruncate64", int, int, off64_t);
    char path[PATH_MAX];
    ino_t inode;
    int done = real(descriptor, length), before = errno;
    if (done == 0 && of_descriptor(descriptor, path, &inode)) note(TRUNCATE, inode, (uint64_t)length, path, NULL, 0);
    errno = before;
    return done;
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

static int synced(int descriptor, int (*real)(int)) {
    char path[PATH_MAX];
    ino_t inode;
    uint64_t number = 0;
    int known = of_descriptor(descriptor, path, &inode);
    if (known) {
        number = ((uint64_t)getpid() << 32) + __atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
        note(SYNC_BEGINS, inode, number, path, NULL, 0);
    }
    int done = real(descriptor), before = errno;
    if (known && done == 0) note(SYNC_ENDS, inode, number, path, NULL, 0);
    errno = before;
    return done;
}

int fsync(int descriptor) {
    REAL("fsync", int, int);
    return synced(descriptor, real);
}

int fdatasync(int descriptor) {
    REAL("fdatasync", int, int);
    return synced(descriptor, real);
}

static void opened(int descriptor, int flags, int existed) {
    char path[PATH_MAX];
    ino_t inode;
    int before = errno;
    if (descriptor >= 0 && of_descriptor(descriptor, path, &inode)) {
        if (!existed) note(CREATE, inode, 0, path, NULL, 0);
        else if (flags & O_TRUNC) note(TRUNCATE, inode, 0, path, NULL, 0);
    }
    errno = before;
}

static int existing(int folder, const char *name, int flags) {
    struct stat status;
    int before = errno;
    int found = record < 0 || !(flags & O_CREAT) || fstatat(folder, name, &status, 0) == 0;
    errno = before;
    return found;
}

int openat64(int folder, const char *name, int flags, ...) {
    REAL("openat64", int, int, const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    int existed = existing(folder, name, flags), descriptor = real(folder, name, flags, mode);
    opened(descriptor, flags, existed);
    return descriptor;
}

#define OPEN_AT(folder, name, flags)                                              \
    va_list more;                                                                 \
    va_start(more, flags);                                                        \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;     \
    va_end(more);                                                                 \
    return openat64(folder, name, flags, mode)

int openat(int folder, const char *name, int flags, ...) { OPEN_AT(folder, name, flags); }
int open(const char *name, int flags, ...) { OPEN_AT(AT_FDCWD, name, flags); }
int open64(const char *name, int flags, ...) { OPEN_AT(AT_FDCWD, name, flags); }

static FILE *opened_stream(FILE *stream, const char *mode, int existed) {
    if (stream != NULL) opened(fileno(stream), mode[0] == 'w' ? O_TRUNC : 0, existed);
    return stream;
}

FILE *fopen64(const char *name, const char *mode) {
    REAL("fopen64", FILE *, const char *, const char *);
    int existed = existing(AT_FDCWD, name, mode[0] == 'r' ? 0 : O_CREAT);
    return opened_stream(real(name, mode), mode, existed);
}

FILE *fopen(const char *name, const char *mode) { return fopen64(name, mode); }

static int removed(int folder, const char *name, int done) {
    char path[PATH_MAX];
    int before = errno;
    of_path(folder, name, path);
    if (done == 0 && record >= 0 && is_below(path)) note(UNLINK, 0, 0, path, NULL, 0);
    errno = before;
    return done;
}

int unlink(const char *name) {
    REAL("unlink", int, const char *);
    return removed(AT_FDCWD, name, real(name));
}

int unlinkat(int folder, const char *name, int flags) {
    REAL("unlinkat", int, int, const char *, int);
    return removed(folder, name, real(folder, name, flags));
}

static int moved(uint64_t kind, int from_folder, const char *from, int to_folder, const char *to, int done) {
    char source[PATH_MAX], target[PATH_MAX];
    int before = errno;
    of_path(from_folder, from, source);
    of_path(to_folder, to, target);
    if (done == 0 && record >= 0 && is_below(target)) note(kind, 0, 0, source, target, strlen(target));
    errno = before;
    return done;
}

int rename(const char *from, const char *to) {
    REAL("rename", int, const char *, const char *);
    return moved(RENAME, AT_FDCWD, from, AT_FDCWD, to, real(from, to));
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL("renameat", int, int, const char *, int, const char *);
    return moved(RENAME, from_folder, from, to_folder, to, real(from_folder, from, to_folder, to));
}

int link(const char *from, const char *to) {
    REAL("link", int, const char *, const char *);
    return moved(LINK, AT_FDCWD, from, AT_FDCWD, to, real(from, to));
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL("linkat", int, int, const char *, int, const char *, int);
    return moved(LINK, from_folder, from, to_folder, to, real(from_folder, from, to_folder, to, flags));
}

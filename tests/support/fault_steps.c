/* Lets a process fail at one of the changes that it makes below a folder. Preloaded with LD_PRELOAD.

   A change is a write, a sync, or a name that is made, changed or removed. `fault_begin` says what happens at the change
   of a number: the process is killed before it, or interrupted, or from then on the disk is full. Of the write that meets
   the full disk first, a half is written. Changes in memory that is mapped are not counted. */

#define _GNU_SOURCE
#include "watched_folder.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { NOTHING, COUNTED, KILLED, INTERRUPTED, FULL };
enum kind { GROWS, CHANGES };

static int fault = NOTHING, counter = -1;
static long at, steps;

/* Begins; with COUNTED, a byte is added to the file `count` for each change. */
void fault_begin(int which, long number, const char *folder, const char *count) {
    watch(folder);
    at = number;
    if (which == COUNTED)
        counter = (int)syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    fault = which;
}

/* Returns 0 to go on, or an errno; -1 where half of a write is to be done. */
static int step(enum kind kind) {
    long number = __atomic_fetch_add(&steps, 1, __ATOMIC_RELAXED);
    if (fault == COUNTED && syscall(SYS_write, counter, ".", 1) != 1) return EIO;
    if (fault == KILLED && number == at) kill(getpid(), SIGKILL);
    if (fault == INTERRUPTED && number == at) kill(getpid(), SIGINT);
    if (fault == FULL && number >= at && kind == GROWS) return number == at ? -1 : ENOSPC;
    return 0;
}

static int on_descriptor(enum kind kind, int descriptor) {
    char path[PATH_MAX];
    ino_t inode;
    int before = errno;
    if (fault == NOTHING || !of_descriptor(descriptor, path, &inode)) { errno = before; return 0; }
    errno = before;
    return step(kind);
}

static int on_path(enum kind kind, int folder, const char *name) {
    char path[PATH_MAX];
    int before = errno;
    if (fault == NOTHING) return 0;
    of_path(folder, name, path);
    errno = before;
    return is_below(path) ? step(kind) : 0;
}

/* Ends a function as the call fails, if it is to fail. */
#define FAIL(found)                                                               \
    do {                                                                          \
        int failed = (found);                                                     \
        if (failed != 0) {                                                        \
            errno = failed < 0 ? ENOSPC : failed;                                 \
            return -1;                                                            \
        }                                                                         \
    } while (0)

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    int found = on_descriptor(GROWS, descriptor);
    if (found == -1 && length > 1) return real(descriptor, data, length / 2, offset);
    FAIL(found);
    return real(descriptor, data, length, offset);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset) { return pwrite64(descriptor, data, length, offset); }

ssize_t write(int descriptor, const void *data, size_t length) {
    REAL("write", ssize_t, int, const void *, size_t);
    int found = on_descriptor(GROWS, descriptor);
    if (found == -1 && length > 1) return real(descriptor, data, length / 2);
    FAIL(found);
    return real(descriptor, data, length);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    FAIL(on_descriptor(GROWS, descriptor));
    return real(descriptor, parts, count);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    REAL("sendfile64", ssize_t, int, int, off64_t *, size_t);
    FAIL(on_descriptor(GROWS, out));
    return real(out, in, offset, count);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) { return sendfile64(out, in, (off64_t *)offset, count); }

ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t count, unsigned flags) {
    REAL("copy_file_range", ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    FAIL(on_descriptor(GROWS, out));
    return real(in, a, out, b, count, flags);
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t length) {
    REAL("posix_fallocate64", int, int, off64_t, off64_t);
    int found = on_descriptor(GROWS, descriptor);
    if (found) return found < 0 ? ENOSPC : found;
    return real(descriptor, offset, length);
}

int posix_fallocate(int descriptor, off_t offset, off_t length) { return posix_fallocate64(descriptor, offset, length); }

int ftruncate64(int descriptor, off64_t length) {
    REAL("ftruncate64", int, int, off64_t);
    struct stat status;
    int grows = fstat(descriptor, &status) == 0 && length > status.st_size;
    FAIL(on_descriptor(grows ? GROWS : CHANGES, descriptor));
    return real(descriptor, length);
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

int fsync(int descriptor) {
    REAL("fsync", int, int);
    FAIL(on_descriptor(CHANGES, descriptor));
    return real(descriptor);
}

int fdatasync(int descriptor) {
    REAL("fdatasync", int, int);
    FAIL(on_descriptor(CHANGES, descriptor));
    return real(descriptor);
}

static int makes(int folder, const char *name, int flags) {
    struct stat status;
    int before = errno;
    int made = fault != NOTHING && ((flags & __O_TMPFILE) == __O_TMPFILE || ((flags & O_CREAT) && fstatat(folder, name, &status, 0) != 0));
    int trunc = fault != NOTHING && (flags & O_TRUNC);
    errno = before;
    return made || trunc;
}

int openat64(int folder, const char *name, int flags, ...) {
    REAL("openat64", int, int, const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t rights = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (makes(folder, name, flags)) FAIL(on_path(GROWS, folder, name));
    return real(folder, name, flags, rights);
}

#define OPEN_AT(folder, name, flags)                                              \
    va_list more;                                                                 \
    va_start(more, flags);                                                        \
    mode_t rights = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;   \
    va_end(more);                                                                 \
    return openat64(folder, name, flags, rights)
int openat(int folder, const char *name, int flags, ...) { OPEN_AT(folder, name, flags); }

int open(const char *name, int flags, ...) { OPEN_AT(AT_FDCWD, name, flags); }

int open64(const char *name, int flags, ...) { OPEN_AT(AT_FDCWD, name, flags); }

int mkdirat(int folder, const char *name, mode_t rights) {
    REAL("mkdirat", int, int, const char *, mode_t);
    struct stat status;
    if (fstatat(folder, name, &status, 0) != 0) FAIL(on_path(GROWS, folder, name));
    return real(folder, name, rights);
}

int mkdir(const char *name, mode_t rights) { return mkdirat(AT_FDCWD, name, rights); }

int unlinkat(int folder, const char *name, int flags) {
    REAL("unlinkat", int, int, const char *, int);
    struct stat status;
    int before = errno;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0) FAIL(on_path(CHANGES, folder, name));
    errno = before;
    return real(folder, name, flags);
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int renameat(int a, const char *from, int b, const char *to) {
    REAL("renameat", int, int, const char *, int, const char *);
    FAIL(on_path(CHANGES, b, to));
    return real(a, from, b, to);
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int linkat(int a, const char *from, int b, const char *to, int flags) {
    REAL("linkat", int, int, const char *, int, const char *, int);
    FAIL(on_path(GROWS, b, to));
    return real(a, from, b, to, flags);
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

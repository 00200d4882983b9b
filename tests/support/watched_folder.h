/* What libraries that are preloaded into a process need to tell which of its calls are about one folder. It is for one
   source file each: include it after _GNU_SOURCE is defined. */

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char below[PATH_MAX];
static size_t below_length;

/* Sets the folder, by its real path. */
static void watch(const char *folder) {
    snprintf(below, sizeof below, "%s", folder);
    below_length = strlen(below);
}

/* Returns 0 for every path as long as no folder is set. */
static int is_below(const char *path) {
    if (below_length == 0) return 0;
    return strncmp(path, below, below_length) == 0 && (path[below_length] == '/' || path[below_length] == 0);
}

/* Finds the path and inode of a descriptor; returns 0 for what is not a file or folder below ours. Changes errno. */
static int of_descriptor(int descriptor, char *path, ino_t *inode) {
    struct stat status;
    char link[64];
    if (below_length == 0 || fstat(descriptor, &status) != 0) return 0;
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    *inode = status.st_ino;
    return is_below(path);
}

/* Finds the path of a name that is given to a call such as openat(2). */
static void of_path(int folder, const char *name, char *path) {
    char base[PATH_MAX] = "", link[64];
    if (name[0] != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(folder == AT_FDCWD ? "/proc/self/cwd" : link, base, PATH_MAX - 1);
        if (length > 0) base[length] = 0;
        strncat(base, "/", sizeof base - strlen(base) - 1);
    }
    snprintf(path, PATH_MAX, "%s%s", base, name);
}

#define REAL(name, type, ...)                                                     \
    static type (*real)(__VA_ARGS__);                                             \
    if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

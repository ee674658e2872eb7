/* Loaded with LD_PRELOAD: makes the N-th call of the file system under one folder fail, fall short, or kill.
 *
 * Counted are calls that name a path below the watched folder, or a descriptor that was opened there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAIL, SHORT, KILL };
enum { MOST = 1 << 16 };

static char watched[4096];
static unsigned char ours[MOST];
static long calls, fatal;
static int reason, mode, fired;

void fault_watch(const char* folder) { snprintf(watched, sizeof watched, "%s", folder); }

/* Arms the fault for the `number`-th call from now on; 0 only counts. */
void fault_arm(long number, int error, int how) {
    calls = fired = 0;
    fatal = number;
    reason = error;
    mode = how;
}

long fault_calls(void) { return calls; }
int fault_fired(void) { return fired; }

static int below(const char* path) {
    const size_t length = strlen(watched);
    return length && path && strncmp(path, watched, length) == 0 && (path[length] == '/' || !path[length]);
}

static int held(int descriptor) { return descriptor >= 0 && descriptor < MOST && ours[descriptor]; }
static int at(int folder, const char* path) { return below(path) || (path && path[0] != '/' && held(folder)); }

/* True if this call is to fail; `length` is what a call that moves bytes may cut short, else null. */
static int due(int counted, size_t* length) {
    if (!counted) return 0;
    if (++calls != fatal) return 0;
    if (mode == KILL) raise(SIGKILL);
    if (mode == SHORT) {
        if (!length || *length < 2) return 0;
        fired = 1;
        *length /= 2;
        return 0;
    }
    fired = 1;
    errno = reason;
    return 1;
}

#define REAL(name, type, ...)                                  \
    static type (*real)(__VA_ARGS__);                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int noted(int descriptor, int counted) {
    if (descriptor >= 0 && descriptor < MOST) ours[descriptor] = (unsigned char)counted;
    return descriptor;
}

#define OPEN(name)                                              \
    int name(const char* path, int flags, ...) {                \
        REAL(name, int, const char*, int, ...);                 \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        const int bits = va_arg(rest, int);                     \
        va_end(rest);                                           \
        const int counted = below(path);                        \
        if (due(counted, 0)) return -1;                         \
        return noted(real(path, flags, bits), counted);         \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                            \
    int name(int folder, const char* path, int flags, ...) {    \
        REAL(name, int, int, const char*, int, ...);            \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        const int bits = va_arg(rest, int);                     \
        va_end(rest);                                           \
        const int counted = at(folder, path);                   \
        if (due(counted, 0)) return -1;                         \
        return noted(real(folder, path, flags, bits), counted); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor) {
    REAL(close, int, int);
    noted(descriptor, 0);
    return real(descriptor);
}

#define MOVE(name, buffer)                                      \
    ssize_t name(int descriptor, buffer bytes, size_t length) { \
        REAL(name, ssize_t, int, buffer, size_t);               \
        if (due(held(descriptor), &length)) return -1;          \
        return real(descriptor, bytes, length);                 \
    }
MOVE(read, void*)
MOVE(write, const void*)

#define MOVE_AT(name, buffer)                                             \
    ssize_t name(int descriptor, buffer bytes, size_t length, off_t at) { \
        REAL(name, ssize_t, int, buffer, size_t, off_t);                  \
        if (due(held(descriptor), &length)) return -1;                    \
        return real(descriptor, bytes, length, at);                       \
    }
MOVE_AT(pread, void*)
MOVE_AT(pread64, void*)
MOVE_AT(pwrite, const void*)
MOVE_AT(pwrite64, const void*)

#define ON_DESCRIPTOR(name)                             \
    int name(int descriptor) {                          \
        REAL(name, int, int);                           \
        if (due(held(descriptor), 0)) return -1;        \
        return real(descriptor);                        \
    }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

#define TRUNCATE(name)                                  \
    int name(int descriptor, off_t length) {            \
        REAL(name, int, int, off_t);                    \
        if (due(held(descriptor), 0)) return -1;        \
        return real(descriptor, length);                \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int flock(int descriptor, int how) {
    REAL(flock, int, int, int);
    if (due(held(descriptor) && how != LOCK_UN, 0)) return -1;
    return real(descriptor, how);
}

#define ON_PATH(name)                                   \
    int name(const char* path) {                        \
        REAL(name, int, const char*);                   \
        if (due(below(path), 0)) return -1;             \
        return real(path);                              \
    }
ON_PATH(unlink)
ON_PATH(rmdir)

int unlinkat(int folder, const char* path, int flags) {
    REAL(unlinkat, int, int, const char*, int);
    if (due(at(folder, path), 0)) return -1;
    return real(folder, path, flags);
}

int mkdir(const char* path, mode_t bits) {
    REAL(mkdir, int, const char*, mode_t);
    if (due(below(path), 0)) return -1;
    return real(path, bits);
}

int rename(const char* from, const char* to) {
    REAL(rename, int, const char*, const char*);
    if (due(below(from) || below(to), 0)) return -1;
    return real(from, to);
}

int renameat(int one, const char* from, int two, const char* to) {
    REAL(renameat, int, int, const char*, int, const char*);
    if (due(at(one, from) || at(two, to), 0)) return -1;
    return real(one, from, two, to);
}

int renameat2(int one, const char* from, int two, const char* to, unsigned flags) {
    REAL(renameat2, int, int, const char*, int, const char*, unsigned);
    if (due(at(one, from) || at(two, to), 0)) return -1;
    return real(one, from, two, to, flags);
}

#define STAT(name, buffer)                              \
    int name(const char* path, buffer found) {          \
        REAL(name, int, const char*, buffer);           \
        if (due(below(path), 0)) return -1;             \
        return real(path, found);                       \
    }
STAT(stat, struct stat*)
STAT(stat64, struct stat64*)
STAT(lstat, struct stat*)
STAT(lstat64, struct stat64*)

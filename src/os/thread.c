/* SPDX-License-Identifier: MPL-2.0 */
#include "os/thread.h"

#include <sched.h>
#include <signal.h>

/* PipeWire's data loop runs at 83 and its daemon at 88: devices come first. */
constexpr int REALTIME_PRIORITY = 60;

int thread_start(struct thread *thread, const char *name, void *(*run)(void *arg), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error_number = pthread_create(&thread->id, nullptr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error_number)
        return error_number;
    thread->started = true;
    pthread_setname_np(thread->id, name);
    return 0;
}

void thread_join(struct thread *thread) {
    if (!thread->started)
        return;
    pthread_join(thread->id, nullptr);
    thread->started = false;
}

bool thread_become_realtime(void) {
    struct sched_param param = {.sched_priority = REALTIME_PRIORITY};
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &param) == 0;
}

static void *try_realtime(void *arg) {
    *(bool *)arg = thread_become_realtime();
    return nullptr;
}

bool thread_may_become_realtime(void) {
    struct thread thread = {};
    bool may = false;
    if (thread_start(&thread, "try-realtime", try_realtime, &may) == 0)
        thread_join(&thread);
    return may;
}

unsigned thread_n_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (unsigned)n : 1;
}

#include "os/gate.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/mem.h"

struct hf_gate {
    pthread_mutex_t lock;
    pthread_cond_t has_room;
    size_t n;
    size_t inside;
};

struct hf_gate *hf_gate_new(size_t n)
{
    struct hf_gate *g = hf_calloc(1, sizeof(*g));
    hf_assert(n > 0);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->has_room, NULL);
    g->n = n;
    return g;
}

void hf_gate_free(struct hf_gate *g)
{
    if (g == NULL)
        return;
    hf_assert(g->inside == 0);
    pthread_cond_destroy(&g->has_room);
    pthread_mutex_destroy(&g->lock);
    hf_free(g);
}

void hf_gate_enter(struct hf_gate *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->lock);
    while (g->inside == g->n)
        pthread_cond_wait(&g->has_room, &g->lock);
    g->inside++;
    pthread_mutex_unlock(&g->lock);
}

void hf_gate_leave(struct hf_gate *g)
{
    if (g == NULL)
        return;
    pthread_mutex_lock(&g->lock);
    hf_assert(g->inside > 0);
    g->inside--;
    pthread_cond_signal(&g->has_room);
    pthread_mutex_unlock(&g->lock);
}

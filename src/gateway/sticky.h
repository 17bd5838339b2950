/*
 * Which host answered a conversation last: it holds the prompt's beginning in its cache, so the
 * next turn is read there in a moment. Pure; one owner, times in ms of the monotonic clock.
 *
 * A fixed table: a key has one place among HF_STICKY_WAYS neighbours, the one unused longest gives
 * way. Entries end HF_STICKY_MS after their last use, and when their host falls.
 */
#ifndef HF_GATEWAY_STICKY_H
#define HF_GATEWAY_STICKY_H

#include <stddef.h>
#include <stdint.h>

enum {
    HF_STICKY_MS = 600000, /* Ollama keeps a model for 5 minutes, often longer */
    HF_STICKY_SETS = 512,
    HF_STICKY_WAYS = 8,     /* 4096 conversations, 96 KiB */
    HF_STICKY_PREFIX = 512, /* bytes of the messages that name a conversation */
    HF_STICKY_NONE = 0xffff
};

struct hf_sticky_entry {
    uint64_t key; /* 0: free */
    uint64_t used_ms;
    uint32_t host;
};

struct hf_sticky {
    struct hf_sticky_entry sets[HF_STICKY_SETS][HF_STICKY_WAYS];
};

/* Of a conversation: model and the beginning of its messages, or what the client calls it. Never 0.
 */
uint64_t hf_sticky_key(const char *model, const char *text, size_t len);
/* The host, or HF_STICKY_NONE. */
uint32_t hf_sticky_get(const struct hf_sticky *s, uint64_t key, uint64_t now_ms);
void hf_sticky_put(struct hf_sticky *s, uint64_t key, uint32_t host, uint64_t now_ms);
/* Its cache is gone. */
void hf_sticky_drop(struct hf_sticky *s, uint32_t host);

#endif

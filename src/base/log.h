/*
 * Structured logs: one event name, then typed fields, as text or JSON lines on stderr or stdout.
 *
 *   hf_log(HF_LOG_INFO, "sync", HF_F_STR("db", path), HF_F_U64("txid", txid), HF_F_END);
 *
 * error = somebody must act, warn = we acted, info = state changed, debug = for us. Only the layer
 * that decides what happens next logs, once. Values that are secrets are never passed here. Any
 * thread; a line is written by one write().
 *
 * A thread that answers requests can have its info and debug lines kept until it has nothing else
 * to do (hf_log_hold): an answer does not wait for its line, and many lines are one write().
 * Warnings and errors are written at once, with what was kept before them.
 */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_WARN, HF_LOG_ERROR };
enum hf_log_format { HF_LOG_TEXT, HF_LOG_JSON };

enum hf_log_kind {
    HF_LOG_K_END,
    HF_LOG_K_STR,
    HF_LOG_K_I64,
    HF_LOG_K_U64,
    HF_LOG_K_DBL,
    HF_LOG_K_TXID
};

struct hf_log_field {
    enum hf_log_kind kind;
    const char *key;
    const char *str;
    int64_t i64;
    uint64_t u64;
    double dbl;
};

#define HF_F_STR(k, v) ((struct hf_log_field){.kind = HF_LOG_K_STR, .key = (k), .str = (v)})
#define HF_F_I64(k, v) ((struct hf_log_field){.kind = HF_LOG_K_I64, .key = (k), .i64 = (v)})
#define HF_F_U64(k, v) ((struct hf_log_field){.kind = HF_LOG_K_U64, .key = (k), .u64 = (v)})
#define HF_F_DBL(k, v) ((struct hf_log_field){.kind = HF_LOG_K_DBL, .key = (k), .dbl = (v)})
/* 16 lower-case hex digits, as TXIDs are written everywhere. */
#define HF_F_TXID(k, v) ((struct hf_log_field){.kind = HF_LOG_K_TXID, .key = (k), .u64 = (v)})
#define HF_F_END ((struct hf_log_field){.kind = HF_LOG_K_END})

/* level and format of the process; to_stderr false means stdout. Call before threads start. */
void hf_log_setup(enum hf_log_level level, enum hf_log_format format, bool to_stderr);
bool hf_log_is_on(enum hf_log_level level);
/* fields: an array ended by HF_F_END. */
void hf_log_write(enum hf_log_level level, const char *event, const struct hf_log_field *fields);
/* From now on lines of this thread may wait for hf_log_flush, which it calls before it waits for
 * anything; false: no longer. At most 4 KiB wait. */
void hf_log_hold(bool is_on);
void hf_log_flush(void);
/* Parses debug, info, warn (warning), error; false if text is none of them. */
bool hf_log_parse_level(const char *text, enum hf_log_level *level);

#define hf_log(level, event, ...)                                                                  \
    do {                                                                                           \
        if (hf_log_is_on(level))                                                                   \
            hf_log_write(level, event, (const struct hf_log_field[]){__VA_ARGS__});                \
    } while (0)

/* The two fields every failure carries: what happened and the hint. */
#define HF_F_ERR(e) HF_F_STR("error", (e)->text), HF_F_STR("hint", (e)->hint)

#endif

/*
 * Most of a stream is events that hold a piece of text and nothing else that counts. They are told
 * apart by the scanner alone; all others take the way through a tree.
 *
 *   {"model":"m","choices":[{"index":0,"delta":{"content":"Hold"},"finish_reason":null}]}
 *             ^model                             ^piece
 *
 * Whoever doubts says no: then the event is read as a tree, with the same result. Pure.
 */
#ifndef HF_GATEWAY_TRANSLATE_QUICK_H
#define HF_GATEWAY_TRANSLATE_QUICK_H

#include "codec/jsonscan.h"
#include "gateway/translate.h"

struct hf_quick {
    struct hf_jsonscan_value piece; /* a string, or absent: the event says nothing */
    struct hf_jsonscan_value model; /* at the top: a string, or absent */
};

/* Whether the event or line of a stream from upstream is a piece of text (or of nothing) and
 * neither the end, nor an error, nor brings usage, thinking or tool calls. */
bool hf_quick_event(enum hf_endpoint upstream, const char *text, size_t len, struct hf_quick *out);

#endif

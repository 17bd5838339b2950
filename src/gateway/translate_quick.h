/*
 * Most of a stream is events that hold a piece of text and nothing else that counts. They are told
 * apart by the scanner alone; all others take the way through a tree.
 *
 *   {"model":"m","choices":[{"index":0,"delta":{"content":"Hold"},"finish_reason":null}]}
 *             ^model                             ^piece
 *
 * Whoever doubts says no: then the event is read as a tree, with the same result.
 *
 * The events of one stream mostly differ from each other in that piece only (and, from Ollama, in
 * their time): what was found in the last one is kept as a shape, and the next is compared with it.
 *
 *   {"model":"m","choices":[{"index":0,"delta":{"content":" fast"},"finish_reason":null}]}
 *    ^ the same bytes                                     ^ a string ^ the same bytes
 *
 * Pure.
 */
#ifndef HF_GATEWAY_TRANSLATE_QUICK_H
#define HF_GATEWAY_TRANSLATE_QUICK_H

#include "base/buf.h"
#include "codec/jsonscan.h"
#include "gateway/translate.h"

struct hf_quick {
    struct hf_jsonscan_value piece; /* a string, or absent: the event says nothing */
    struct hf_jsonscan_value model; /* at the top: a string, or absent */
    struct hf_jsonscan_value time;  /* Ollama's created_at: a string, or absent */
    enum hf_finish finish;          /* OpenAI: stop or length, if the event says so */
};

/* An event that was read quickly: its text, and where the values in it lie. */
struct hf_quick_shape {
    struct hf_buf text;
    struct hf_quick at;
};

enum { HF_QUICK_SHAPE_BYTES = 2048 }; /* larger events are read each by itself */

void hf_quick_shape_init(struct hf_quick_shape *s);
void hf_quick_shape_deinit(struct hf_quick_shape *s);

/* Whether the event or line of a stream from upstream is a piece of text (or of nothing), and at
 * most says beside it that this was the end (OpenAI); errors, usage, thinking and tool calls are
 * left to the tree. *s is of the same stream; out points into text. */
bool hf_quick_event(struct hf_quick_shape *s, enum hf_endpoint upstream, const char *text,
                    size_t len, struct hf_quick *out);

#endif

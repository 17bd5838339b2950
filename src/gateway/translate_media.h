/*
 * How many tokens images, files and sound in a request may be at most, without decoding them: a
 * budget holds that much before it is sent. What is said here is the documentation's table:
 *
 *   image (PNG, JPEG, GIF, WebP)  in the body or by URL: 5,250
 *   PDF in the body               a token a byte of base64, 300,000 at most (100 pages: what hosts
 *                                 take)
 *   PDF, file, video or sound by URL or by id               300,000
 *   sound in the body             a token for 64 bytes of base64: more than 6 kbit/s need
 *   what is none of these         a token a byte
 *
 * Pure, any thread.
 */
#ifndef HF_GATEWAY_TRANSLATE_MEDIA_H
#define HF_GATEWAY_TRANSLATE_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_MEDIA_IMAGE = 5250, HF_MEDIA_FILE = 300000, HF_MEDIA_SOUND_BYTES = 64 };

/* Of base64 that stands where the dialects have media. What it is its first bytes tell, as they
 * tell the host. */
int64_t hf_media_bound(const char *base64, size_t len);
/* Of everything in the body that is only pointed to. *has_text: it names a file that is text, which
 * may begin as media do: then no base64 in it may count as media. */
int64_t hf_media_bound_of_links(const char *body, size_t len, bool *has_text);

#endif

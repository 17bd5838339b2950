/*
 * Writes a database image from front to back, on a second thread.
 *
 * The producer copies bytes into large chunks; a thread of the image writes them out and starts
 * their write-back, so decoding and the disk work at the same time and the final fsync has little
 * left to wait for. Bounded: IMAGE_CHUNKS chunks. Offsets rise; what is skipped reads as zeros.
 *
 * Past the page cache (O_DIRECT) a large image costs a tenth of the CPU, and does not drive out of
 * memory what the machine works with. What is read right afterwards should not go that way.
 *
 *   hf_image_new → hf_image_write … → hf_image_finish → (hf_image_file …) → hf_image_free
 *
 * Used by restore; all calls from one thread.
 */
#ifndef HF_REPLICA_IMAGE_H
#define HF_REPLICA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "os/file.h"

struct hf_image;

struct hf_image_how {
    uint32_t perm;
    bool is_threaded; /* false: writes on the caller's thread */
    bool is_direct;   /* past the page cache, where the file system can */
};

/* Creates path (HF_E_EXISTS if it is there). */
HF_MUST enum hf_code hf_image_new(const char *path, const struct hf_image_how *how,
                                  struct hf_image **out, struct hf_err *err);
/* offset >= the end of the last write. */
HF_MUST enum hf_code hf_image_write(struct hf_image *im, uint64_t offset, const void *data,
                                    size_t len, struct hf_err *err);
/* Waits until all is written. No hf_image_write afterwards. Not yet synced. */
HF_MUST enum hf_code hf_image_finish(struct hf_image *im, struct hf_err *err);
/* The file, after finish: for patching, truncating, syncing. Belongs to the image. */
struct hf_file *hf_image_file(struct hf_image *im);
/* Ends the thread and closes the file; the file itself stays. NULL is allowed. */
void hf_image_free(struct hf_image *im);

#endif

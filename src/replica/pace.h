/*
 * One stream or ranges side by side: what brings a large object sooner.
 *
 * A stream is one request and the least work for both sides; where a connection is the limit,
 * ranges are several times as fast; where the server's CPU is, several times as slow. Nobody can
 * know beforehand, so it is tried: an object begins as a stream. When its reader has waited for it
 * most of the time, the next PROBE bytes come as ranges, and ranges stay if they were clearly
 * faster. Else the stream goes on, and the next trial is 32 times as far away.
 *
 * Pure: no clock, no I/O. For one thread, the object's reader.
 */
#ifndef HF_REPLICA_PACE_H
#define HF_REPLICA_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum hf_pace_way { HF_PACE_STREAM, HF_PACE_RANGES };

enum { HF_PACE_PROBE = 32 << 20 };

struct hf_pace {
    enum hf_pace_way way;
    uint64_t until; /* RANGES: what lies from here on is not to be asked for yet */
    uint64_t size;
    uint64_t at;          /* bytes read */
    uint64_t patience;    /* bytes a stream goes on for before it is judged */
    uint64_t stream_rate; /* bytes a second, of the last stretch */
    uint64_t from;        /* the stretch that is measured: its first byte, */
    uint64_t from_ns;     /* begin, */
    uint64_t waited_ns;   /* and the time the reader waited in it */
};

void hf_pace_init(struct hf_pace *p, uint64_t size, uint64_t now_ns);
/* n more bytes were read, for which the reader waited waited_ns. True: way or until have changed.
 */
bool hf_pace_read(struct hf_pace *p, uint64_t n, uint64_t waited_ns, uint64_t now_ns);

#endif

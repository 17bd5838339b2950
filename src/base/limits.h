/*
 * Every number that bounds a queue, a buffer, a retry or an input, with its reason.
 */
#ifndef HF_BASE_LIMITS_H
#define HF_BASE_LIMITS_H

#define HF_KIB (1024u)
#define HF_MIB (1024u * 1024u)

enum {
    HF_LIMIT_PATH = 4096,             /* PATH_MAX on Linux */
    HF_LIMIT_CONFIG_BYTES = 16 << 20, /* a 10,000-database file is about 3 MiB */
    HF_LIMIT_PAGE_SIZE_MIN = 512,     /* SQLite's smallest and largest page */
    HF_LIMIT_PAGE_SIZE_MAX = 65536,
    HF_LIMIT_LEVELS = 10, /* LTX levels 0 to 9; 9 holds snapshots */
    HF_LEVEL_SNAPSHOT = 9,
    HF_LIMIT_PENDING_BYTES = 1 << 20, /* captured pages of one database that make it ship early */
    HF_LIMIT_BATCH_BYTES = 12 << 20,  /* captured pages of one database held in memory at most; the
                                         rest of a large transaction goes to a spill file */
    HF_LIMIT_PENDING_ALL = 24 << 20,  /* the same over all databases: the RSS target is 64 MB */
    HF_LIMIT_SPILL_BYTES =
        256 << 20,                   /* spill file of one database: some seconds of a bulk writer */
    HF_LIMIT_SPILL_ALL = 1 << 30,    /* of all: a store that is away must not fill the disk */
    HF_LIMIT_SPILL_INDEX = 1 << 20,  /* page-index bytes an encoder keeps before it uses a file */
    HF_LIMIT_MERGE_INPUTS = 4096,    /* files one merge opens: 5 min of L0 at 20 ms is more; merges
                                        then run in several rounds */
    HF_LIMIT_READ_AHEAD = 256 << 10, /* read buffer of one LTX input */
    HF_LIMIT_REPLICAS = 8,           /* destinations of one database: each costs threads and puts */
    HF_LIMIT_SHIP_GROUPS = 16,       /* services with threads of their own; more of them share */
    HF_LIMIT_SPOOL_BYTES = 64 << 20, /* local files of one database that a destination lacks: a
                                        minute of 1 MiB/s; then it is caught up from another one */
    HF_LIMIT_FOLD_FILES = 256,       /* spooled files that become one upload */
    HF_LIMIT_FOLD_BYTES = 32 << 20,  /* ... and their bytes: a retry repeats no more than that */
};

/* Spooled files over all databases: disk that is not the databases' own. */
#define HF_LIMIT_SPOOL_ALL (2048ull * HF_MIB)

#endif

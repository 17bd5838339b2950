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
    HF_LIMIT_BATCH_BYTES = 36 << 20,  /* captured pages of one database held in memory at most: one
                                         large transaction that must not hold up its log */
    HF_LIMIT_PENDING_ALL = 24 << 20,  /* the same over all databases: the RSS target is 64 MB */
    HF_LIMIT_SPILL_INDEX = 1 << 20,   /* page-index bytes an encoder keeps before it uses a file */
    HF_LIMIT_MERGE_INPUTS = 4096,     /* files one merge opens: 5 min of L0 at 20 ms is more; merges
                                         then run in several rounds */
    HF_LIMIT_READ_AHEAD = 256 << 10,  /* read buffer of one LTX input */
    HF_LIMIT_HTTPD_HEAD = 32 << 10,   /* memory of one HTTP connection: request line and headers
                                         (agents send 2-4 KiB) and the write buffer */
    HF_LIMIT_HTTPD_QUEUE = 5 << 20,   /* unsent bytes of one streamed answer: the mark at which
                                         writers stop, and one event of 4 MiB on top */
    HF_LIMIT_STREAM_EVENT = 4 << 20,  /* one event or line of a model's stream: a tool call that
                                         writes a file of 1 MiB, escaped, still fits */
    HF_LIMIT_ANSWER = 32 << 20,       /* one whole answer of a model: 1,000 embeddings of 3,072
                                         dimensions as text are about 25 MiB */
    HF_LIMIT_TOOLS = 1024,            /* tools of one request; agents bring about 200 at most */
    HF_LIMIT_MESSAGES = 16384,        /* messages of one request; long agent runs have some 1,000 */
    HF_LIMIT_HTTP_URL = 16 << 10,  /* a path of 2 KiB escaped three times over, and a signature */
    HF_LIMIT_HTTP_HEAD = 64 << 10, /* response headers of one call: servers stop far below */
    HF_LIMIT_HTTP_CALLS = 8192,    /* calls of one client that run or wait for a connection */
    HF_LIMIT_HTTP_CONNS_PER_HOST = 64, /* enough to fill a link with small objects */
    HF_LIMIT_HTTP_CONNS = 256,         /* descriptors one client holds for connections */
    HF_LIMIT_HTTP_STREAM = 512 << 10,  /* response bytes that wait for a blocking reader */
};

#endif

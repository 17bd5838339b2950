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
    HF_LIMIT_SPILL_BYTES = 256 << 20, /* spill file of one database: seconds of a bulk writer */
    HF_LIMIT_SPILL_ALL = 1 << 30,     /* of all: a store that is away must not fill the disk */
    HF_LIMIT_SPILL_INDEX = 1 << 20,   /* page-index bytes an encoder keeps before it uses a file */
    HF_LIMIT_MERGE_INPUTS = 4096,     /* files one merge opens: 5 min of L0 at 20 ms is more; merges
                                         then run in several rounds */
    HF_LIMIT_READ_AHEAD = 256 << 10,  /* read buffer of one LTX input */
    HF_LIMIT_STORE_REQUESTS_S = 2000, /* of all HTTP stores; accounts allow ten times as many */
    HF_LIMIT_STORE_BYTES = 24 << 20,  /* bodies they send at once: the RSS target is 64 MB */
    HF_LIMIT_STORE_BLOCK = 4 << 20,   /* a larger object is sent in blocks of this size */
    HF_LIMIT_STORE_AHEAD = 12 << 20,  /* of one object, in blocks that are under way at once */
    HF_LIMIT_STORE_DELETES = 16,      /* deletes of one call that run at once */
    HF_LIMIT_XML = 16 << 20,          /* 5,000 listed objects with metadata are about 5 MiB */
    HF_LIMIT_HTTP_URL = 16 << 10,  /* a path of 2 KiB escaped three times over, and a signature */
    HF_LIMIT_HTTP_HEAD = 64 << 10, /* response headers of one call: servers stop far below */
    HF_LIMIT_HTTP_CALLS = 8192,    /* calls of one client that run or wait for a connection */
    HF_LIMIT_HTTP_CONNS_PER_HOST = 64, /* enough to fill a link with small objects */
    HF_LIMIT_HTTP_CONNS = 256,         /* descriptors one client holds for connections */
    HF_LIMIT_HTTP_STREAM = 256 << 10,  /* response bytes that wait for a blocking reader */
    HF_LIMIT_KNOWN_HOSTS = 4 << 20,    /* bytes of a known_hosts file: 10,000 hosts */
    HF_LIMIT_SFTP_SESSIONS = 4,        /* connections to one server; sshd starts refusing at 10
                                          that are not logged in yet (MaxStartups) */
    HF_LIMIT_SFTP_CONNECT_MS = 10000,  /* for one address of a server */
    HF_LIMIT_SFTP_TIMEOUT_MS = 30000,  /* for one answer: at 8 kB/s a piece of 256 KiB passes */
    HF_LIMIT_SFTP_TRIES = 3,           /* of a call whose connection broke: one for a connection
                                          that went stale unnoticed, one more; the callers wait
                                          and try again themselves */
    HF_LIMIT_SFTP_BUFFER = 1 << 20,    /* of one writer: objects up to this are sent again as a
                                          whole when the connection breaks */
    HF_LIMIT_SFTP_PIECE = 256 << 10,   /* bytes of one call of libssh2 */
    HF_LIMIT_HTTPD_HEAD = 16 << 10,    /* memory of one HTTP connection: request line and headers
                                          (agents send 2-4 KiB, tokens of 8 KiB are known) and
                                          the write buffer; cleared after each request; heads
                                          above 14 KiB get 431, so that the answer fits beside */
    HF_LIMIT_HTTPD_QUEUE = 5 << 20,    /* unsent bytes of one streamed answer: the mark at which
                                          writers stop, and one event of 4 MiB on top */
    HF_LIMIT_STREAM_EVENT = 4 << 20,   /* one event or line of a model's stream: a tool call that
                                          writes a file of 1 MiB, escaped, still fits */
    HF_LIMIT_ANSWER = 32 << 20,        /* one whole answer of a model: 1,000 embeddings of 3,072
                                          dimensions as text are about 25 MiB */
    HF_LIMIT_TOOLS = 1024,             /* tools of one request; agents bring about 200 at most */
    HF_LIMIT_MESSAGES = 16384,       /* messages of one request; long agent runs have some 1,000 */
    HF_LIMIT_REPLICAS = 8,           /* destinations of one database: each costs threads and puts */
    HF_LIMIT_SHIP_GROUPS = 16,       /* services with threads of their own; more of them share */
    HF_LIMIT_SPOOL_BYTES = 64 << 20, /* local files of one database that a destination lacks: a
                                        minute of 1 MiB/s; then it is caught up from another one */
    HF_LIMIT_FOLD_FILES = 256,       /* spooled files that become one upload */
    HF_LIMIT_FOLD_BYTES = 32 << 20,  /* ... and their bytes: a retry repeats no more than that */
    HF_LIMIT_UNIXHTTP_ANSWER = 32 << 20, /* status of 10,000 databases is about 6 MiB */
    HF_LIMIT_STORE_CONNS = 128,          /* to one host: a merge may hold 64 that wait for it, and
                                            uploads must not wait for the merge */
    HF_LIMIT_STORE_LIGHT = 64 << 10,     /* bytes of an object that wait in memory for a merge of
                                            hundreds: 32 MiB at the very most, commonly below 1 */
    HF_LIMIT_EMPTY_DOUBT_MS = 60000, /* a listing without anything where something was put is not
                                        believed for so long: stale listings last seconds */
    HF_LIMIT_FETCH_WHOLE = 1 << 20,  /* an object up to this is fetched by one request, ahead */
    HF_LIMIT_FETCH_KEPT = 8 << 20, /* ... and waits in memory; the rest in a file: the RSS target */
    HF_LIMIT_KEPT = 12 << 20,      /* files just put, kept for the first compaction: half a minute
                                      of 69 databases at 100 transactions a second is 6 to 10 MiB */
    HF_LIMIT_KEPT_FILE = 256 << 10,   /* one of them: a larger one is worth its read */
    HF_LIMIT_KEYS = 64,               /* of one replica's encryption: years of monthly changes */
    HF_LIMIT_S3_PART_MIN = 5 << 20,   /* S3's own, but for the last part */
    HF_LIMIT_S3_PART_MAX = 64 << 20,  /* one part of a writer is in memory; 10,000 make 640 GiB */
    HF_LIMIT_JOURNAL_QUEUE = 8192,    /* records of the gateway's journal that wait for the
                                         disk: 1 KiB each; at 100 requests/s 80 s of a stall */
    HF_LIMIT_JOURNAL_ROWS = 20000000, /* usage rows kept: about 3 GiB, a year at 0.6 requests/s */
    HF_LIMIT_USAGE_ROWS = 10000,      /* of one answer of the usage page: 3 MiB */
    HF_LIMIT_GATEWAY_ACCOUNTS = 4096, /* keys seen by one gateway, gone ones included */
    HF_LIMIT_GATEWAY_SERIES = 2048,   /* pairs of key and model with counters of their own; the
                                         rest shares one: metrics must not grow with names that
                                         clients make up */
    HF_LIMIT_PACK_SHIPPERS = 96,      /* databases whose changes wait for one pack: a thread each */
    HF_LIMIT_PACK_BUSY = 8,           /* of those that encode, or send an object of their own */
    HF_LIMIT_PACK_FILE = 128 << 10,   /* an LTX file above it saves nothing in a pack; a merge
                                         of 512 out of packs holds 64 MiB at the very most */
    HF_LIMIT_PACK_BYTES = 8 << 20,    /* LTX files of one pack; beyond, it goes at once */
    HF_LIMIT_PACK_TABLE = 256 << 10,  /* 96 entries with paths of 2 KiB, and some air */
    HF_LIMIT_PACK_UP = 16,            /* directories from a replica up to its packs */
    HF_LIMIT_PACK_CACHE = 12 << 20, /* packs just written: L1 is made of them half a minute later */
    HF_LIMIT_PACK_TRIES = 8,        /* of one pack whose place another writer took */
};

/* Spooled files over all databases: disk that is not the databases' own. */
#define HF_LIMIT_SPOOL_ALL (2048ull * HF_MIB)

#endif

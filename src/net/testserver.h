/*
 * A small HTTP/1.1 server for tests of the client: one thread a connection, behaviour by path.
 * Test-only.
 *
 *   /echo          200, the body is the request as it came, head and all
 *   /status/N      status N, empty
 *   /bytes/N       200, N bytes: 'a' to 'z' over and over
 *   /chunked       200 in three chunks "one" "two" "three", and a trailer
 *   /continue      100, then 200 "late"
 *   /redirect      302 to /status/200
 *   /headers/N     200 with N bytes of headers
 *   /drip          200, a byte every 10 ms until the client goes
 *   /hang          never an answer
 *   /close         reads the request, closes
 *   /cut           announces 100 bytes, sends 10, closes
 *   /spent         200, and closes on the connection's next request
 */
#ifndef HF_NET_TESTSERVER_H
#define HF_NET_TESTSERVER_H

#include <stdatomic.h>

struct hf_testserver {
    int fd;
    int port;
    atomic_int requests; /* heads read whole */
    atomic_int conns;
    atomic_int open;
    atomic_bool is_stopping;
    unsigned long thread;
};

void hf_testserver_start(struct hf_testserver *s);
void hf_testserver_stop(struct hf_testserver *s);

#endif

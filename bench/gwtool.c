/* gwtool: a model server that costs next to nothing, and the clients that measure what is in front of it.
 *
 *   gwtool serve [ADDRESS]             listens on a free port of it (127.0.0.1), prints "port N"; GET /asks tells when
 *                                      the first requests came, in ns of the monotonic clock
 *   gwtool load HOST:PORT [options]    requests over -c connections, figures as one JSON line
 *      -c N   connections (1)          -d S   seconds (3)        -n N   stop after N requests in all
 *      -b N   bytes of the body (200)  -m M   model              -p P   path (/v1/chat/completions)
 *      -s     ask for a stream         -w MS  start connections evenly over so many ms
 *
 * The model's name says what is answered: cNiMdK = N pieces, M ms between two, the first after K ms (c3i0d0).
 * Every piece holds the server's monotonic clock as @T<16 hex digits>, so that a client on the same machine knows how
 * long it was under way, whatever lies between. An answer without its end, or of a status other than 200, is an error.
 *
 * build: cc -O2 -o gwtool gwtool.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}
static void die(const char *what) {
  fprintf(stderr, "gwtool: %s: %s\n", what, strerror(errno));
  exit(1);
}
static void *need(void *p) {
  if (!p) die("memory");
  return p;
}
static void more_files(void) {
  struct rlimit r;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
}

/* ---- the server ---- */

struct conn {
  int fd;
  char *in;
  size_t len, cap;
  bool streams, is_v1;      /* a stream is under way */
  int left, every_ms;
  uint64_t due;             /* 0: nothing to send */
};
static struct conn *conns[65536];
static int top;
static uint64_t asks[32];
static int n_asks;

static void drop(struct conn *c) {
  conns[c->fd] = NULL;
  close(c->fd);
  free(c->in);
  free(c);
}
static bool put(struct conn *c, const char *s, size_t n) {
  while (n > 0) {
    ssize_t k = send(c->fd, s, n, MSG_NOSIGNAL);
    if (k < 0) return errno == EAGAIN; /* a reader that does not read: pieces are lost, the test then fails */
    s += k;
    n -= (size_t)k;
  }
  return true;
}
static size_t piece(char *out, const struct conn *c, int i, bool last) {
  char text[64], data[512];
  snprintf(text, sizeof text, "@T%016" PRIx64 " %d ", now_ns(), i);
  int n;
  if (c->is_v1)
    n = snprintf(data, sizeof data,
                 "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
                 "\"delta\":{\"content\":\"%s\"},\"finish_reason\":%s}]}\n\n%s", text, last ? "\"stop\"" : "null", last ? "data: [DONE]\n\n" : "");
  else
    n = snprintf(data, sizeof data, "{\"model\":\"m\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"done\":%s}\n",
                 text, last ? "true,\"done_reason\":\"stop\",\"prompt_eval_count\":5,\"eval_count\":9" : "false");
  return (size_t)sprintf(out, "%x\r\n%s\r\n%s", n, data, last ? "0\r\n\r\n" : "");
}
static bool reply(struct conn *c, const char *body) {
  char out[2048];
  int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  return put(c, out, (size_t)n);
}
static bool send_some(struct conn *c) {
  char out[32768];
  size_t n = 0;
  static int i;
  if (!c->streams) {
    char body[1024];
    c->due = 0;
    if (c->is_v1)
      snprintf(body, sizeof body, "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":"
               "{\"role\":\"assistant\",\"content\":\"@T%016" PRIx64 "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":9,"
               "\"total_tokens\":14}}", now_ns());
    else
      snprintf(body, sizeof body, "{\"model\":\"m\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"@T%016" PRIx64 "\"},"
               "\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":5,\"eval_count\":9}", now_ns());
    return reply(c, body);
  }
  do {
    n += piece(out + n, c, i++, c->left == 1);
    c->left--;
  } while (c->every_ms == 0 && c->left > 0 && n < sizeof out - 1024);
  c->due = c->left > 0 ? c->due + (uint64_t)c->every_ms * 1000000u : 0;
  return put(c, out, n);
}
static bool answer(struct conn *c, const char *head, const char *body) {
  int n = 1, every = 0, first = 0;
  c->is_v1 = strstr(head, " /v1/") != NULL;
  if (strncmp(head, "GET ", 4) == 0) {
    if (strncmp(head + 4, "/asks", 5) == 0) {
      char text[32 * 24 + 8] = "[";
      for (int i = 0; i < n_asks; i++) sprintf(text + strlen(text), "%s%" PRIu64, i ? "," : "", asks[i]);
      return reply(c, strcat(text, "]"));
    }
    if (strstr(head, "/api/version")) return reply(c, "{\"version\":\"0.12.6\"}");
    if (strstr(head, "/api/tags")) return reply(c, "{\"models\":[{\"name\":\"m\",\"size\":1000}]}");
    if (strstr(head, "/api/ps")) return reply(c, "{\"models\":[]}");
    return reply(c, "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\"}]}");
  }
  if (n_asks < 32) asks[n_asks++] = now_ns();
  if (strstr(head, "/embed")) return reply(c, "{\"object\":\"list\",\"model\":\"m\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
                                              "[0.1,0.2,0.3,0.4]}],\"usage\":{\"prompt_tokens\":3,\"total_tokens\":3}}");
  const char *m = strstr(body, "\"model\"");
  if (m && (m = strchr(m + 7, '"'))) sscanf(m, "\"c%di%dd%d", &n, &every, &first);
  c->streams = strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
  c->left = n < 1 ? 1 : n;
  c->every_ms = every;
  c->due = now_ns() + (uint64_t)first * 1000000u;
  if (c->streams) {
    char h[256];
    int k = snprintf(h, sizeof h, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", c->is_v1 ? "text/event-stream" : "application/x-ndjson");
    if (send(c->fd, h, (size_t)k, MSG_NOSIGNAL | (first == 0 ? MSG_MORE : 0)) != k) return false;
  }
  return first > 0 || send_some(c);
}
static bool on_data(struct conn *c) {
  while (true) {
    if (c->cap - c->len < 4096) c->in = need(realloc(c->in, c->cap = c->cap ? c->cap * 2 : 8192));
    ssize_t n = recv(c->fd, c->in + c->len, c->cap - c->len - 1, 0);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN;
    c->len += (size_t)n;
    c->in[c->len] = 0;
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) continue;
    *end = 0;
    char *l = strcasestr(c->in, "content-length:");
    size_t body = l ? strtoul(l + 15, NULL, 10) : 0, all = (size_t)(end + 4 - c->in) + body;
    if (c->len < all) {
      *end = '\r';
      continue;
    }
    bool ok = answer(c, c->in, end + 4);
    c->len = 0; /* no pipelining */
    if (c->cap > 65536) {
      free(c->in);
      c->in = NULL;
      c->cap = 0;
    }
    return ok;
  }
}
static void take(int ep, int lis) {
  int fd, one = 1;
  while ((fd = accept4(lis, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    if (fd >= 65536) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    conns[fd] = need(calloc(1, sizeof(struct conn)));
    conns[fd]->fd = fd;
    if (fd >= top) top = fd + 1;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  }
}
static _Noreturn void serve(const char *address) {
  int ep = epoll_create1(EPOLL_CLOEXEC), lis = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in a = {.sin_family = AF_INET};
  inet_pton(AF_INET, address, &a.sin_addr);
  socklen_t len = sizeof a;
  if (bind(lis, (struct sockaddr *)&a, sizeof a) || listen(lis, 4096) || getsockname(lis, (struct sockaddr *)&a, &len)) die("listen");
  struct epoll_event e = {.events = EPOLLIN, .data.fd = lis}, got[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, lis, &e);
  printf("port %d\n", ntohs(a.sin_port));
  fflush(stdout);
  uint64_t looked = 0;
  bool waiting = false;
  while (true) {
    int n = epoll_wait(ep, got, 256, waiting ? 1 : 1000);
    for (int i = 0; i < n; i++) {
      int fd = got[i].data.fd;
      if (fd == lis) take(ep, lis);
      else if (conns[fd] && !on_data(conns[fd])) drop(conns[fd]);
      else waiting |= conns[fd] && conns[fd]->due;
    }
    uint64_t now = now_ns();
    if (!waiting || now - looked < 500000) continue;
    looked = now;
    waiting = false;
    for (int fd = 0; fd < top; fd++) {
      struct conn *c = conns[fd];
      if (!c || !c->due) continue;
      if (c->due <= now && !send_some(c)) drop(c);
      else waiting |= c->due != 0;
    }
  }
}

/* ---- the clients ---- */

struct samples {
  uint32_t *us10; /* tenths of a microsecond */
  size_t n, cap;
};
static void note(struct samples *s, uint64_t ns) {
  if (s->n == s->cap) s->us10 = need(realloc(s->us10, (s->cap = s->cap ? s->cap * 2 : 4096) * sizeof(uint32_t)));
  s->us10[s->n++] = (uint32_t)(ns / 100);
}
static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}
static double at(const struct samples *s, double q) {
  if (s->n == 0) return 0;
  size_t i = (size_t)(q * (double)(s->n - 1) + 0.5);
  return s->us10[i] / 10.0;
}
static void print_samples(const char *name, struct samples *s) {
  qsort(s->us10, s->n, sizeof(uint32_t), by_value);
  printf(",\"%s\":{\"n\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name, s->n, at(s, 0.5), at(s, 0.9), at(s, 0.99), at(s, 1));
}

enum { HEAD, FIXED, SIZE, CHUNK, CHUNK_END, TRAILER };
struct client {
  int fd;
  bool busy, open;
  size_t sent;
  uint64_t t0, start_at;
  char head[8192];
  size_t hlen;
  int state, status;
  size_t left;
  bool line_has;
  int mark;
  uint64_t stamp;
  bool first;
};
static struct {
  struct sockaddr_in to;
  char *req;
  size_t req_len;
  int ep, c;
  long max;
  uint64_t end;
  long started, ok, errors, by_status, cut;
  bool stopping;
  struct samples whole, pieces, firsts;
  char why[200];
} L;

static void marks(struct client *c, const char *p, size_t n, uint64_t now) {
  for (size_t i = 0; i < n; i++) {
    char b = p[i];
    if (c->mark >= 2) {
      int d = b >= '0' && b <= '9' ? b - '0' : b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
      if (d < 0) {
        c->mark = 0;
        continue;
      }
      c->stamp = c->stamp << 4 | (uint64_t)d;
      if (++c->mark == 18) {
        note(&L.pieces, now - c->stamp);
        if (!c->first) note(&L.firsts, now - c->t0);
        c->first = true;
        c->mark = 0;
      }
    } else {
      c->mark = b == '@' ? 1 : c->mark == 1 && b == 'T' ? 2 : 0;
      c->stamp = 0;
    }
  }
}
/* How much of the bytes belongs to the answer; *done when it is whole. -1: nonsense. */
static bool body(struct client *c, const char *p, size_t n, uint64_t now) {
  while (n > 0) {
    size_t k = 1;
    switch (c->state) {
    case FIXED:
    case CHUNK:
      k = n < c->left ? n : c->left;
      marks(c, p, k, now);
      c->left -= k;
      if (c->left == 0 && c->state == FIXED) return true;
      if (c->left == 0) c->state = CHUNK_END;
      break;
    case SIZE:
      if (*p == '\n') {
        c->state = c->left ? CHUNK : TRAILER;
        c->line_has = false;
      } else if (*p != '\r') {
        int d = *p >= '0' && *p <= '9' ? *p - '0' : (*p | 32) - 'a' + 10;
        c->left = c->left * 16 + (size_t)d;
      }
      break;
    case CHUNK_END:
      if (*p == '\n') {
        c->state = SIZE;
        c->left = 0;
      }
      break;
    default: /* TRAILER */
      if (*p == '\n' && !c->line_has) return true;
      c->line_has = *p == '\r' ? c->line_has : *p != '\n';
    }
    p += k;
    n -= k;
  }
  return false;
}
static void close_client(struct client *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->open = c->busy = false;
}
static void failed(struct client *c, const char *why) {
  if (c->busy) {
    L.errors++;
    if (!L.why[0]) snprintf(L.why, sizeof L.why, "%s (status %d)", why, c->status);
  }
  close_client(c);
}
static void want(struct client *c, uint32_t events, int op) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  epoll_ctl(L.ep, op, c->fd, &e);
}
static void send_more(struct client *c) {
  bool was = c->sent > 0;
  while (c->sent < L.req_len) {
    ssize_t k = send(c->fd, L.req + c->sent, L.req_len - c->sent, MSG_NOSIGNAL);
    if (k < 0 && errno == EAGAIN) {
      want(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      if (c->sent == 0) c->sent = 0;
      return;
    }
    if (k < 0) {
      failed(c, "send");
      return;
    }
    c->sent += (size_t)k;
  }
  if (was) want(c, EPOLLIN, EPOLL_CTL_MOD);
}
static bool begin(struct client *c) {
  uint64_t now = now_ns();
  if (L.stopping || now >= L.end || (L.max && L.started >= L.max)) return false;
  if (!c->open) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&L.to, sizeof L.to) && errno != EINPROGRESS) die("connect");
    c->open = true;
    want(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
  }
  L.started++;
  c->busy = true;
  c->first = false;
  c->sent = c->hlen = 0;
  c->state = HEAD;
  c->status = c->mark = 0;
  c->t0 = now;
  send_more(c);
  return true;
}
static void whole(struct client *c, uint64_t now) {
  c->busy = false;
  if (c->status == 200) {
    L.ok++;
    note(&L.whole, now - c->t0);
  } else {
    L.errors++;
    L.by_status++;
    if (!L.why[0]) snprintf(L.why, sizeof L.why, "status %d: %.150s", c->status, c->head);
  }
  begin(c);
}
static void receive(struct client *c) {
  static char buf[262144];
  ssize_t n = recv(c->fd, buf, sizeof buf, 0);
  uint64_t now = now_ns();
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    L.cut += c->busy;
    failed(c, n == 0 ? "closed early" : strerror(errno));
    return;
  }
  const char *p = buf;
  size_t len = (size_t)n;
  if (c->state == HEAD) {
    size_t old = c->hlen, room = sizeof c->head - 1 - old, k = len < room ? len : room;
    memcpy(c->head + old, p, k);
    c->head[c->hlen = old + k] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return;
    size_t used = (size_t)(end + 4 - c->head) - old;
    p += used;
    len -= used;
    sscanf(c->head, "HTTP/1.1 %d", &c->status);
    *end = 0;
    char *l = strcasestr(c->head, "content-length:");
    c->state = l ? FIXED : SIZE;
    c->left = l ? strtoul(l + 15, NULL, 10) : 0;
    c->line_has = false;
  }
  if (body(c, p, len, now)) whole(c, now);
}
static void make_request(const char *path, const char *model, bool stream, size_t bytes) {
  char *b = need(malloc(bytes + 1024));
  int n = sprintf(b, strstr(path, "/embed") ? "{\"model\":\"%s\",\"input\":\"" : stream ? "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\""
                                              : "{\"model\":\"%s\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"", model);
  const char *tail = strstr(path, "/embed") ? "\"}" : "\"}]}";
  static const char words[] = "Hold fast what you have been given. ";
  while ((size_t)n + strlen(tail) < bytes) {
    b[n] = words[n % (int)(sizeof words - 1)];
    n++;
  }
  n += sprintf(b + n, "%s", tail);
  L.req = need(malloc((size_t)n + 1024));
  L.req_len = (size_t)sprintf(L.req, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, n, b);
  free(b);
}
static void on_term(int sig) {
  (void)sig;
  L.stopping = true;
}
static int load(int argc, char **argv) {
  const char *path = "/v1/chat/completions", *model = "c3i0d0";
  size_t bytes = 200;
  double seconds = 3;
  long spread_ms = 0;
  bool stream = false;
  int o;
  L.c = 1;
  while ((o = getopt(argc, argv, "c:d:n:b:m:p:sw:")) != -1) {
    if (o == 'c') L.c = atoi(optarg);
    else if (o == 'd') seconds = atof(optarg);
    else if (o == 'n') L.max = atol(optarg);
    else if (o == 'b') bytes = strtoul(optarg, NULL, 10);
    else if (o == 'm') model = optarg;
    else if (o == 'p') path = optarg;
    else if (o == 's') stream = true;
    else if (o == 'w') spread_ms = atol(optarg);
    else return 2;
  }
  char *colon = optind < argc ? strchr(argv[optind], ':') : NULL;
  if (!colon) return 2;
  *colon = 0;
  L.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
  inet_pton(AF_INET, argv[optind], &L.to.sin_addr);
  make_request(path, model, stream, bytes);
  signal(SIGTERM, on_term);
  signal(SIGINT, on_term);
  L.ep = epoll_create1(EPOLL_CLOEXEC);
  struct client *cs = need(calloc((size_t)L.c, sizeof *cs));
  uint64_t t = now_ns(), next = 0;
  int begun = 0;
  L.end = t + (uint64_t)(seconds * 1e9);
  struct epoll_event got[256];
  for (int i = 0; i < L.c; i++) {
    cs[i].fd = -1;
    cs[i].start_at = t + (uint64_t)(spread_ms * 1000000.0 * i / L.c);
  }
  while (true) {
    uint64_t now = now_ns();
    while (begun < L.c && cs[begun].start_at <= now) begin(&cs[begun++]);
    if (now > next) { /* clients whose connection failed begin anew, ten times a second */
      bool busy = begun < L.c && now < L.end && !L.stopping;
      next = now + 100000000u;
      for (int i = 0; i < begun; i++) {
        if (!cs[i].open) begin(&cs[i]);
        busy |= cs[i].busy;
      }
      if (!busy) break;
      if (now > L.end + 30000000000ull) break;
    }
    int n = epoll_wait(L.ep, got, 256, begun < L.c ? 1 : 20);
    for (int i = 0; i < n; i++) {
      struct client *c = got[i].data.ptr;
      if (!c->open) continue;
      if ((got[i].events & EPOLLOUT) && c->busy) {
        if (c->sent < L.req_len) send_more(c);
        else want(c, EPOLLIN, EPOLL_CTL_MOD);
      }
      if (c->open && (got[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive(c);
    }
  }
  for (int i = 0; i < L.c; i++) failed(&cs[i], "not finished in time");
  double took = (double)(now_ns() - t) / 1e9;
  printf("{\"ok\":%ld,\"errors\":%ld,\"bad_status\":%ld,\"cut\":%ld,\"seconds\":%.3f,\"per_s\":%.0f,\"why\":\"", L.ok, L.errors, L.by_status, L.cut, took, (double)L.ok / took);
  for (char *p = L.why; *p; p++) putchar((unsigned char)*p < 32 || *p == '"' || *p == '\\' ? ' ' : *p);
  printf("\"");
  print_samples("whole_us", &L.whole);
  print_samples("piece_us", &L.pieces);
  print_samples("first_us", &L.firsts);
  printf("}\n");
  return 0;
}

int main(int argc, char **argv) {
  more_files();
  signal(SIGPIPE, SIG_IGN);
  if (argc > 1 && strcmp(argv[1], "serve") == 0) serve(argc > 2 ? argv[2] : "127.0.0.1");
  if (argc > 1 && strcmp(argv[1], "load") == 0) return load(argc - 1, argv + 1);
  fprintf(stderr, "gwtool serve | gwtool load HOST:PORT [options]: see the head of gwtool.c\n");
  return 2;
}

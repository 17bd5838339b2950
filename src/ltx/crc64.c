/*
 * Two ways to the same number.
 *
 * Tables: 16 bytes a step. table[k][b] is the CRC state after byte b and k zero bytes, so the
 * sixteen look-ups of a step don't depend on each other.
 *
 * Carry-less multiplication: eight 128-bit lanes run down the data; a lane moves D bits on by
 *     lo * x^(D+64) + hi * x^D   (mod P),   lo being the first eight bytes in memory.
 * In the reflected bit order a 64x64 product comes out one degree too high, hence the -1 in the
 * exponents. The constants are computed at the first call from the polynomial instead of being
 * listed: nothing to mistype. The last 128 bits are reduced by one table step. Method: Gopal et
 * al., "Fast CRC computation for generic polynomials using PCLMULQDQ" (Intel, 2009).
 */
#include "ltx/crc64.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "os/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HF_CRC_CLMUL "pclmul"
#define HF_CRC_TARGET __attribute__((target("pclmul,sse4.1")))
#elif defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_neon.h>
#define HF_CRC_CLMUL "pmull"
#ifdef __clang__
#define HF_CRC_TARGET __attribute__((target("aes")))
#else
#define HF_CRC_TARGET __attribute__((target("+crypto")))
#endif
#endif

#define POLY 0xD800000000000000ull
#define CHECK_BIT (1ull << 63)
enum { LANES = 8, LANE_BYTES = 16, STRIDE = LANES * LANE_BYTES };

typedef uint64_t crc_fn(uint64_t state, const uint8_t *p, size_t len);

static crc_fn resolve;

/* Built once by build(); read-only afterwards. */
static struct {
    uint64_t table[16][256];
    uint64_t far_lo, far_hi;   /* one stride on: x^(1024+63), x^(1024-1) */
    uint64_t near_lo, near_hi; /* one lane on: x^(128+63), x^(128-1) */
    _Atomic(crc_fn *) run;
} crc = {.run = resolve};

static uint64_t load_le64(const uint8_t *p)
{
    return __builtin_bswap64(hf_be64(p));
}

/* One polynomial degree up, reflected. */
static uint64_t times_x(uint64_t v)
{
    return (v >> 1) ^ ((v & 1) ? POLY : 0);
}

static uint64_t x_to_the(unsigned n)
{
    uint64_t v = 1ull << 63; /* x^0 */
    while (n-- > 0)
        v = times_x(v);
    return v;
}

/* state: the register before the final XOR. */
static uint64_t step16(uint64_t state, const uint8_t *p)
{
    uint64_t a = load_le64(p) ^ state;
    uint64_t b = load_le64(p + 8);
    uint64_t r = 0;
    for (unsigned i = 0; i < 8; i++) {
        r ^= crc.table[15 - i][(a >> (8 * i)) & 0xff];
        r ^= crc.table[7 - i][(b >> (8 * i)) & 0xff];
    }
    return r;
}

static uint64_t run_tables(uint64_t state, const uint8_t *p, size_t len)
{
    for (; len >= 16; p += 16, len -= 16)
        state = step16(state, p);
    for (; len > 0; p++, len--)
        state = crc.table[0][(state ^ *p) & 0xff] ^ (state >> 8);
    return state;
}

#if defined(__x86_64__)

HF_CRC_TARGET static inline __m128i fold(__m128i lane, __m128i k, __m128i next)
{
    __m128i lo = _mm_clmulepi64_si128(lane, k, 0x00);
    __m128i hi = _mm_clmulepi64_si128(lane, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

HF_CRC_TARGET static inline __m128i load(const uint8_t *p, unsigned lane)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(p + (size_t)lane * LANE_BYTES));
}

HF_CRC_TARGET static uint64_t run_clmul(uint64_t state, const uint8_t *p, size_t len)
{
    if (len < STRIDE)
        return run_tables(state, p, len);
    __m128i far_k = _mm_set_epi64x((long long)crc.far_hi, (long long)crc.far_lo);
    __m128i near_k = _mm_set_epi64x((long long)crc.near_hi, (long long)crc.near_lo);
    __m128i v[LANES];
    for (unsigned i = 0; i < LANES; i++)
        v[i] = load(p, i);
    v[0] = _mm_xor_si128(v[0], _mm_cvtsi64_si128((long long)state));
    for (p += STRIDE, len -= STRIDE; len >= STRIDE; p += STRIDE, len -= STRIDE) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < LANES; i++)
            v[i] = fold(v[i], far_k, load(p, i));
    }
    __m128i x = v[0];
    for (unsigned i = 1; i < LANES; i++)
        x = fold(x, near_k, v[i]);
    for (; len >= LANE_BYTES; p += LANE_BYTES, len -= LANE_BYTES)
        x = fold(x, near_k, load(p, 0));
    uint8_t last[LANE_BYTES];
    _mm_storeu_si128((__m128i *)(void *)last, x);
    return run_tables(step16(0, last), p, len);
}

#elif defined(HF_CRC_CLMUL)

HF_CRC_TARGET static inline uint64x2_t fold(uint64x2_t lane, const uint64_t k[2], uint64x2_t next)
{
    poly128_t lo = vmull_p64((poly64_t)vgetq_lane_u64(lane, 0), (poly64_t)k[0]);
    poly128_t hi = vmull_p64((poly64_t)vgetq_lane_u64(lane, 1), (poly64_t)k[1]);
    uint64x2_t sum = veorq_u64(vreinterpretq_u64_p128(lo), vreinterpretq_u64_p128(hi));
    return veorq_u64(sum, next);
}

HF_CRC_TARGET static inline uint64x2_t load(const uint8_t *p, unsigned lane)
{
    return vreinterpretq_u64_u8(vld1q_u8(p + (size_t)lane * LANE_BYTES));
}

HF_CRC_TARGET static uint64_t run_clmul(uint64_t state, const uint8_t *p, size_t len)
{
    if (len < STRIDE)
        return run_tables(state, p, len);
    const uint64_t far_k[2] = {crc.far_lo, crc.far_hi};
    const uint64_t near_k[2] = {crc.near_lo, crc.near_hi};
    uint64x2_t v[LANES];
    for (unsigned i = 0; i < LANES; i++)
        v[i] = load(p, i);
    v[0] = veorq_u64(v[0], vsetq_lane_u64(state, vdupq_n_u64(0), 0));
    for (p += STRIDE, len -= STRIDE; len >= STRIDE; p += STRIDE, len -= STRIDE) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < LANES; i++)
            v[i] = fold(v[i], far_k, load(p, i));
    }
    uint64x2_t x = v[0];
    for (unsigned i = 1; i < LANES; i++)
        x = fold(x, near_k, v[i]);
    for (; len >= LANE_BYTES; p += LANE_BYTES, len -= LANE_BYTES)
        x = fold(x, near_k, load(p, 0));
    uint8_t last[LANE_BYTES];
    vst1q_u8(last, vreinterpretq_u8_u64(x));
    return run_tables(step16(0, last), p, len);
}

#endif

static void build(void)
{
    for (unsigned b = 0; b < 256; b++) {
        uint64_t v = b;
        for (unsigned i = 0; i < 8; i++)
            v = times_x(v);
        crc.table[0][b] = v;
    }
    for (unsigned k = 1; k < 16; k++) {
        for (unsigned b = 0; b < 256; b++) {
            uint64_t v = crc.table[k - 1][b];
            crc.table[k][b] = crc.table[0][v & 0xff] ^ (v >> 8);
        }
    }
    crc.far_lo = x_to_the(STRIDE * 8 + 63);
    crc.far_hi = x_to_the(STRIDE * 8 - 1);
    crc.near_lo = x_to_the(LANE_BYTES * 8 + 63);
    crc.near_hi = x_to_the(LANE_BYTES * 8 - 1);
    crc_fn *run = run_tables;
#ifdef HF_CRC_CLMUL
    if (hf_cpu_has_clmul())
        run = run_clmul;
#endif
    atomic_store_explicit(&crc.run, run, memory_order_release);
}

static crc_fn *runner(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    crc_fn *run = atomic_load_explicit(&crc.run, memory_order_acquire);
    if (run != resolve)
        return run;
    hf_assert(pthread_once(&once, build) == 0);
    return atomic_load_explicit(&crc.run, memory_order_acquire);
}

static uint64_t resolve(uint64_t state, const uint8_t *p, size_t len)
{
    return runner()(state, p, len);
}

uint64_t hf_crc64(uint64_t sum, const void *data, size_t len)
{
    hf_assert(data != NULL || len == 0);
    crc_fn *run = atomic_load_explicit(&crc.run, memory_order_acquire);
    return ~run(~sum, data, len);
}

uint64_t hf_crc64_portable(uint64_t sum, const void *data, size_t len)
{
    hf_assert(data != NULL || len == 0);
    (void)runner();
    return ~run_tables(~sum, data, len);
}

uint64_t hf_page_checksum(uint32_t pgno, const void *page, size_t page_size)
{
    hf_assert(pgno != 0 && page_size >= 512);
    uint8_t number[4];
    hf_put_be32(number, pgno);
    return hf_crc64(hf_crc64(0, number, sizeof(number)), page, page_size) | CHECK_BIT;
}

const char *hf_crc64_kind(void)
{
#ifdef HF_CRC_CLMUL
    if (runner() == run_clmul)
        return HF_CRC_CLMUL;
#endif
    return runner() == run_tables ? "slicing16" : "unknown";
}

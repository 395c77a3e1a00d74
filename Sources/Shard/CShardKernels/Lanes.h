// Vectors, in the compiler's own words. A file that includes this has set
//   LEVEL   the suffix of this level's names
//   WIDE    1 where a vector of 16 lanes is one register
// and has defined fma8 (and fma16 where WIDE) as the fused multiply-add of its level. Everything
// else is plain arithmetic, which the compiler turns into the level's instructions.
//
// No function here is called across levels: all are static, and inlined.
#include <string.h>

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(name) JOIN(name, LEVEL)
#define INLINE static inline __attribute__((always_inline))

INLINE v8 load8(const float *p) {
  v8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store8(float *p, v8 v) { memcpy(p, &v, sizeof v); }

INLINE v8 splat8(float x) { return (v8){x, x, x, x, x, x, x, x}; }

INLINE i8 bits8(v8 v) { return (i8)v; }

// Where the mask is set `a`, else `b`.
INLINE v8 select8(i8 mask, v8 a, v8 b) { return (v8)((mask & (i8)a) | (~mask & (i8)b)); }

// The first `count` (under 8) of p, then `fill`.
INLINE v8 part8(const float *p, size_t count, float fill) {
  v8 v = splat8(fill);
  memcpy(&v, p, count * sizeof(float));
  return v;
}

INLINE void store_part8(float *p, v8 v, size_t count) { memcpy(p, &v, count * sizeof(float)); }

INLINE v8 bf16_8(const uint16_t *p) {
  typedef uint16_t h8 __attribute__((vector_size(16)));
  h8 h;
  memcpy(&h, p, sizeof h);
  return (v8)(__builtin_convertvector(h, u8x32) << 16);
}

// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)): the order of every sum over eight lanes.
INLINE float sum8(v8 v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

// The same sums of four vectors at once.
INLINE v4 sums8(v8 a, v8 b, v8 c, v8 d) {
#define HALVES(v) (__builtin_shufflevector(v, v, 0, 1, 2, 3) + \
                   __builtin_shufflevector(v, v, 4, 5, 6, 7))
  v4 a4 = HALVES(a), b4 = HALVES(b), c4 = HALVES(c), d4 = HALVES(d);
#undef HALVES
  v4 ab = __builtin_shufflevector(a4, b4, 0, 4, 1, 5) + __builtin_shufflevector(a4, b4, 2, 6, 3, 7);
  v4 cd = __builtin_shufflevector(c4, d4, 0, 4, 1, 5) + __builtin_shufflevector(c4, d4, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

INLINE float max8(v8 v) {
  float most = v[0];
  for (int i = 1; i < 8; i++) most = v[i] > most ? v[i] : most;
  return most;
}

// e^x within 2 ulp for x in [-87.3, 88.3]; 0 below, e^88.3 above, NaN for NaN. By powers of two and
// a polynomial fitted on [-ln 2 / 2, ln 2 / 2] (its own error is 3e-9).
INLINE v8 exp8(v8 x) {
  const v8 low = splat8(-87.3f), high = splat8(88.3f);
  i8 under = x < low, is_number = x == x;
  x = select8(under, low, x);
  x = select8(x > high, high, x);
  // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits.
  v8 shifted = fma8(x, splat8(1.44269504f), splat8(12582912.f));
  v8 n = shifted - splat8(12582912.f);
  v8 r = fma8(n, splat8(-0.693145752f), x);
  r = fma8(n, splat8(-1.4286068e-6f), r);
  v8 q = fma8(r, splat8(0.001381459878757596f), splat8(0.008368716575205326f));
  q = fma8(q, r, splat8(0.04166838899254799f));
  q = fma8(q, r, splat8(0.1666652113199234f));
  q = fma8(q, r, splat8(0.4999999403953552f));
  v8 p = fma8(r * r, q, r) + splat8(1.f);
  p = (v8)(bits8(p) + (bits8(shifted) << 23));
  return select8(is_number, select8(under, splat8(0.f), p), x);
}

INLINE v8 silu8(v8 x) { return x / (splat8(1.f) + exp8(-x)); }

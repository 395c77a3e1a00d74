// Norms, rope, softmax and what else runs over one row of numbers, once for every level.

// Over 32 lanes (element i in lane i % 32), so that four sums are under way at once.
#define FOLD(count, first, expression, rest)                                                      \
  v8 sums[4] = {0};                                                                               \
  size_t i = 0;                                                                                   \
  for (; i + 32 <= (count); i += 32) {                                                            \
    _Pragma("GCC unroll 4") for (size_t lane = 0; lane < 4; lane++) {                             \
      v8 v = load8(first + i + lane * 8);                                                         \
      sums[lane] = expression(sums[lane], v);                                                     \
    }                                                                                             \
  }                                                                                               \
  for (size_t lane = 0; i < (count); lane++, i += 8) {                                            \
    size_t left = (count) - i;                                                                    \
    v8 v = left >= 8 ? load8(first + i) : part8(first + i, left, rest);                           \
    sums[lane] = expression(sums[lane], v);                                                       \
  }                                                                                               \
  v8 folded = (sums[0] + sums[2]) + (sums[1] + sums[3])

#define SQUARE_TO(sum, v) fma8(v, v, sum)
#define ADD_TO(sum, v) ((sum) + (v))

INLINE v8 read8(const float *p, size_t count) { return count == 8 ? load8(p) : part8(p, count, 0); }

static void NAME(rms_norm)(const float *x, const float *weight, int size, float epsilon,
                           float *out) {
  size_t count = (size_t)size;
  FOLD(count, x, SQUARE_TO, 0);
  v8 factor = splat8(1.f / __builtin_sqrtf(sum8(folded) / (float)size + epsilon));
  for (size_t at = 0; at < count; at += 8) {
    size_t here = count - at < 8 ? count - at : 8;
    v8 v = read8(x + at, here) * factor * read8(weight + at, here);
    if (here == 8)
      store8(out + at, v);
    else
      store_part8(out + at, v, here);
  }
}

static float mean_of(const float *x, size_t count) {
  FOLD(count, x, ADD_TO, 0);
  return sum8(folded) / (float)count;
}

static float variance_of(const float *x, size_t count, float mean) {
  const v8 middle = splat8(mean);
#define DEVIATION_TO(sum, v) fma8((v) - middle, (v) - middle, sum)
  FOLD(count, x, DEVIATION_TO, mean);
#undef DEVIATION_TO
  return sum8(folded) / (float)count;
}

static void NAME(layer_norm)(const float *x, const float *weight, const float *bias, int size,
                             float epsilon, float *out) {
  size_t count = (size_t)size;
  if (count == 0) return;
  float mean = mean_of(x, count);
  v8 middle = splat8(mean);
  v8 factor = splat8(1.f / __builtin_sqrtf(variance_of(x, count, mean) + epsilon));
  for (size_t at = 0; at < count; at += 8) {
    size_t here = count - at < 8 ? count - at : 8;
    v8 v = (read8(x + at, here) - middle) * factor;
    v = fma8(v, read8(weight + at, here), read8(bias + at, here));
    if (here == 8)
      store8(out + at, v);
    else
      store_part8(out + at, v, here);
  }
}

static void NAME(rope)(float *x, const float *cos, const float *sin, int half, int interleaved) {
  if (interleaved) {
    for (int i = 0; i < half; i++) {
      float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cos[i] - b * sin[i];
      x[2 * i + 1] = b * cos[i] + a * sin[i];
    }
    return;
  }
  float *y = x + half;
  int i = 0;
  for (; i + 8 <= half; i += 8) {
    v8 a = load8(x + i), b = load8(y + i), c = load8(cos + i), s = load8(sin + i);
    store8(x + i, a * c - b * s);
    store8(y + i, b * c + a * s);
  }
  for (; i < half; i++) {
    float a = x[i], b = y[i];
    x[i] = a * cos[i] - b * sin[i];
    y[i] = b * cos[i] + a * sin[i];
  }
}

static void NAME(add)(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) store8(y + i, load8(y + i) + load8(x + i));
  for (; i < count; i++) y[i] += x[i];
}

static void NAME(add_scaled)(float *y, const float *x, float scale, size_t count) {
  v8 factor = splat8(scale);
  for (size_t i = 0; i < count; i += 8) {
    size_t here = count - i < 8 ? count - i : 8;
    v8 v = fma8(factor, read8(x + i, here), read8(y + i, here));
    if (here == 8)
      store8(y + i, v);
    else
      store_part8(y + i, v, here);
  }
}

// erf within 2e-7: an odd polynomial up to 1, then 1 - exp(-t q(t)); both fitted.
INLINE v8 erf8(v8 a) {
  const i8 sign = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN,
                   INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN};
  v8 t = (v8)((i8)a & ~sign);
  v8 s = a * a;
  v8 p = fma8(s, splat8(7.889122935011983e-05f), splat8(-0.0008020842215046287f));
  p = fma8(p, s, splat8(0.005189535673707724f));
  p = fma8(p, s, splat8(-0.026854444295167923f));
  p = fma8(p, s, splat8(0.11283600330352783f));
  p = fma8(p, s, splat8(-0.3761262595653534f));
  p = fma8(p, s, splat8(0.12837916612625122f));
  v8 inner = fma8(p, a, a);
  v8 u = select8(t > splat8(4.f), splat8(4.f), t);
  v8 q = fma8(u, splat8(1.3842606676917057e-05f), splat8(-0.0003493098192848265f));
  q = fma8(q, u, splat8(0.0037518839817494154f));
  q = fma8(q, u, splat8(-0.023997338488698006f));
  q = fma8(q, u, splat8(0.10651491582393646f));
  q = fma8(q, u, splat8(0.6349799633026123f));
  q = fma8(q, u, splat8(1.128691554069519f));
  v8 outer = splat8(1.f) - exp8(-(u * q));
  outer = (v8)((i8)outer | ((i8)a & sign));
  return select8(t > splat8(1.f), outer, inner);
}

static void NAME(gelu)(float *x, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    size_t here = count - i < 8 ? count - i : 8;
    v8 v = read8(x + i, here);
    v = v * splat8(0.5f) * (splat8(1.f) + erf8(v * splat8(0.70710678f)));
    if (here == 8)
      store8(x + i, v);
    else
      store_part8(x + i, v, here);
  }
}

INLINE v8 greater8(v8 most, v8 v) { return select8(v > most, v, most); }

// The greatest of them, not counting NaN; -inf for none.
static float greatest(const float *x, size_t count) {
  v8 most[4];
  for (int lane = 0; lane < 4; lane++) most[lane] = splat8(-__builtin_inff());
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
#pragma GCC unroll 4
    for (size_t lane = 0; lane < 4; lane++)
      most[lane] = greater8(most[lane], load8(x + i + lane * 8));
  }
  for (; i < count; i += 8) {
    size_t left = count - i;
    v8 v = left >= 8 ? load8(x + i) : part8(x + i, left, -__builtin_inff());
    most[0] = greater8(most[0], v);
  }
  return max8(greater8(greater8(most[0], most[2]), greater8(most[1], most[3])));
}

static void NAME(softmax)(float *x, size_t count) {
  if (count == 0) return;
  float sum = exponentials(x, count);
  float inverse = 1.f / sum;
  for (size_t i = 0; i < count; i++) x[i] *= inverse;
}

static size_t NAME(argmax)(const float *x, size_t count, int *is_finite) {
  // NaN and +inf are what is not below +inf.
  i8 sound = splat8(0) == splat8(0);
  const v8 infinite = splat8(__builtin_inff());
  size_t i = 0;
  for (; i + 8 <= count; i += 8) sound &= load8(x + i) < infinite;
  if (i < count) sound &= part8(x + i, count - i, 0) < infinite;
  int all = -1;
  for (int lane = 0; lane < 8; lane++) all &= sound[lane];
  if (!all) *is_finite = 0;
  float most = greatest(x, count);
  for (i = 0; i + 32 <= count; i += 32) {
    i8 hits = {0};
    for (size_t lane = 0; lane < 4; lane++) hits |= load8(x + i + lane * 8) == splat8(most);
    int any = 0;
    for (int lane = 0; lane < 8; lane++) any |= hits[lane];
    if (any) break;
  }
  for (; i < count; i++)
    if (x[i] == most) return i;
  return 0;
}

static void NAME(log_sum_exp)(const float *x, size_t count, float *max, float *lse) {
  *max = greatest(x, count);
  *lse = *max;
  if (!(*max > -__builtin_inff())) return;
  v8 most = splat8(*max);
#define EXP_TO(sum, v) ((sum) + exp8((v) - most))
  FOLD(count, x, EXP_TO, -__builtin_inff());
#undef EXP_TO
  *lse = *max + __builtin_logf(sum8(folded));
}

static void NAME(from_bf16)(const uint16_t *source, size_t count, float *out) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) store8(out + i, bf16_8(source + i));
  for (; i < count; i++) {
    uint32_t bits = (uint32_t)source[i] << 16;
    memcpy(out + i, &bits, sizeof bits);
  }
}

static void NAME(from_fp16)(const uint16_t *source, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) {
    uint32_t sign = (uint32_t)(source[i] & 0x8000) << 16;
    uint32_t rest = (uint32_t)(source[i] & 0x7fff) << 13;
    uint32_t is_whole = rest >= 0x7c00u << 13;
    // The exponent's bias goes from 15 to 127; infinities and NaN keep the highest exponent.
    float f;
    memcpy(&f, &rest, sizeof f);
    f *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits = sign | (is_whole ? 0x7f800000u | (rest & 0x7fffff) : bits);
    memcpy(out + i, &bits, sizeof bits);
  }
}

static void NAME(from_e4m3)(const uint8_t *source, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) {
    uint32_t rest = source[i] & 0x7f;
    uint32_t bits = rest << 20;
    float f;
    memcpy(&f, &bits, sizeof f);
    f *= 0x1p120f;
    memcpy(&bits, &f, sizeof bits);
    bits = (rest == 0x7f ? 0x7fc00000u : bits) | (uint32_t)(source[i] & 0x80) << 24;
    memcpy(out + i, &bits, sizeof bits);
  }
}

// To nearest even; NaN stays one.
INLINE uint32_t bf16_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return x == x ? rounded : (bits >> 16 | 0x40);
}

static void NAME(to_bf16)(const float *source, size_t count, uint16_t *out) {
  for (size_t i = 0; i < count; i++) out[i] = (uint16_t)bf16_bits(source[i]);
}

static void NAME(to_e4m3)(const float *source, size_t count, float scale, uint8_t *out) {
  for (size_t i = 0; i < count; i++) {
    float x = source[i] / scale;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t sign = bits >> 24 & 0x80;
    float magnitude = x < 0 ? -x : x;
    magnitude = magnitude > 448.f ? 448.f : magnitude;
    // Under 2^-6 steps are of 2^-9: adding 2^14 rounds to them, as its own last bit is 2^-9.
    float small = magnitude + 16384.f;
    uint32_t small_code, code;
    memcpy(&small_code, &small, sizeof small_code);
    small_code -= 0x46800000u;
    memcpy(&code, &magnitude, sizeof code);
    code = (code + 0x7ffff + (code >> 20 & 1)) >> 20;
    code = magnitude < 0x1p-6f ? small_code : code - (120 << 3);
    out[i] = (uint8_t)(sign | (x == x ? code : 0x7f));
  }
}

static float NAME(largest)(const float *source, size_t count) {
  float most = 0, poison = 0;
  for (size_t i = 0; i < count; i++) {
    float magnitude = source[i] < 0 ? -source[i] : source[i];
    most = magnitude > most ? magnitude : most;
    poison += source[i] - source[i];  // NaN for NaN and infinities
  }
  return most + poison;
}

static int NAME(all_finite)(const float *x, size_t count) {
  uint32_t bad = 0;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    bad |= (bits & 0x7f800000u) == 0x7f800000u;
  }
  return !bad;
}

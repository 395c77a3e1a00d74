// Attention, once for every level. Scores first, then their softmax, then the sum of the values.
//
// A score is a sum over eight lanes (element i in lane i % 8), a value a sum in the order of tokens;
// neither knows of other rows. Rows of a tile share what is loaded.

enum { VALUE_TOKENS = 128 };  // Tokens whose values are summed before the next rows' are.

// Keys or values of tokens that lie in a row.
typedef struct {
  const char *base;
  size_t stride;  // bytes from one token's to the next
  int type;
} run;

INLINE v8 element8(int type, const char *p, int index) {
  return type == PK_FP32 ? load8((const float *)p + index) : bf16_8((const uint16_t *)p + index);
}

INLINE v8 element_part8(int type, const char *p, int index, int count) {
  if (type == PK_FP32) return part8((const float *)p + index, (size_t)count, 0);
  uint16_t part[8] = {0};
  memcpy(part, (const uint16_t *)p + index, (size_t)count * sizeof(uint16_t));
  return bf16_8(part);
}

// scores[r][t] = scale * q[r] . key[t] for a tile of constant size.
INLINE void score_tile(int type, const int rows, const int tokens, const char *keys, size_t stride,
                       int size, const float *q, size_t q_stride, float scale, float *scores,
                       size_t pitch) {
  v8 sums[3][8] = {0};
  int whole = size & ~7;
  for (int i = 0; i < whole; i += 8) {
    v8 query[3];
#pragma GCC unroll 3
    for (int r = 0; r < rows; r++) query[r] = load8(q + (size_t)r * q_stride + i);
#pragma GCC unroll 8
    for (int t = 0; t < tokens; t++) {
      v8 key = element8(type, keys + (size_t)t * stride, i);
#pragma GCC unroll 3
      for (int r = 0; r < rows; r++) sums[r][t] = fma8(query[r], key, sums[r][t]);
    }
  }
  if (whole < size) {
    for (int t = 0; t < tokens; t++) {
      v8 key = element_part8(type, keys + (size_t)t * stride, whole, size - whole);
      for (int r = 0; r < rows; r++) {
        v8 query = part8(q + (size_t)r * q_stride + whole, (size_t)(size - whole), 0);
        sums[r][t] = fma8(query, key, sums[r][t]);
      }
    }
  }
  const v4 scales = {scale, scale, scale, scale};
#pragma GCC unroll 3
  for (int r = 0; r < rows; r++) {
    float *place = scores + (size_t)r * pitch;
    if (tokens == 1) {
      place[0] = sum8(sums[r][0]) * scale;
      continue;
    }
#pragma GCC unroll 2
    for (int t = 0; t < tokens; t += 4) {
      v4 four = sums8(sums[r][t], sums[r][t + 1], sums[r][t + 2], sums[r][t + 3]) * scales;
      memcpy(place + t, &four, sizeof four);
    }
  }
}

INLINE void score_rows(int type, const int rows, run keys, int tokens, int size, const float *q,
                       size_t q_stride, float scale, float *scores, size_t pitch) {
  int t = 0;
  if (rows == 1)
    for (; t + 8 <= tokens; t += 8)
      score_tile(type, 1, 8, keys.base + (size_t)t * keys.stride, keys.stride, size, q, q_stride,
                 scale, scores + t, pitch);
  for (; t + 4 <= tokens; t += 4)
    score_tile(type, rows, 4, keys.base + (size_t)t * keys.stride, keys.stride, size, q, q_stride,
               scale, scores + t, pitch);
  for (; t < tokens; t++)
    score_tile(type, rows, 1, keys.base + (size_t)t * keys.stride, keys.stride, size, q, q_stride,
               scale, scores + t, pitch);
}

INLINE void score_run_of(int type, run keys, int tokens, int size, const float *q, size_t q_stride,
                         int count, float scale, float *scores, size_t pitch) {
  int r = 0;
  for (; r + 3 <= count; r += 3)
    score_rows(type, 3, keys, tokens, size, q + (size_t)r * q_stride, q_stride, scale,
               scores + (size_t)r * pitch, pitch);
  if (count - r == 2)
    score_rows(type, 2, keys, tokens, size, q + (size_t)r * q_stride, q_stride, scale,
               scores + (size_t)r * pitch, pitch);
  else if (count - r == 1)
    score_rows(type, 1, keys, tokens, size, q + (size_t)r * q_stride, q_stride, scale,
               scores + (size_t)r * pitch, pitch);
}

static void score_run(run keys, int tokens, int size, const float *q, size_t q_stride, int count,
                      float scale, float *scores, size_t pitch) {
  if (keys.type == PK_FP32)
    score_run_of(PK_FP32, keys, tokens, size, q, q_stride, count, scale, scores, pitch);
  else
    score_run_of(PK_BF16, keys, tokens, size, q, q_stride, count, scale, scores, pitch);
}

// x becomes exp(x - max); returns the sum. The lanes behind `count` must be there to write.
static float exponentials(float *x, size_t count) {
  size_t whole = count & ~(size_t)7;
  v8 most = splat8(-__builtin_inff());
  for (size_t i = 0; i < whole; i += 8) {
    v8 v = load8(x + i);
    most = select8(v > most, v, most);
  }
  if (whole < count) {
    v8 v = part8(x + whole, count - whole, -__builtin_inff());
    most = select8(v > most, v, most);
  }
  v8 max = splat8(max8(most));
  v8 sums[4] = {0};
  for (size_t i = 0; i < count; i += 8) {
    v8 v = i < whole ? load8(x + i) : part8(x + i, count - i, -__builtin_inff());
    v = exp8(v - max);
    sums[i / 8 % 4] += v;
    if (i < whole)
      store8(x + i, v);
    else
      store_part8(x + i, v, count - i);
  }
  return sum8((sums[0] + sums[2]) + (sums[1] + sums[3]));
}

// out[r] += weights[r][t] * value[t], for constant rows and vectors of eight.
INLINE void value_tile(int type, const int rows, const int vectors, const char *values,
                       size_t stride, int tokens, const float *weights, size_t pitch, float *out,
                       size_t out_stride) {
  v8 sums[6][8];
#pragma GCC unroll 6
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int i = 0; i < vectors; i++) sums[r][i] = load8(out + (size_t)r * out_stride + i * 8);
  for (int t = 0; t < tokens; t++) {
    v8 value[8];
#pragma GCC unroll 8
    for (int i = 0; i < vectors; i++) value[i] = element8(type, values + (size_t)t * stride, i * 8);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
      v8 weight = splat8(weights[(size_t)r * pitch + (size_t)t]);
#pragma GCC unroll 8
      for (int i = 0; i < vectors; i++) sums[r][i] = fma8(weight, value[i], sums[r][i]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int i = 0; i < vectors; i++) store8(out + (size_t)r * out_stride + i * 8, sums[r][i]);
}

INLINE void value_rows(int type, const int rows, run values, int tokens, int size,
                       const float *weights, size_t pitch, float *out, size_t out_stride) {
  const int element = type == PK_FP32 ? 4 : 2;
  const int vectors = rows == 1 ? 8 : rows <= 3 ? 4 : 2;
  int i = 0;
  for (; i + vectors * 8 <= size; i += vectors * 8)
    value_tile(type, rows, vectors, values.base + i * element, values.stride, tokens, weights,
               pitch, out + i, out_stride);
  if (rows == 1 && i + 32 <= size) {
    value_tile(type, 1, 4, values.base + i * element, values.stride, tokens, weights, pitch,
               out + i, out_stride);
    i += 32;
  }
  for (; i + 8 <= size; i += 8)
    value_tile(type, rows, 1, values.base + i * element, values.stride, tokens, weights, pitch,
               out + i, out_stride);
  if (i == size) return;
  size_t left = (size_t)(size - i);
  for (int r = 0; r < rows; r++) {
    float *place = out + (size_t)r * out_stride + i;
    v8 sum = part8(place, left, 0);
    for (int t = 0; t < tokens; t++) {
      v8 value = element_part8(type, values.base + (size_t)t * values.stride, i, (int)left);
      sum = fma8(splat8(weights[(size_t)r * pitch + (size_t)t]), value, sum);
    }
    store_part8(place, sum, left);
  }
}

static void value_run(run values, int tokens, int rows, int size, const float *weights,
                      size_t pitch, float *out, size_t out_stride) {
#define VALUE_CASES(type)                                                                         \
  switch (rows) {                                                                                 \
    case 1: value_rows(type, 1, values, tokens, size, weights, pitch, out, out_stride); break;    \
    case 2: value_rows(type, 2, values, tokens, size, weights, pitch, out, out_stride); break;    \
    case 3: value_rows(type, 3, values, tokens, size, weights, pitch, out, out_stride); break;    \
    case 4: value_rows(type, 4, values, tokens, size, weights, pitch, out, out_stride); break;    \
    case 5: value_rows(type, 5, values, tokens, size, weights, pitch, out, out_stride); break;    \
    default: value_rows(type, 6, values, tokens, size, weights, pitch, out, out_stride);          \
  }
  if (values.type == PK_FP32) {
    VALUE_CASES(PK_FP32)
  } else {
    VALUE_CASES(PK_BF16)
  }
#undef VALUE_CASES
}

static void clear_rows(float *out, size_t out_stride, int count, int size) {
  for (int r = 0; r < count; r++)
    memset(out + (size_t)r * out_stride, 0, (size_t)size * sizeof(float));
}

static void scale_rows(float *out, size_t out_stride, int count, int size, const float *sums) {
  for (int r = 0; r < count; r++) {
    float inverse = 1.f / sums[r];
    for (int i = 0; i < size; i++) out[(size_t)r * out_stride + (size_t)i] *= inverse;
  }
}

// Adds the values of `tokens` tokens from `token` on to `count` rows, of which row r sees
// `seen + r` tokens.
static void value_rows_seen(run values, int token, int tokens, int seen, int count, int size,
                            const float *weights, size_t pitch, float *out, size_t out_stride) {
  for (int r = 0; r < count; r += 6) {
    int rows = count - r < 6 ? count - r : 6;
    int shared = seen + r - token;
    if (shared > tokens) shared = tokens;
    if (shared < 0) shared = 0;
    const float *place = weights + (size_t)r * pitch + token;
    float *target = out + (size_t)r * out_stride;
    if (shared > 0)
      value_run(values, shared, rows, size, place, pitch, target, out_stride);
    // What the later rows of the tile see and the first does not.
    for (int i = 1; i < rows; i++) {
      int own = seen + r + i - token;
      if (own > tokens) own = tokens;
      if (own <= shared) continue;
      run rest = values;
      rest.base += (size_t)shared * values.stride;
      value_run(rest, own - shared, 1, size, place + (size_t)i * pitch + shared, pitch,
                target + (size_t)i * out_stride, out_stride);
    }
  }
}

static void NAME(attention)(const pk_kv *kv, const int32_t *blocks, int kv_head, const float *q,
                            size_t q_stride, int count, int position, float scale, float *out,
                            size_t out_stride, float *scratch) {
  if (count <= 0) return;
  const int tokens = position + count;
  const size_t element = kv->type == PK_FP32 ? 4 : 2;
  const size_t key_head = (size_t)kv->block_tokens * (size_t)kv->key_size * element;
  const size_t value_head = (size_t)kv->block_tokens * (size_t)kv->value_stride * element;
  const size_t pitch = attention_pitch(tokens);
  float *sums = scratch + (size_t)count * pitch;
  run keys = {0, (size_t)kv->key_size * element, kv->type};
  run values = {0, (size_t)kv->value_stride * element, kv->type};
  for (int t = 0; t < tokens; t += kv->block_tokens) {
    int here = tokens - t < kv->block_tokens ? tokens - t : kv->block_tokens;
    size_t head = (size_t)blocks[t / kv->block_tokens] * (size_t)kv->kv_heads + (size_t)kv_head;
    keys.base = (const char *)kv->keys + head * key_head;
    score_run(keys, here, kv->key_size, q, q_stride, count, scale, scratch + t, pitch);
  }
  for (int r = 0; r < count; r++)
    sums[r] = exponentials(scratch + (size_t)r * pitch, (size_t)(position + r + 1));
  clear_rows(out, out_stride, count, kv->value_size);
  for (int t = 0; t < tokens; t += kv->block_tokens) {
    int here = tokens - t < kv->block_tokens ? tokens - t : kv->block_tokens;
    size_t head = (size_t)blocks[t / kv->block_tokens] * (size_t)kv->kv_heads + (size_t)kv_head;
    values.base = (const char *)kv->values + head * value_head;
    value_rows_seen(values, t, here, position + 1, count, kv->value_size, scratch, pitch, out,
                    out_stride);
  }
  scale_rows(out, out_stride, count, kv->value_size, sums);
}

static void NAME(attention_full)(const float *q, const float *k, const float *v, size_t stride,
                                 int count, int size, float scale, float *out, size_t out_stride,
                                 float *scratch) {
  enum { ROWS = 12 };  // Rows whose scores are held at once.
  const size_t pitch = attention_pitch(count);
  float sums[ROWS];
  for (int row = 0; row < count; row += ROWS) {
    int rows = count - row < ROWS ? count - row : ROWS;
    float *target = out + (size_t)row * out_stride;
    run keys = {(const char *)k, stride * sizeof(float), PK_FP32};
    score_run(keys, count, size, q + (size_t)row * stride, stride, rows, scale, scratch, pitch);
    for (int r = 0; r < rows; r++)
      sums[r] = exponentials(scratch + (size_t)r * pitch, (size_t)count);
    clear_rows(target, out_stride, rows, size);
    for (int t = 0; t < count; t += VALUE_TOKENS) {
      int here = count - t < VALUE_TOKENS ? count - t : VALUE_TOKENS;
      run values = {(const char *)(v + (size_t)t * stride), stride * sizeof(float), PK_FP32};
      value_rows_seen(values, t, here, count, rows, size, scratch, pitch, target, out_stride);
    }
    scale_rows(target, out_stride, rows, size, sums);
  }
}

// y = W x, once for every level. A file that includes this has set LEVEL and WIDE (see Lanes.h), and
// may set DOT_BF16: then BF16 matrices are multiplied by vdpbf16ps, with x rounded to bf16.
//
// A tile is up to 6 rows of x by some panels; its sums stay in registers for a segment of columns.
// Rows are taken 96 at a time. Their columns are copied to the stack, segment by segment, so that
// their stride never matters; as many segments at once as fit into 48 KiB. Sums of segments are
// added up in y.

#if WIDE
typedef v16 vec;
typedef i16x32 ivec;
typedef s16x16 svec;
typedef u16x16 usvec;
enum { VECTORS = 1 };
#define FMA fma16
#define EVEN_BYTES even_bytes16
#define SPLAT(x) ((v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x})
// Panels of a tile, by type and rows of x: enough sums to hide the latency of an addition.
static const int8_t panels_of_tile[3][7] = {
    {0, 8, 4, 4, 2, 2, 2}, {0, 8, 4, 4, 2, 2, 2}, {0, 8, 4, 4, 2, 2, 2}};
#else
typedef v8 vec;
typedef i8 ivec;
typedef s8x16 svec;
typedef u8x16 usvec;
enum { VECTORS = 2 };
#define FMA fma8
#define EVEN_BYTES even_bytes8
#define SPLAT(x) splat8(x)
// As many as leave registers for decoding, of 16: FP8 needs the most.
static const int8_t panels_of_tile[3][7] = {
    {0, 4, 2, 1, 1, 1, 1}, {0, 4, 2, 1, 1, 1, 1}, {0, 3, 2, 1, 1, 1, 1}};
#endif

enum {
  TILE_ROWS = 6,
  BLOCK_ROWS = 96,
  PREPARED = BLOCK_ROWS * SEGMENT,
  // With more rows than this a segment of a panel is converted to floats once for all of them.
  CONVERT_OVER = 12,
  // Bytes ahead of its use that a line of weights is asked for.
  AHEAD = 512,
};

// Rows of a tile at most. Six of FP8 would not fit into 16 registers with what decodes it.
static int tile_rows(int type) { return type == PK_FP8 && !WIDE ? 5 : TILE_ROWS; }

// x of FP8 matrices carries 2^60 and their scales another, so that e4m3 decodes into the exponent's
// lowest part (2^-120) without a multiplication, and products stay far from the subnormals.
static const float fp8_half_scale = 0x1p60f;

// 16 lanes.
typedef struct {
  vec v[VECTORS];
} lanes;

INLINE lanes load_lanes(const void *p) {
  lanes l;
  memcpy(&l, p, sizeof l);
  return l;
}

// One register's weights of a step, in up to 4 columns. `multiplies` takes the lower bytes of words
// out by a multiplication, which is faster where it is all there is to do and there is a register for
// its factor.
INLINE void decode(int type, int multiplies, vec raw, vec out[4]) {
  if (type == PK_FP32) {
    out[0] = raw;
  } else if (type == PK_BF16) {
    out[0] = (vec)((ivec)raw << 16);
    out[1] = (vec)((ivec)raw & (int32_t)0xffff0000);
  } else {
    // Sign to bit 31, exponent and mantissa to bits 26...20: the number by 2^-120.
    const int32_t mask = (int32_t)0x87f00000;
    ivec odd = (ivec)((svec)raw >> 4);
    ivec even = multiplies ? (ivec)EVEN_BYTES(raw) : (ivec)((svec)((usvec)raw << 8) >> 4);
    out[0] = (vec)((even << 16) & mask);
    out[1] = (vec)((odd << 16) & mask);
    out[2] = (vec)(even & mask);
    out[3] = (vec)(odd & mask);
  }
}

INLINE vec load_vec(const void *p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}

// Keeps the compiler from reading the next weights before it is done with these: decoding all at
// once would spill the sums.
#define IN_ORDER() __asm__ volatile("" ::: "memory")

// One segment of `panels` panels times `rows` rows of prepared x, added to y. `type` is a constant
// wherever this is inlined.
INLINE void tile(int type, const int rows, const int panels, const char *w, size_t stride,
                 const float *x, int columns, float *y, size_t y_stride, const float *scales,
                 int scale_stride) {
  lanes sums[TILE_ROWS][8] = {0};
  const int per = columns_per_step(type);
  const int steps = (int)steps_of(type, columns);
  for (int step = 0; step < steps; step++) {
    vec only[4];  // x of a single row: read once for all panels
    if (rows == 1) {
#pragma GCC unroll 4
      for (int c = 0; c < per; c++) only[c] = SPLAT(x[step * per + c]);
    }
#pragma GCC unroll 8
    for (int p = 0; p < panels; p++) {
      const char *place = w + (size_t)p * stride + (size_t)step * 64;
      if (rows == 1 || type != PK_FP8) __builtin_prefetch(place + AHEAD);
#if DOT_BF16
      if (type == PK_BF16) {
        vec weights = load_vec(place);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
          sums[r][p].v[0] = dot_bf16(sums[r][p].v[0], weights, x[r * SEGMENT + step]);
        continue;
      }
#endif
      // FP8 decodes one register's weights after the other, the others all of a step at once.
      const int at_once = type == PK_FP8 && rows == 1 ? 1 : VECTORS;
#pragma GCC unroll 2
      for (int first = 0; first < VECTORS; first += at_once) {
        vec weights[VECTORS][4];
#pragma GCC unroll 2
        for (int i = first; i < first + at_once; i++)
          decode(type, rows == 1, load_vec(place + i * (int)sizeof(vec)), weights[i]);
#pragma GCC unroll 4
        for (int c = 0; c < per; c++) {
#pragma GCC unroll 6
          for (int r = 0; r < rows; r++) {
            vec xs = rows == 1 ? only[c] : SPLAT(x[r * SEGMENT + step * per + c]);
#pragma GCC unroll 2
            for (int i = first; i < first + at_once; i++)
              sums[r][p].v[i] = FMA(weights[i][c], xs, sums[r][p].v[i]);
          }
        }
        if (type == PK_FP8 && rows == 1) IN_ORDER();
      }
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
    for (int p = 0; p < panels; p++) {
      float *place = y + (size_t)r * y_stride + p * PANEL;
      lanes total = load_lanes(place);
#pragma GCC unroll 2
      for (int i = 0; i < VECTORS; i++) {
        if (type == PK_FP8) {
          float scale = scales[(size_t)p * (size_t)scale_stride] * fp8_half_scale;
          total.v[i] = FMA(sums[r][p].v[i], SPLAT(scale), total.v[i]);
        } else {
          total.v[i] += sums[r][p].v[i];
        }
      }
      memcpy(place, &total, sizeof total);
    }
  }
}

#define TILES(name, type)                                                                         \
  static void NAME(name)(int rows, int panels, const char *w, size_t stride, const float *x,      \
                         int columns, float *y, size_t y_stride, const float *scales,             \
                         int scale_stride) {                                                      \
    switch (rows * 16 + panels) {                                                                 \
      TILE_CASES(type)                                                                            \
      default:                                                                                    \
        for (int p = 0; p < panels; p++)                                                          \
          for (int r = 0; r < rows; r++)                                                          \
            tile(type, 1, 1, w + (size_t)p * stride, stride, x + r * SEGMENT, columns,            \
                 y + (size_t)r * y_stride + p * PANEL, y_stride,                                  \
                 scales + (size_t)p * (size_t)scale_stride, scale_stride);                        \
    }                                                                                             \
  }
#define TILE_CASE(type, r, p)                                                                     \
  case r * 16 + p:                                                                                \
    tile(type, r, p, w, stride, x, columns, y, y_stride, scales, scale_stride);                   \
    break;
#define TILE_SINGLES(type)                                                                        \
  TILE_CASE(type, 2, 1) TILE_CASE(type, 3, 1) TILE_CASE(type, 4, 1) TILE_CASE(type, 5, 1)         \
  TILE_CASE(type, 6, 1)
#if WIDE
#define TILE_CASES(type)                                                                          \
  TILE_CASE(type, 1, 8) TILE_CASE(type, 2, 4) TILE_CASE(type, 3, 4) TILE_CASE(type, 4, 2)         \
  TILE_CASE(type, 5, 2) TILE_CASE(type, 6, 2) TILE_SINGLES(type)
#else
#define TILE_CASES(type)                                                                          \
  TILE_CASE(type, 1, 4) TILE_CASE(type, 1, 3) TILE_CASE(type, 1, 2) TILE_CASE(type, 2, 2)         \
  TILE_SINGLES(type)
#endif

TILES(tiles_fp32, PK_FP32)
TILES(tiles_bf16, PK_BF16)
TILES(tiles_fp8, PK_FP8)

static void tiles(int type, int rows, int panels, const char *w, size_t stride, const float *x,
                  int columns, float *y, size_t y_stride, const float *scales, int scale_stride) {
  if (type == PK_FP32)
    NAME(tiles_fp32)(rows, panels, w, stride, x, columns, y, y_stride, scales, scale_stride);
  else if (type == PK_BF16)
    NAME(tiles_bf16)(rows, panels, w, stride, x, columns, y, y_stride, scales, scale_stride);
  else
    NAME(tiles_fp8)(rows, panels, w, stride, x, columns, y, y_stride, scales, scale_stride);
}

// Copies one segment of `rows` rows of x to [row][SEGMENT], padded with zeros to whole steps.
static void prepare(int type, const float *x, size_t x_stride, int rows, int columns,
                    float *prepared) {
  int padded = (int)steps_of(type, columns) * columns_per_step(type);
  for (int r = 0; r < rows; r++) {
    const float *from = x + (size_t)r * x_stride;
    float *to = prepared + r * SEGMENT;
#if DOT_BF16
    if (type == PK_BF16) {
      float padding[SEGMENT] = {0};
      memcpy(padding, from, (size_t)columns * sizeof(float));
      round_bf16(padding, padded, to);
      continue;
    }
#endif
    if (type == PK_FP8)
      for (int c = 0; c < columns; c++) to[c] = from[c] * fp8_half_scale;
    else
      memcpy(to, from, (size_t)columns * sizeof(float));
    for (int c = columns; c < padded; c++) to[c] = 0;
  }
}

// One segment of a panel as floats, [column][16]. The next panel's is asked for meanwhile.
static void convert(int type, const char *w, size_t stride, int columns, float *out) {
  int per = columns_per_step(type);
  int steps = (int)steps_of(type, columns);
  for (int step = 0; step < steps; step++) {
    __builtin_prefetch(w + stride + step * 64);
    for (int i = 0; i < VECTORS; i++) {
      vec weights[4];
      vec raw = load_vec(w + step * 64 + i * (int)sizeof(vec));
      if (type == PK_BF16)
        decode(PK_BF16, 1, raw, weights);
      else
        decode(PK_FP8, 1, raw, weights);
      for (int c = 0; c < per; c++)
        memcpy(out + (step * per + c) * PANEL + i * PANEL / VECTORS, &weights[c], sizeof(vec));
    }
  }
}

// One segment of one panel times up to 96 rows, in tiles of nearly equal height.
static void row_tiles(int type, const char *w, size_t stride, const float *x, int rows, int columns,
                      float *y, size_t y_stride, const float *scale) {
  float floats[SEGMENT * PANEL] __attribute__((aligned(64)));
  int is_fp8 = type == PK_FP8;
  int converts = rows > CONVERT_OVER && type != PK_FP32;
#if DOT_BF16
  converts = converts && type != PK_BF16;
#endif
  if (converts) {
    convert(type, w, stride, columns, floats);
    w = (const char *)floats;
    int per = columns_per_step(type);
    columns = (columns + per - 1) / per * per;
  }
  int most = converts ? TILE_ROWS : tile_rows(type);
  int count = (rows + most - 1) / most;
  for (int t = 0, row = 0; t < count; t++) {
    int height = (rows - row) / (count - t);
    float *target = y + (size_t)row * y_stride;
    if (converts && is_fp8) {
      // The scale is applied to the segment's sum, as it is where weights are decoded on the fly.
      float sums[TILE_ROWS * PANEL] __attribute__((aligned(64))) = {0};
      tiles(PK_FP32, height, 1, w, 0, x + row * SEGMENT, columns, sums, PANEL, 0, 0);
      vec factor = SPLAT(*scale * fp8_half_scale);
      for (int r = 0; r < height; r++) {
        lanes sum = load_lanes(sums + r * PANEL);
        lanes total = load_lanes(target + (size_t)r * y_stride);
        for (int i = 0; i < VECTORS; i++) total.v[i] = FMA(sum.v[i], factor, total.v[i]);
        memcpy(target + (size_t)r * y_stride, &total, sizeof total);
      }
    } else {
      tiles(converts ? PK_FP32 : type, height, 1, w, 0, x + row * SEGMENT, columns, target,
            y_stride, scale, 0);
    }
    row += height;
  }
}

// Adds W x to y for whole panels and up to 96 rows. y is at `first_panel`.
static void whole_panels(const pk_matrix *w, int first_panel, int last_panel, const float *x,
                         size_t x_stride, int rows, float *y, size_t y_stride) {
  float prepared[PREPARED] __attribute__((aligned(64)));
  size_t stride = panel_bytes(w);
  int segments = matrix_segments(w);
  int at_once = PREPARED / (rows * SEGMENT);
  for (int first = 0; first < segments; first += at_once) {
    int last = first + at_once < segments ? first + at_once : segments;
    for (int s = first; s < last; s++)
      prepare(w->type, x + segment_start(w, s), x_stride, rows, segment_columns(w, s),
              prepared + (s - first) * rows * SEGMENT);
    int panels = 1;
    for (int panel = first_panel; panel < last_panel; panel += panels) {
      const char *base = (const char *)w->data + (size_t)panel * stride;
      panels = rows <= tile_rows(w->type) ? panels_of_tile[w->type][rows] : 1;
      if (panel + panels > last_panel) panels = rows == 1 ? last_panel - panel : 1;
      float *target = y + (size_t)(panel - first_panel) * PANEL;
      for (int s = first; s < last; s++) {
        const char *place = base + segment_offset(w, s);
        const float *segment = prepared + (s - first) * rows * SEGMENT;
        const float *scales =
            w->type == PK_FP8 ? w->scales + (size_t)panel * (size_t)w->scale_blocks + s : 0;
        if (rows <= tile_rows(w->type))
          tiles(w->type, rows, panels, place, stride, segment, segment_columns(w, s), target,
                y_stride, scales, w->scale_blocks);
        else
          row_tiles(w->type, place, stride, segment, rows, segment_columns(w, s), target, y_stride,
                    scales);
      }
    }
  }
}

// The same for any panels: a last panel of fewer than 16 rows goes by way of the stack.
static void panels_times_rows(const pk_matrix *w, int first_panel, int last_panel, const float *x,
                              size_t x_stride, int rows, float *y, size_t y_stride) {
  int whole = w->rows / PANEL < last_panel ? w->rows / PANEL : last_panel;
  if (first_panel < whole)
    whole_panels(w, first_panel, whole, x, x_stride, rows, y, y_stride);
  if (whole >= last_panel) return;
  float part[BLOCK_ROWS * PANEL] __attribute__((aligned(64))) = {0};
  size_t width = (size_t)(w->rows - whole * PANEL) * sizeof(float);
  float *rest = y + (size_t)(whole - first_panel) * PANEL;
  for (int r = 0; r < rows; r++) memcpy(part + r * PANEL, rest + (size_t)r * y_stride, width);
  whole_panels(w, whole, whole + 1, x, x_stride, rows, part, PANEL);
  for (int r = 0; r < rows; r++) memcpy(rest + (size_t)r * y_stride, part + r * PANEL, width);
}

// Rows of W in those panels.
static int rows_in(const pk_matrix *w, int first_panel, int last_panel) {
  int last = last_panel * PANEL < w->rows ? last_panel * PANEL : w->rows;
  return last - first_panel * PANEL;
}

// What the sums start from: what y holds or zero, and the bias. y and bias are at the first panel.
static void start(float *y, size_t y_stride, int rows, int width, const float *bias, int add) {
  for (int r = 0; r < rows; r++) {
    float *to = y + (size_t)r * y_stride;
    if (!add) memset(to, 0, (size_t)width * sizeof(float));
    if (bias)
      for (int i = 0; i < width; i++) to[i] += bias[i];
  }
}

// Rows of the next block: blocks are nearly equal, for each reads all the weights.
static int next_rows(int left) {
  int blocks = (left + BLOCK_ROWS - 1) / BLOCK_ROWS;
  return (left + blocks - 1) / blocks;
}

void NAME(pk_linear)(const pk_matrix *w, int first_panel, int last_panel, const float *x,
                     size_t x_stride, int m, float *y, size_t y_stride, const float *bias,
                     int add) {
  if (last_panel > matrix_panels(w)) last_panel = matrix_panels(w);
  if (first_panel >= last_panel) return;
  int width = rows_in(w, first_panel, last_panel);
  size_t offset = (size_t)first_panel * PANEL;
  for (int row = 0, rows; row < m; row += rows) {
    rows = next_rows(m - row);
    float *target = y + (size_t)row * y_stride + offset;
    start(target, y_stride, rows, width, bias ? bias + offset : 0, add);
    panels_times_rows(w, first_panel, last_panel, x + (size_t)row * x_stride, x_stride, rows,
                      target, y_stride);
  }
}

void NAME(pk_gated)(const pk_matrix *gate, const pk_matrix *up, int first_panel, int last_panel,
                    const float *x, size_t x_stride, int m, float *out, size_t out_stride,
                    const float *gate_bias, const float *up_bias) {
  // As many panels at once as have their `up` wait in 48 KiB of the stack until it is multiplied.
  enum { WAITING = BLOCK_ROWS * 8 };
  float ups[WAITING * PANEL] __attribute__((aligned(64)));
  if (last_panel > matrix_panels(gate)) last_panel = matrix_panels(gate);
  for (int row = 0, rows; row < m; row += rows) {
    rows = next_rows(m - row);
    const float *rows_x = x + (size_t)row * x_stride;
    const int chunk = WAITING / rows;
    const int waiting_width = chunk * PANEL;
    for (int first = first_panel; first < last_panel; first += chunk) {
      int last = first + chunk < last_panel ? first + chunk : last_panel;
      int width = rows_in(gate, first, last);
      size_t offset = (size_t)first * PANEL;
      float *target = out + (size_t)row * out_stride + offset;
      start(target, out_stride, rows, width, gate_bias ? gate_bias + offset : 0, 0);
      panels_times_rows(gate, first, last, rows_x, x_stride, rows, target, out_stride);
      start(ups, (size_t)waiting_width, rows, width, up_bias ? up_bias + offset : 0, 0);
      panels_times_rows(up, first, last, rows_x, x_stride, rows, ups,
                        (size_t)waiting_width);
      for (int r = 0; r < rows; r++) {
        float *g = target + (size_t)r * out_stride;
        const float *u = ups + r * waiting_width;
        int i = 0;
        for (; i + 8 <= width; i += 8) store8(g + i, silu8(load8(g + i)) * load8(u + i));
        size_t left = (size_t)(width - i);
        if (left)
          store_part8(g + i, silu8(part8(g + i, left, 0)) * part8(u + i, left, 0), left);
      }
    }
  }
}

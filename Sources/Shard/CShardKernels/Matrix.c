// Weights of linear layers: their layout, and how they get into it and out again.
#include <string.h>

#include "Kernels.h"

// More than there is anywhere, and yet some of them can be added up.
static const size_t too_many_bytes = (size_t)1 << 60;

size_t pk_matrix_bytes(int type, int rows, int columns, int first_block) {
  pk_matrix shape = {0, type, rows, columns, 0, 0, first_block};
  size_t panels = (size_t)matrix_panels(&shape);
  size_t bytes;
  if (__builtin_mul_overflow(panels, panel_bytes(&shape), &bytes)) return too_many_bytes;
  if (type == PK_FP8) bytes += panels * (size_t)matrix_segments(&shape) * sizeof(float);
  return bytes < too_many_bytes ? bytes : too_many_bytes;
}

void pk_matrix_place(pk_matrix *matrix, void *memory, int type, int rows, int columns,
                     int first_block) {
  *matrix = (pk_matrix){memory, type, rows, columns, 0, 0, first_block};
  if (type != PK_FP8) return;
  matrix->scale_blocks = matrix_segments(matrix);
  size_t bytes = (size_t)matrix_panels(matrix) * panel_bytes(matrix);
  matrix->scales = (float *)(void *)((char *)memory + bytes);
}

// Where the step of 64 bytes with that column is.
static char *step_of(const pk_matrix *w, int panel, int segment, int column) {
  return (char *)w->data + (size_t)panel * panel_bytes(w) + segment_offset(w, segment) +
         (size_t)(column / columns_per_step(w->type)) * 64;
}

// Rows of `panel` among [first, first + count).
static int rows_of(int panel, int first, int count) {
  int rest = first + count - panel * PANEL;
  return rest < PANEL ? rest : PANEL;
}

static void pack_fp32(pk_matrix *matrix, int first, int count, const float *source,
                      size_t stride) {
  for (int panel = first / PANEL; panel * PANEL < first + count; panel++) {
    int rows = rows_of(panel, first, count);
    const float *from = source + (size_t)(panel * PANEL - first) * stride;
    float *to = (float *)(void *)((char *)matrix->data + (size_t)panel * panel_bytes(matrix));
    for (int c = 0; c < matrix->columns; c++)
      for (int r = 0; r < rows; r++)
        to[(size_t)c * PANEL + (size_t)r] = from[(size_t)r * stride + (size_t)c];
  }
}

void pk_matrix_pack_bf16(pk_matrix *matrix, int first, int count, const uint16_t *source,
                         size_t stride) {
  for (int panel = first / PANEL; panel * PANEL < first + count; panel++) {
    int rows = rows_of(panel, first, count);
    const uint16_t *from = source + (size_t)(panel * PANEL - first) * stride;
    char *to = (char *)matrix->data + (size_t)panel * panel_bytes(matrix);
    if (matrix->type == PK_FP32) {
      for (int c = 0; c < matrix->columns; c++) {
        for (int r = 0; r < rows; r++) {
          uint32_t bits = (uint32_t)from[(size_t)r * stride + (size_t)c] << 16;
          memcpy(to + ((size_t)c * PANEL + (size_t)r) * 4, &bits, sizeof bits);
        }
      }
    } else {
      uint16_t *pairs = (uint16_t *)(void *)to;
      for (int c = 0; c < matrix->columns; c++)
        for (int r = 0; r < rows; r++)
          pairs[(size_t)(c / 2) * 32 + (size_t)r * 2 + (size_t)(c % 2)] =
              from[(size_t)r * stride + (size_t)c];
    }
  }
}

// A segment of one row, to its bytes in the panel.
static void place_bytes(pk_matrix *matrix, int row, int segment, const uint8_t *bytes) {
  int columns = segment_columns(matrix, segment);
  char *to = step_of(matrix, row / PANEL, segment, 0) + row % PANEL * 4;
  for (int c = 0; c < columns; c++) to[(size_t)(c / 4) * 64 + (size_t)(c % 4)] = (char)bytes[c];
}

int pk_matrix_pack_fp8(pk_matrix *matrix, int first, int count, const uint8_t *source,
                       size_t stride) {
  int segments = matrix_segments(matrix);
  int nans = 0;
  for (int r = 0; r < count; r++) {
    const uint8_t *row = source + (size_t)r * stride;
    for (int c = 0; c < matrix->columns; c++) nans |= (row[c] & 0x7f) == 0x7f;
    for (int s = 0; s < segments; s++)
      place_bytes(matrix, first + r, s, row + segment_start(matrix, s));
  }
  return !nans;
}

// Quantises panels by segments of columns. A scale of its own for each panel, not for 128 rows: there is
// room for it anyway, and on SmolLM2 it takes a fifth off what FP8 adds to perplexity.
static void quantise(pk_matrix *matrix, int first, int count, const float *source, size_t stride) {
  int segments = matrix_segments(matrix);
  for (int block = 0; block < count; block += PANEL) {
    int rows = count - block < PANEL ? count - block : PANEL;
    for (int s = 0; s < segments; s++) {
      const float *from =
          source + (size_t)block * stride + (size_t)segment_start(matrix, s);
      size_t columns = (size_t)segment_columns(matrix, s);
      float most = 0;
      for (int r = 0; r < rows; r++) {
        float here = pk_current()->largest(from + (size_t)r * stride, columns);
        most = here > most || here != here ? here : most;
        if (most != most) break;
      }
      // 448 is the largest e4m3. A block of zeros, or of numbers too small for a scale, is zero.
      float scale = most / 448;
      if (scale < 0x1p-126f) scale = 1;
      for (int r = 0; r < rows; r++) {
        uint8_t bytes[SEGMENT];
        pk_current()->to_e4m3(from + (size_t)r * stride, columns, scale, bytes);
        place_bytes(matrix, first + block + r, s, bytes);
      }
      size_t panel = (size_t)((first + block) / PANEL);
      matrix->scales[panel * (size_t)matrix->scale_blocks + (size_t)s] = scale;
    }
  }
}

void pk_matrix_pack_f32(pk_matrix *matrix, int first, int count, const float *source,
                        size_t stride) {
  if (matrix->type == PK_FP32) {
    pack_fp32(matrix, first, count, source, stride);
  } else if (matrix->type == PK_FP8) {
    quantise(matrix, first, count, source, stride);
  } else {
    for (int r = 0; r < count; r++) {
      const float *from = source + (size_t)r * stride;
      int row = first + r;
      uint16_t *to = (uint16_t *)(void *)((char *)matrix->data +
                                          (size_t)(row / PANEL) * panel_bytes(matrix)) +
                     row % PANEL * 2;
      for (int c = 0; c < matrix->columns; c += SEGMENT) {
        uint16_t rounded[SEGMENT];
        int here = matrix->columns - c < SEGMENT ? matrix->columns - c : SEGMENT;
        pk_current()->to_bf16(from + c, (size_t)here, rounded);
        for (int i = 0; i < here; i++)
          to[(size_t)((c + i) / 2) * 32 + (size_t)(i % 2)] = rounded[i];
      }
    }
  }
}

void pk_matrix_row(const pk_matrix *matrix, int row, float *out) {
  int segments = matrix_segments(matrix);
  for (int s = 0; s < segments; s++) {
    int columns = segment_columns(matrix, s);
    float *to = out + segment_start(matrix, s);
    const char *from = step_of(matrix, row / PANEL, s, 0);
    int lane = row % PANEL;
    if (matrix->type == PK_FP32) {
      for (int c = 0; c < columns; c++)
        memcpy(to + c, from + (size_t)c * 64 + lane * 4, sizeof(float));
    } else if (matrix->type == PK_BF16) {
      for (int c = 0; c < columns; c++) {
        uint16_t half;
        memcpy(&half, from + (size_t)(c / 2) * 64 + lane * 4 + c % 2 * 2, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(to + c, &bits, sizeof bits);
      }
    } else {
      uint8_t bytes[SEGMENT];
      for (int c = 0; c < columns; c++)
        bytes[c] = (uint8_t)from[(size_t)(c / 4) * 64 + lane * 4 + c % 4];
      pk_current()->from_e4m3(bytes, (size_t)columns, to);
      float scale =
          matrix->scales[(size_t)(row / PANEL) * (size_t)matrix->scale_blocks + (size_t)s];
      for (int c = 0; c < columns; c++) to[c] *= scale;
    }
  }
}

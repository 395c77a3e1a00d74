// What ModelFiles cannot say well in Swift: mapping a file without losing errno, and turning stored
// numbers to floats at the speed of memory in debug builds too, since tests read real models.
#ifndef PORTICO_MODEL_FILES_H
#define PORTICO_MODEL_FILES_H

#include <stddef.h>
#include <stdint.h>

// ---- Files -----------------------------------------------------------------------------------

// Maps a regular file to read. Returns its size and sets *bytes (NULL for an empty file), or
// -errno: -EISDIR for a directory, -ENOTSUP for what is neither (a pipe would make us wait).
int64_t pf_map(const char *path, const void **bytes);
void pf_unmap(const void *bytes, size_t size);
// Gives back the pages that lie whole within the range; a later read takes them from the file again.
void pf_release(const void *bytes, size_t size);
// Asks the kernel to read the range ahead.
void pf_prefetch(const void *bytes, size_t size);

// ---- Stored numbers --------------------------------------------------------------------------

// GGUF's own numbers for its types, and one for FP8, which GGUF has not.
enum {
  PF_F32 = 0,
  PF_F16 = 1,
  PF_Q4_0 = 2,
  PF_Q4_1 = 3,
  PF_Q5_0 = 6,
  PF_Q5_1 = 7,
  PF_Q8_0 = 8,
  PF_Q4_K = 12,
  PF_Q5_K = 13,
  PF_Q6_K = 14,
  PF_BF16 = 30,
  PF_E4M3 = 1000
};

// Numbers of one block and bytes that hold them; 1 and the size of a number where there are no
// blocks. 0 for a type that is not listed above.
size_t pf_block_numbers(int type);
size_t pf_block_bytes(int type);

// Numbers [first, first + count) of the row that begins at `row`, as floats. `first` need not begin
// a block and nothing has to be aligned. Products and sums are rounded one by one as in GGUF's
// reference, so results are equal to the bit.
void pf_read(int type, const uint8_t *row, size_t first, size_t count, float *out);
// x *= scale.
void pf_scale(float *x, size_t count, float scale);

#endif

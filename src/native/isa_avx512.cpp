#if defined(__AVX512VNNI__)
#define CLEARHEAD_SET avx512_kernels
#define CLEARHEAD_NAME "avx512"
#include "table.h"
#endif

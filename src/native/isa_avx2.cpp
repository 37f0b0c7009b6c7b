#if defined(__AVX2__)
#define CLEARHEAD_SET avx2_kernels
#define CLEARHEAD_NAME "avx2"
#include "table.h"
#endif

#if defined(__AVX512VNNI__)
#define CLEARHEAD_SET avx512_kernels
#define CLEARHEAD_NAME "avx512"
#define CLEARHEAD_TRAINING &avx512_training
#include "table.h"
#endif

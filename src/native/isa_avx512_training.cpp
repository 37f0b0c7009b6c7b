#if defined(__AVX512VNNI__)
#define CLEARHEAD_SET avx512_training
#include "training_table.h"
#endif

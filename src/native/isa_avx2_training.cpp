#if defined(__AVX2__)
#define CLEARHEAD_SET avx2_training
#include "training_table.h"
#endif

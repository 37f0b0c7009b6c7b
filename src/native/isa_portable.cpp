#define CLEARHEAD_SET portable_kernels
#define CLEARHEAD_NAME "portable"
#define CLEARHEAD_TRAINING nullptr
#include "table.h"

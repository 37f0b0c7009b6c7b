#define CLEARHEAD_SET portable_kernels
#define CLEARHEAD_NAME "portable"
#include "table.h"

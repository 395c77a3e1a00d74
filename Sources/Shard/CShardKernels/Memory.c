#include "CShardKernels.h"

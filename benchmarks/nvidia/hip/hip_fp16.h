// Halves have the same names in both.
#pragma once
#include <cuda_fp16.h>

// The one macro that marks a body as callable on the host and on the device.
#pragma once

#if defined(__CUDACC__)
#define EMFAST_HD __host__ __device__
#else
#define EMFAST_HD
#endif
